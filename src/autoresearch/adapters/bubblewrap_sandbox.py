"""Runs a job under bubblewrap, for a machine where no engine can be had. Weaker than a container.

A run lives and dies with the process that started it: when that is killed, the kernel kills the run, and
another process finds it absent. What is left then (mounts, a control group) `remove` clears by name.
"""

import os
import platform
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from autoresearch import assets, door, jobs
from autoresearch.adapters import bubblewrap_policy as policy
from autoresearch.adapters import sandbox_probe
from autoresearch.adapters.bubblewrap_root import Root
from autoresearch.adapters.control_group import ControlGroup, Use, version
from autoresearch.adapters.directory_outputs import read_directory
from autoresearch.adapters.docker_policy import HARNESS_COMMAND, memory_mb
from autoresearch.adapters.image import cache_dir
from autoresearch.adapters.seccomp_filter import compile_filter
from autoresearch.errors import BackEndMissing, InvalidInput, SandboxFailed
from autoresearch.ports import NOTHING, Collected, Job, JobState, Needs, TryWarrant, Warrant
from autoresearch.records import HostFacts, Isolation, Probe, ResourceLimits, sha256

ARCHITECTURES = ("x86_64", "aarch64")
START_SECONDS = 30
"""Until the launcher has given up its rights."""
OTHER_TIER = 'or get a Docker engine, and set isolation = "docker" in autoresearch.toml'


@dataclass
class _Running:
    folder: Path
    group: ControlGroup
    limits: ResourceLimits
    began: datetime
    clock: float
    log: jobs.Log = field(default_factory=jobs.Log)
    process: "subprocess.Popen[bytes] | None" = None
    threads: list[threading.Thread] = field(default_factory=list)
    started: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    failed: str = ""
    """Why it could not be started."""
    timed_out: bool = False
    code: int | None = None
    """As a shell reports it: 128 + signal for a process that a signal ended."""
    wall: float = 0.0
    ended: datetime | None = None
    use: Use | None = None


