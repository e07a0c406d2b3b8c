"""Runs a shipped experiment as an ordinary process: no isolation, so nothing else may run so.

For the demonstration on a machine where no engine can be had. The door refuses
anything but the bytes of the installed package's own examples; the limits here
guard against accidents, not against hostile code.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from autoresearch import door, jobs
from autoresearch.adapters.directory_outputs import read_directory
from autoresearch.errors import InvalidInput, SandboxFailed
from autoresearch.ports import NOTHING, Collected, Job, JobState, Needs, TryWarrant, Warrant
from autoresearch.records import HostFacts, Isolation, ResourceLimits, digest_of, sha256

POLICY: dict[str, JsonValue] = {
    "tier": "none: shipped code only",
    "limits": ["seconds", "memory_mb per process", "output_mb per file"],
}


@dataclass
class _Running:
    directory: Path
    process: subprocess.Popen[bytes]
    limits: ResourceLimits
    began: datetime
    clock: float
    log: jobs.Log = field(default_factory=jobs.Log)
    timed_out: bool = False
    wall: float | None = None
    ended: datetime | None = None
    code: int | None = None
    """As a shell reports it: 128 + signal for a process that a signal ended."""
    usage: resource.struct_rusage | None = None
    threads: list[threading.Thread] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)


class ProcessSandbox:
    """`Sandbox` without isolation. A run dies with this process's memory of it: no other can poll it."""

    def __init__(self, *, harness: bytes, shipped: Container[str]) -> None:
        self._harness = harness
        self._shipped = shipped
        self._runs: dict[str, _Running] = {}

    def isolation(self, needs: Needs = NOTHING) -> Isolation:
        jobs.refuse_needs(needs, "an ordinary process")
        return Isolation(
            tier="none: shipped code only",
            image="-",
            policy_sha256=digest_of(POLICY),
            harness_sha256=sha256(self._harness),
            engine=f"Python {sys.version.split()[0]}",
        )

    def probe(self) -> None:
        """There is no isolation to try."""

    def check_limits(self, limits: ResourceLimits) -> None:
        cpus = os.cpu_count() or 1
        if limits.cpus > cpus:
            raise InvalidInput(f"limits.cpus is {limits.cpus:g}, but this machine has {cpus}")
        megabytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
        if limits.memory_mb > megabytes:
            raise InvalidInput(f"limits.memory_mb is {limits.memory_mb}, but this machine has {megabytes}")
        if limits.workers > 1:
            raise InvalidInput(f"limits.workers is {limits.workers}, but without an engine there is only one")

    def submit(self, job: Job, warrant: Warrant | TryWarrant) -> None:
        door.admit(job, warrant, self.isolation(job.needs), self._shipped)
        self.check_limits(job.limits)
        if job.run_id in self._runs:
            raise SandboxFailed(f"run {job.run_id} exists already: it is not started twice")
        directory = Path(tempfile.mkdtemp(prefix="autoresearch-"))
        try:
            _write(directory, jobs.inputs(job, self._harness))
            run = _Running(
                directory, _spawn(directory, job.limits), job.limits, datetime.now(UTC), time.monotonic()
            )
        except (OSError, subprocess.SubprocessError) as error:
            shutil.rmtree(directory)
            raise SandboxFailed(f"the experiment's process could not be started: {error}") from error
        self._runs[job.run_id] = run
        for work in (_drain, _wait, _guard):
            thread = threading.Thread(target=work, args=(run,), daemon=True)
            run.threads.append(thread)
            thread.start()

    def poll(self, run_id: str) -> JobState:
        run = self._runs.get(run_id)
        if run is None:
            return JobState("absent")
        if run.done.is_set():
            return JobState("ended", run.log.trials_done, run.wall or 0.0)
        return JobState("running", run.log.trials_done, time.monotonic() - run.clock)

    def cancel(self, run_id: str) -> None:
        run = self._runs.get(run_id)
        if run is not None:
            _kill(run)
            run.done.wait(timeout=10)

    def collect(self, run_id: str, limits: ResourceLimits, into: Path) -> list[Collected | None]:
        run = self._runs.get(run_id)
        if run is None or not run.done.is_set():
            raise SandboxFailed(f"run {run_id} has no outputs to collect: it has not ended, or is gone")
        run.threads[0].join(timeout=5)
        outputs = read_directory(run.directory / "out", jobs.Outputs(limits, into))
        log, cut = run.log.text()
        return [Collected(_facts(run, truncated=outputs.truncated), outputs.files, log, cut, outputs.refused)]

    def remove(self, run_id: str) -> None:
        run = self._runs.pop(run_id, None)
        if run is None:
            return
        _kill(run)
        run.done.wait(timeout=10)
        for thread in run.threads:
            thread.join(timeout=5)
        shutil.rmtree(run.directory)


def _write(directory: Path, files: Mapping[str, bytes]) -> None:
    (directory / "out").mkdir()
    (directory / "tmp").mkdir()
    for path, data in files.items():
        target = directory / "in" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _spawn(directory: Path, limits: ResourceLimits) -> subprocess.Popen[bytes]:
    # No variable of ours is passed on: keys and proxies are none of its business.
    environment = {
        "HOME": str(directory / "tmp"),
        "TMPDIR": str(directory / "tmp"),
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONHASHSEED": "0",
    }

    def restrict() -> None:
        memory, output = limits.memory_mb * 2**20, limits.output_mb * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        resource.setrlimit(resource.RLIMIT_FSIZE, (output, output))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    in_dir, out_dir = directory / "in", directory / "out"
    return subprocess.Popen(
        [sys.executable, "-s", "-P", "-B", str(in_dir / "harness.py"), str(in_dir), str(out_dir)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=directory,
        env=environment,
        start_new_session=True,
        preexec_fn=restrict,  # noqa: PLW1509  it only sets limits, and no other thread holds a lock here
    )


def _drain(run: _Running) -> None:
    assert run.process.stdout is not None
    with run.process.stdout as pipe:
        while chunk := pipe.read1(65536):  # type: ignore[attr-defined]  # a BufferedReader
            run.log.feed(chunk)


def _wait(run: _Running) -> None:
    """Reap the process together with what it used."""
    _, status, run.usage = os.wait4(run.process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    run.process.returncode = code  # it was reaped here, and is not to be waited for again
    run.code = 128 - code if code < 0 else code
    run.wall = time.monotonic() - run.clock
    run.ended = datetime.now(UTC)
    _kill_group(run.process.pid)  # whatever it left behind
    run.done.set()


def _guard(run: _Running) -> None:
    if not run.done.wait(timeout=run.limits.seconds):
        run.timed_out = True
        _kill(run)


def _kill(run: _Running) -> None:
    if not run.done.is_set():
        _kill_group(run.process.pid)


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return  # nothing of it is left


def _facts(run: _Running, *, truncated: bool) -> HostFacts:
    usage = run.usage
    return HostFacts(
        exit_code=run.code,
        wall_seconds=run.wall,
        cpu_seconds=None if usage is None else usage.ru_utime + usage.ru_stime,
        # Of the largest single process: without a control group nobody adds them up.
        peak_memory_mb=None if usage is None else usage.ru_maxrss / 1024,
        out_of_memory=None,
        timed_out=run.timed_out and run.code == 128 + signal.SIGKILL,
        output_truncated=truncated,
        started_at=run.began,
        ended_at=run.ended,
    )
