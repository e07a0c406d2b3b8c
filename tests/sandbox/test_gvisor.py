"""The gvisor tier: the Docker sandbox's policy, with gVisor's kernel between the code and the machine's."""

import json
import platform
from datetime import UTC, datetime

import docker
import pytest

from autoresearch.adapters import docker_policy as policy
from autoresearch.adapters import docker_sandbox, gvisor
from autoresearch.adapters.sandbox_probe import probe
from autoresearch.errors import BackEndMissing, NotApproved
from autoresearch.records import ResourceLimits
from autoresearch.testing import approved_job, check_sandbox

SMALL = ResourceLimits(seconds=20, memory_mb=128, cpus=2, processes=16, output_mb=2)


def lines(got):
    return [json.loads(line) for line in got.files["trials.jsonl"].splitlines()]


# ------------------------------------------------------------ the registration


@pytest.mark.parametrize("name", ["ptrace", "systrap", "kvm"])
def test_registered_as_it_must_be(name):
    info = {
        "Runtimes": {"runsc": {"path": "/opt/runsc", "runtimeArgs": [f"--platform={name}", *gvisor.REQUIRED]}}
    }
    assert gvisor.platform_of(info) == name


@pytest.mark.parametrize(
    "runtimes",
    [
        None,
        {},
        {"runc": {"path": "runc"}},
        {"runsc": {"path": "/usr/bin/runsc"}},
        {"runsc": {"path": "/usr/bin/runsc", "runtimeArgs": ["--platform=ptrace", "--network=none"]}},
        {"runsc": {"path": "/usr/bin/runsc", "runtimeArgs": ["--platform=ptrace", "--oci-seccomp", "--network=host"]}},
        {"runsc": {"path": "/usr/bin/runsc", "runtimeArgs": [*gvisor.REQUIRED]}},
        {"runsc": {"path": "/x", "runtimeArgs": ["--platform=ptrace", *gvisor.REQUIRED, "--fsgofer-host-uds"]}},
    ],
)  # fmt: skip
def test_any_other_registration_is_refused_with_the_right_one(runtimes):
    with pytest.raises(BackEndMissing, match=r"daemon\.json") as refusal:
        gvisor.platform_of({"Runtimes": runtimes})
    assert json.dumps(gvisor.REGISTRATION) in str(refusal.value)
    assert refusal.value.exit_code == 4


@pytest.mark.docker
def test_an_engine_without_it_is_refused(docker_sandbox):
    with pytest.raises(BackEndMissing, match="no runtime runsc"):
        docker_sandbox(runtime=policy.RUNSC).isolation()


def test_the_profile_changes_in_nothing_but_clone3(seccomp):
    before, after = json.loads(seccomp), json.loads(policy.seccomp_of_gvisor(seccomp.decode()))
    changed = [(a, b) for a, b in zip(before["syscalls"], after["syscalls"], strict=True) if a != b]
    assert [(a["names"], b["action"]) for a, b in changed] == [(["clone3"], "SCMP_ACT_ALLOW")]
    assert {**before, "syscalls": []} == {**after, "syscalls": []}


# ------------------------------------------------------------------- real runs


@pytest.mark.docker
def test_gvisor_conforms(gvisor_sandbox):
    check_sandbox(gvisor_sandbox)


@pytest.mark.docker
def test_probe_finds_every_limit_in_force(gvisor_sandbox):
    assert [row for row in probe(gvisor_sandbox()).rows if not row.ok] == []


@pytest.mark.docker
def test_an_approval_for_docker_does_not_run_in_gvisor(gvisor_sandbox, docker_sandbox):
    files = {"experiment/experiment.py": b""}
    job, warrant = approved_job(files, docker_sandbox().isolation(), limits=SMALL)
    with pytest.raises(NotApproved, match="tier is gvisor, but docker was approved"):
        gvisor_sandbox().submit(job, warrant)


@pytest.mark.docker
def test_the_container_as_the_engine_reports_it(gvisor_sandbox, gvisor_engine, submit):
    job = submit(gvisor_sandbox(), "import time\ndef run_trial(*_):\n    time.sleep(60)\n", limits=SMALL)
    client = docker.APIClient(gvisor_engine)
    run, holder = (
        client.inspect_container(name)["HostConfig"]
        for name in (policy.names(job.run_id).run, policy.names(job.run_id).holder)
    )
    client.close()
    assert run["Runtime"] == "runsc"
    assert {"Name": "nproc", "Soft": 16, "Hard": 16} in run["Ulimits"]
    assert (run["NetworkMode"], run["CapDrop"], run["ReadonlyRootfs"]) == ("none", ["ALL"], True)
    assert holder["Runtime"] == "runc", "it runs nothing but sleep"
    assert not any(limit["Name"] == "nproc" for limit in holder["Ulimits"])


