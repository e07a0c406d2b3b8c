"""Faults from outside: what is killed, what goes away, what is full. Each has its outcome, and work goes on."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from autoresearch.adapters import docker_policy as policy
from autoresearch.adapters import engine
from autoresearch.adapters.docker_sandbox import DockerSandbox
from autoresearch.contents import bytes_of
from autoresearch.errors import AutoresearchError, BackEndMissing, SandboxFailed
from autoresearch.records import ResourceLimits
from autoresearch.testing import approved_job, await_end, collected

pytestmark = pytest.mark.docker

LIMITS = ResourceLimits(seconds=120, memory_mb=128, cpus=1, processes=32, output_mb=4)
FIRST_ENDS = """
import os, time

def run_trial(arm, seed, config, data):
    if arm == "treatment":
        time.sleep(600)
    open("some", "wb").write(os.urandom(2 * 2**20))
    return {"x": 1}
"""


@pytest.fixture
def client():
    with closing(engine.connect()) as connected:
        yield connected.api


def await_trials(sandbox, run_id, count):
    give_up = time.monotonic() + 60
    while sandbox.poll(run_id).trials_done < count:
        assert time.monotonic() < give_up
        time.sleep(0.05)


# ---------------------------------------------------------------- docker kill


def test_a_container_killed_by_hand_keeps_what_ended_and_is_neither_late_nor_out_of_memory(
    docker_sandbox, submit, client
):
    sandbox = docker_sandbox()
    job = submit(sandbox, FIRST_ENDS, limits=LIMITS, trials_per_arm=1)
    await_trials(sandbox, job.run_id, 1)
    client.kill(policy.names(job.run_id).run)
    assert await_end(sandbox, job.run_id).phase == "ended"
    got = collected(sandbox, job.run_id, job.limits)
    facts = got.facts
    assert (facts.exit_code, facts.timed_out, facts.out_of_memory) == (137, False, False)
    assert [json.loads(line)["arm"] for line in got.files["trials.jsonl"].splitlines()] == ["control"]
    assert len(got.files["artifacts/some"]) == 2 * 2**20


def test_a_holder_killed_while_the_run_goes_on_leaves_nothing_to_collect(docker_sandbox, submit, client):
    sandbox = docker_sandbox()
    job = submit(sandbox, FIRST_ENDS, limits=LIMITS, trials_per_arm=1)
    client.kill(policy.names(job.run_id).holder)
    assert sandbox.poll(job.run_id).phase == "running"
    client.kill(policy.names(job.run_id).run)
    assert await_end(sandbox, job.run_id).phase == "absent"


def test_a_run_whose_supervisor_died_before_its_inputs_came_never_began(docker_sandbox, client):
    class DiedError(Exception):
        pass

    class Dying:
        """The client of a supervisor that is gone when it would send the inputs, and cleans nothing up."""

        def __getattr__(self, name):
            if name in ("put_archive", "remove_container", "remove_volume"):
                return self.die
            return getattr(client, name)

        def die(self, *_, **__):
            raise DiedError

    first, second = docker_sandbox(client=Dying()), docker_sandbox()
    files = {"experiment/experiment.py": FIRST_ENDS.encode()}
    run_id = f"t{os.getpid()}-no-inputs"
    try:
        with pytest.raises(DiedError):
            first.submit(*approved_job(files, first.isolation(), run_id=run_id, limits=LIMITS))
        assert client.inspect_container(policy.names(run_id).run)["State"]["Running"], "it waits"
        assert second.poll(run_id).phase == "absent"
        with pytest.raises(SandboxFailed, match="no outputs"):
            collected(second, run_id, LIMITS)
    finally:
        second.remove(run_id)
    assert client.containers(all=True, filters={"label": f"{policy.LABEL}={run_id}"}) == []


# --------------------------------------------------------------- disk, memory


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_said_and_the_outputs_can_be_collected_again(
    docker_sandbox, submit, small_disk, tmp_path, client
):
    sandbox = docker_sandbox()
    job = submit(sandbox, FIRST_ENDS, limits=LIMITS, trials_per_arm=1)
    await_trials(sandbox, job.run_id, 1)
    client.kill(policy.names(job.run_id).run)
    assert await_end(sandbox, job.run_id).phase == "ended"
    with pytest.raises(
        SandboxFailed, match=r"no space left on device\n.*still in the sandbox.*autoresearch run"
    ):
        sandbox.collect(job.run_id, job.limits, small_disk)
    [got] = sandbox.collect(job.run_id, job.limits, tmp_path)
    assert len(bytes_of(got.files["artifacts/some"])) == 2 * 2**20


MEASURED = """
import resource, sys, tempfile
from pathlib import Path
from autoresearch.adapters.docker_outputs import read_outputs
from autoresearch.records import ResourceLimits
import tarfile