class BubblewrapSandbox:
    """`Sandbox` on this machine's kernel alone; see `bubblewrap_policy` for what each run gets."""

    def __init__(self, root: Root, *, harness: bytes, seccomp: bytes, shipped: Container[str]) -> None:
        self._root = root
        self._harness = harness
        self._launcher = assets.sandbox() / "launch.py"
        self._instructions = compile_filter(seccomp)
        self._policy_sha256 = policy.digest(root, self._launcher.read_bytes(), self._instructions)
        self._shipped = shipped
        self._runs: dict[str, _Running] = {}

    def isolation(self, needs: Needs = NOTHING) -> Isolation:
        jobs.refuse_needs(needs, "bubblewrap")
        return Isolation(
            tier="bubblewrap",
            image=self._root.identity,
            policy_sha256=self._policy_sha256,
            harness_sha256=sha256(self._harness),
            engine=f"{require_machine()}, control groups version {version()}",
        )

    def probe(self) -> Probe:
        return sandbox_probe.fresh_probe(self, cache_dir() / "probes")

    def machine(self) -> dict[str, str]:
        return {
            "architecture": platform.machine(),
            "kernel": platform.release(),
            "boot": Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
        }

    def check_limits(self, limits: ResourceLimits) -> None:
        if limits.workers > 1:
            raise InvalidInput(f"limits.workers is {limits.workers}, but the bubblewrap tier has only one")
        cpus = os.cpu_count() or 1
        if limits.cpus > cpus:
            raise InvalidInput(f"limits.cpus is {limits.cpus:g}, but this machine has {cpus}")
        megabytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
        if memory_mb(limits) > megabytes:
            raise InvalidInput(
                f"limits.memory_mb {limits.memory_mb} and output_mb {limits.output_mb} need "
                f"{memory_mb(limits)} MB with scratch space, but this machine has {megabytes}"
            )

    def submit(self, job: Job, warrant: Warrant | TryWarrant) -> None:
        door.admit(job, warrant, self.isolation(job.needs), self._shipped)
        self.check_limits(job.limits)
        self._launch(job.run_id, jobs.inputs(job, self._harness), job.limits, HARNESS_COMMAND)

    def launch_probe(self, run_id: str, what: str, limits: ResourceLimits) -> None:
        """Nobody approves it, so no byte of it can be chosen: it is read here."""
        files = {"probe.py": sandbox_probe.script()}
        self._launch(run_id, files, limits, ("python3", "-I", "-B", "/in/probe.py", what))

    def poll(self, run_id: str) -> JobState:
        run = self._runs.get(run_id)
        if run is None:
            return JobState("absent")
        if run.done.is_set():
            return JobState("ended", run.log.trials_done, run.wall)
        elapsed = time.monotonic() - run.clock
        return JobState("running", run.log.trials_done, elapsed, run.group.use().memory_mb)

    def cancel(self, run_id: str) -> None:
        run = self._runs.get(run_id)
        if run is not None:
            run.group.kill()
            run.done.wait(timeout=10)

    def collect(self, run_id: str, limits: ResourceLimits, into: Path) -> list[Collected | None]:
        run = self._runs.get(run_id)
        if run is None or not run.done.is_set():
            raise SandboxFailed(f"run {run_id} has no outputs to collect: it has not ended, or is gone")
        for thread in run.threads:
            thread.join(timeout=10)
        outputs = read_directory(run.folder / "out", jobs.Outputs(limits, into))
        log, cut = run.log.text()
        return [Collected(_facts(run, truncated=outputs.truncated), outputs.files, log, cut, outputs.refused)]

    def remove(self, run_id: str) -> None:
        run = self._runs.pop(run_id, None)
        group = ControlGroup(run_id)
        group.kill()
        if run is not None:
            for thread in run.threads:
                thread.join(timeout=10)
        group.remove()
        _unmount(policy.RUNS / run_id)

    # ------------------------------------------------------------- inside

    def _launch(
        self, run_id: str, files: Mapping[str, bytes], limits: ResourceLimits, command: tuple[str, ...]
    ) -> None:
        """Make everything, start it, and see it give up its rights; or leave nothing."""
        folder, group = policy.RUNS / run_id, ControlGroup(run_id)
        policy.RUNS.mkdir(mode=0o700, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError as error:
            raise SandboxFailed(
                f"run {run_id} exists already as {folder}: it is not started twice"
            ) from error
        run = _Running(folder, group, limits, datetime.now(UTC), time.monotonic())
        self._runs[run_id] = run
        try:
            _mount(folder, policy.mounts(run_id, _megabytes(files), limits))
            _write(folder / "etc", policy.ETC)
            _write(folder / "in", files)
            group.create(policy.group_limits(limits))
            order = policy.order(run_id, self._root, self._instructions, limits, command)
            keeper = threading.Thread(
                target=self._keep, args=(run, order), name=f"keep {run_id}", daemon=True
            )
            run.threads.append(keeper)
            keeper.start()
            run.started.wait()
        except (OSError, subprocess.SubprocessError) as error:
            self.remove(run_id)
            raise SandboxFailed(f"the run could not be prepared: {error}") from error
        except BaseException:
            self.remove(run_id)
            raise
        if run.failed:
            self.remove(run_id)
            raise SandboxFailed(f"bubblewrap could not start the run: {run.failed}")

    def _keep(self, run: _Running, order: bytes) -> None:
        """Start the process and wait for its end, in one thread: the kernel kills the run when this ends."""
        try:
            ready = self._spawn(run, order)
        except (OSError, subprocess.SubprocessError) as error:
            run.failed = str(error)
            run.done.set()
            run.started.set()
            return
        assert run.process is not None
        drain = threading.Thread(target=_drain, args=(run,), daemon=True)
        drain.start()
        with os.fdopen(ready, "rb", buffering=0) as line:
            answered, _, _ = select.select([line], [], [], START_SECONDS)
            if not answered or line.read(6) != b"ready\n":
                run.process.kill()
                run.process.wait()
                drain.join(timeout=5)
                run.failed = run.log.text()[0].decode(errors="replace").strip() or "it did not answer"
                run.done.set()
                run.started.set()
                return
        run.began, run.clock = datetime.now(UTC), time.monotonic()
        run.started.set()
        self._await_end(run, run.process)
        drain.join(timeout=10)
        run.done.set()

    def _spawn(self, run: _Running, order: bytes) -> int:
        """Start bubblewrap in the run's control group; returns where the launcher reports."""
        reading, writing = os.pipe()
        joiners = run.group.joiners()

        def join() -> None:
            for joiner in joiners:
                os.write(joiner, b"0")

        try:
            run.process = subprocess.Popen(
                policy.arguments(run.folder, self._root, self._launcher, writing),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
                env={"PATH": "/usr/bin:/bin"},
                preexec_fn=join,  # noqa: PLW1509  it only writes to open descriptors
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            for descriptor in (*joiners, writing):
                os.close(descriptor)
        assert run.process.stdin is not None
        with run.process.stdin as pipe:
            pipe.write(order)
        return reading

    def _await_end(self, run: _Running, process: "subprocess.Popen[bytes]") -> None:
        try:
            code = process.wait(timeout=max(0.0, run.clock + run.limits.seconds - time.monotonic()))
        except subprocess.TimeoutExpired:
            run.timed_out = True
            run.group.kill()
            code = process.wait()
        run.wall, run.ended = time.monotonic() - run.clock, datetime.now(UTC)
        run.group.kill()  # whatever is left; process 1 took the others along
        run.code = 128 - code if code < 0 else code
        run.use = run.group.use()


def require_machine() -> str:
    """Name and version of bubblewrap. Raises BackEndMissing for a machine that the tier cannot be had on."""
    if platform.machine() not in ARCHITECTURES:
        raise BackEndMissing(
            f"the sandbox has no system call filter for {platform.machine()}; "
            "use a machine with x86_64 or aarch64 processors"
        )
    if os.geteuid() != 0:
        raise BackEndMissing(
            "the bubblewrap tier needs root, for control groups, mounts with a limit and a uid of its own: "
            f"run autoresearch with sudo, {OTHER_TIER}"
        )
    if shutil.which("bwrap") is None:
        raise BackEndMissing(f"bubblewrap is not installed: apt-get install bubblewrap, {OTHER_TIER}")
    done = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _mount(folder: Path, mounts: Mapping[str, str]) -> None:
    for name, options in mounts.items():
        (folder / name).mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder / name)],
            check=True,
            capture_output=True,
        )