@pytest.mark.docker
def test_the_kernel_inside_is_not_the_machines(gvisor_sandbox, run):
    code = """
import os, numpy, threading, multiprocessing

def run_trial(arm, seed, config, data):
    with multiprocessing.get_context(arm).Pool(2) as pool:
        total = sum(pool.map(abs, [-1, -2]))
    thread = threading.Thread(target=print)
    thread.start()
    thread.join()
    release = [ord(letter) for letter in os.uname().release]
    return {"release": release, "total": total, "norm": float(numpy.linalg.norm(numpy.ones(100)))}
"""
    limits = SMALL.model_copy(update={"seconds": 60, "memory_mb": 512, "processes": 32})
    got = run(gvisor_sandbox(), code, limits=limits, arms=("fork", "spawn"), trials_per_arm=1)
    for line in lines(got):
        assert line["status"] == "ok", line["error"]
        assert (line["values"]["total"], line["values"]["norm"]) == (3, 10)
        assert "".join(map(chr, line["values"]["release"])) != platform.release()


@pytest.mark.docker
@pytest.mark.parametrize("hidden", [False, True])
def test_out_of_memory_is_seen_by_the_engine(gvisor_sandbox, run, hidden):
    code = f"""
import os

def run_trial(arm, seed, config, data):
    if arm == "treatment":
        if {hidden} and os.fork():
            os.wait()
        else:
            len(b"x" * 2**30)
    return {{"x": 1}}
"""
    got = run(gvisor_sandbox(), code, limits=SMALL, trials_per_arm=1)
    # None: the engine missed the cause. Then it is a crash, and never a completed run either.
    assert got.facts.out_of_memory is not False
    assert got.facts.exit_code == 137


@pytest.mark.parametrize(
    ("runtime", "engine_says", "killed", "fact"),
    [
        (policy.RUNSC, True, True, True),
        (policy.RUNSC, False, True, None),
        (policy.RUNSC, False, False, False),
        (policy.RUNC, True, True, True),
        (policy.RUNC, False, True, False),
    ],
)
def test_a_cause_that_gvisors_engine_may_have_missed_is_unobserved(runtime, engine_says, killed, fact):
    worker = docker_sandbox._Worker("run", {"OOMKilled": engine_says}, datetime.now(UTC), 1)
    assert docker_sandbox._out_of_memory(worker, runtime, killed=killed) is fact


@pytest.mark.docker
def test_without_a_supervisor_process_1_keeps_the_deadline(gvisor_sandbox, gvisor_engine, submit):
    """It can be stopped in gVisor, and is killed nevertheless."""
    code = """
import os, signal, time

def run_trial(arm, seed, config, data):
    os.kill(1, signal.SIGSTOP)
    while True:
        time.sleep(60)
"""
    sandbox = gvisor_sandbox()
    job = submit(sandbox, code, limits=SMALL.model_copy(update={"seconds": 3}), trials_per_arm=1)
    for watch in sandbox._watches[job.run_id].values():
        watch.close()  # as if its process had died
    client = docker.APIClient(gvisor_engine)
    try:
        assert client.wait(policy.names(job.run_id).run, timeout=30)["StatusCode"] == 137
    finally:
        client.close()


@pytest.mark.docker
def test_killing_process_1_ends_the_run(gvisor_sandbox, run):
    code = "import os\ndef run_trial(*_):\n    os.kill(1, 9)\n    while True: pass\n"
    got = run(gvisor_sandbox(), code, limits=SMALL, trials_per_arm=1)
    assert got.facts.exit_code == 137
    assert (got.facts.timed_out, got.facts.out_of_memory) == (False, None)


@pytest.mark.docker
def test_the_deadline_holds_for_endless_processes(gvisor_sandbox, run):
    code = """
import os, signal

def run_trial(arm, seed, config, data):
    for _ in range(3):
        os.fork()
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    while True:
        pass
"""
    got = run(gvisor_sandbox(), code, limits=SMALL.model_copy(update={"seconds": 1}), trials_per_arm=1)
    assert got.facts.timed_out is True
    assert got.facts.wall_seconds < 10