SIZE = int(sys.argv[1]) * 2**20
def entry(name, kind, size=0):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.PAX_FORMAT)
def chunks():
    yield entry("out", tarfile.DIRTYPE)
    for name in ("out/artifacts/a", "out/artifacts/b"):
        yield entry(name, tarfile.REGTYPE, SIZE // 2)
        for _ in range(SIZE // 2 // 2**16):
            yield bytes(2**16)
    yield bytes(1024)
with tempfile.TemporaryDirectory(dir=sys.argv[2]) as into:
    got = read_outputs(chunks(), ResourceLimits(output_mb=1024), Path(into))
    assert sum(held.size for held in got.files.values()) == SIZE, got.files
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_of_collecting_does_not_grow_with_the_outputs(tmp_path):
    def peak_mb(size_mb):
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, str(size_mb), tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    small, large = peak_mb(2), peak_mb(200)
    assert large - small < 16, f"{large} MB for 200 MB of outputs, {small} MB for 2"


# ------------------------------------------------------------ an engine that goes


class Engine:
    """A Docker engine of the test's own, which may be stopped and started again."""

    def __init__(self, folder):
        self.folder = folder
        self.host = f"unix://{folder}/engine.sock"
        self.log = (folder / "log").open("ab")
        self.start()

    def start(self):
        places = [f"--{name}={self.folder / name}" for name in ("data-root", "exec-root", "pidfile")]
        self.process = subprocess.Popen(
            ["dockerd", *places, f"--host={self.host}", "--bridge=none", "--iptables=false"],
            stdout=self.log, stderr=self.log, start_new_session=True,
        )  # fmt: skip
        give_up = time.monotonic() + 60
        while self.docker("version").returncode != 0:
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < give_up
            time.sleep(0.2)

    def docker(self, *words, **options):
        return subprocess.run(
            ["docker", f"--host={self.host}", *words], capture_output=True, check=False, **options
        )

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)

    def close(self):
        if self.process.poll() is None:
            self.stop()
        self.log.close()


@pytest.fixture
def own_engine(tmp_path_factory, image_id):
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("needs root and dockerd, to start an engine of its own")
    folder = Path(
        subprocess.run(
            ["mktemp", "-d", "/tmp/are-XXXXXX"], capture_output=True, text=True, check=True
        ).stdout.strip()
    )
    own = Engine(folder)
    try:
        saved = subprocess.Popen(["docker", "save", image_id], stdout=subprocess.PIPE)
        assert own.docker("load", stdin=saved.stdout).returncode == 0
        saved.stdout.close()
        assert saved.wait() == 0
        yield own
    finally:
        own.close()
        for mount in reversed([line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]):
            if mount.startswith(str(folder)):
                subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the SDK leaves sockets whose other side went
def test_an_engine_that_goes_away_and_comes_back(
    own_engine, image_id, harness, seccomp, monkeypatch, tmp_path
):
    monkeypatch.setenv("DOCKER_HOST", own_engine.host)

    def sandbox():
        return closing(DockerSandbox(image_id, harness=harness, seccomp=seccomp, shipped=frozenset()))

    with sandbox() as first:
        files = {"experiment/experiment.py": FIRST_ENDS.encode()}
        job, warrant = approved_job(files, first.isolation(), run_id="gone", limits=LIMITS, trials_per_arm=1)
        first.submit(job, warrant)
        await_trials(first, "gone", 1)
        own_engine.stop()
        with pytest.raises(SandboxFailed, match=r"(?s)did not answer.*autoresearch run"):
            first.poll("gone")
        with pytest.raises(SandboxFailed, match="did not answer"):
            first.collect("gone", LIMITS, tmp_path)
        with pytest.raises(BackEndMissing, match="no Docker engine answers"):
            first.isolation()
        with pytest.raises(AutoresearchError, match="no Docker engine answers"):
            first.submit(*approved_job(files, job_isolation(warrant), run_id="later", limits=LIMITS))
    own_engine.start()
    with sandbox() as second:
        # Its containers died with it, the holder among them, and what they had written was memory.
        assert second.poll("gone").phase == "absent"
        assert second.poll("later").phase == "absent"
        second.remove("gone")
        assert own_engine.docker("ps", "-aq").stdout == own_engine.docker("volume", "ls", "-q").stdout == b""
        again, warrant = approved_job(
            {"experiment/experiment.py": b"def run_trial(a, s, c, d):\n    return {'x': 1}\n"},
            second.isolation(), run_id="again", limits=LIMITS,
        )  # fmt: skip
        second.submit(again, warrant)
        assert await_end(second, "again").phase == "ended"
        second.remove("again")
    gc.collect()


def job_isolation(warrant):
    return warrant.approval.record.body.bundle.isolation