def _unmount(folder: Path) -> None:
    """Nothing of it is left. Not followed: no part of the path is the run's."""
    if not folder.is_dir():
        return
    for part in folder.iterdir():
        while part.is_mount():
            subprocess.run(["umount", "--lazy", str(part)], check=True, capture_output=True)
        part.rmdir()
    folder.rmdir()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for path in jobs.directories(files):
        (folder / path).mkdir(mode=0o755)
    for path, data in files.items():
        (folder / path).write_bytes(data)
        (folder / path).chmod(0o444)


def _megabytes(files: Mapping[str, bytes]) -> int:
    return 1 + sum(-(-len(data) // 4096) * 4096 for data in files.values()) // 2**20


def _drain(run: _Running) -> None:
    assert run.process is not None
    assert run.process.stdout is not None
    with run.process.stdout as pipe:
        while chunk := pipe.read1(65536):  # type: ignore[attr-defined]  # a BufferedReader
            run.log.feed(chunk)


def _facts(run: _Running, *, truncated: bool) -> HostFacts:
    use = run.use
    return HostFacts(
        exit_code=run.code,
        wall_seconds=run.wall,
        cpu_seconds=use.cpu_seconds if use else None,
        peak_memory_mb=use.peak_memory_mb if use else None,
        out_of_memory=use.out_of_memory if use else None,
        timed_out=run.timed_out and run.code == 128 + signal.SIGKILL,
        output_truncated=truncated,
        started_at=run.began,
        ended_at=run.ended,
    )
