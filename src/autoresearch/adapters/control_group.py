"""A control group per run: its limits, what it used, and its end. Version 1 and version 2 of the kernel's interface.

It stands at a place that follows from the run's id, so that another process finds and clears it.
"""

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from autoresearch.errors import BackEndMissing, SandboxFailed

ROOT = Path("/sys/fs/cgroup")
NEEDED = ("memory", "pids", "cpu")
PERIOD_MICROSECONDS = 100_000


@dataclass(frozen=True)
class Use:
    cpu_seconds: float | None
    memory_mb: float | None
    peak_memory_mb: float | None
    out_of_memory: bool


class GroupLimits(NamedTuple):
    memory_bytes: int
    processes: int
    cpus: float


class ControlGroup:
    """`create`, put a process in by `joiners`, `kill`, read `use`, `remove`."""

    def __init__(self, run_id: str, root: Path = ROOT) -> None:
        self.version = version(root)
        controllers = (*NEEDED, "cpuacct") if self.version == 1 else ("",)
        self._folders = {name: root / name / "autoresearch" / run_id for name in controllers}

    @property
    def exists(self) -> bool:
        return any(folder.is_dir() for folder in self._folders.values())

    def create(self, limits: GroupLimits) -> None:
        """Raises SandboxFailed, and leaves nothing, if a limit is not taken."""
        quota = round(limits.cpus * PERIOD_MICROSECONDS)
        try:
            for folder in self._folders.values():
                folder.parent.mkdir(exist_ok=True)
                if self.version == 2:
                    for parent in (folder.parent.parent, folder.parent):
                        _set(parent / "cgroup.subtree_control", " ".join(f"+{name}" for name in NEEDED))
                folder.mkdir()
            if self.version == 1:
                self._set_version_1(limits.memory_bytes, limits.processes, quota)
            else:
                self._set_version_2(limits.memory_bytes, limits.processes, quota)
        except OSError as error:
            self.remove()
            raise SandboxFailed(f"the control group of the run could not be made: {error}") from error

    def _set_version_1(self, memory_bytes: int, processes: int, quota: int) -> None:
        memory = self._folders["memory"]
        _set(memory / "memory.limit_in_bytes", memory_bytes)
        _set(memory / "memory.memsw.limit_in_bytes", memory_bytes)
        _set(self._folders["pids"] / "pids.max", processes)
        _set(self._folders["cpu"] / "cpu.cfs_period_us", PERIOD_MICROSECONDS)
        _set(self._folders["cpu"] / "cpu.cfs_quota_us", quota)

    def _set_version_2(self, memory_bytes: int, processes: int, quota: int) -> None:
        folder = self._folders[""]
        _set(folder / "memory.max", memory_bytes)
        _set(folder / "memory.swap.max", 0)
        _set(folder / "pids.max", processes)
        _set(folder / "cpu.max", f"{quota} {PERIOD_MICROSECONDS}")

    def joiners(self) -> list[int]:
        """Open descriptors: a process that writes `0` to each is in. The caller closes them."""
        return [os.open(folder / "cgroup.procs", os.O_WRONLY) for folder in self._folders.values()]

    def use(self) -> Use:
        if self.version == 1:
            memory = self._folders["memory"]
            cpu = float((self._folders["cpuacct"] / "cpuacct.usage").read_text()) / 1e9
            now, peak = memory / "memory.usage_in_bytes", memory / "memory.max_usage_in_bytes"
            kills = _table(memory / "memory.oom_control").get("oom_kill", 0)
        else:
            folder = self._folders[""]
            cpu = _table(folder / "cpu.stat")["usage_usec"] / 1e6
            now, peak = folder / "memory.current", folder / "memory.peak"
            kills = _table(folder / "memory.events").get("oom_kill", 0)
        return Use(cpu, _megabytes(now), _megabytes(peak), kills > 0)

    def kill(self) -> None:
        """SIGKILL to everything in it, until it is empty. Raises SandboxFailed after ten seconds."""
        give_up = time.monotonic() + 10
        while pids := self._pids():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue  # ended by itself
            if time.monotonic() > give_up:
                raise SandboxFailed(f"processes of the run do not end: {', '.join(map(str, pids))}")
            time.sleep(0.01)

    def remove(self) -> None:
        self.kill()
        for folder in self._folders.values():
            if folder.is_dir():
                _remove(folder)

    def _pids(self) -> set[int]:
        found: set[int] = set()
        for folder in self._folders.values():
            try:
                found |= {int(line) for line in (folder / "cgroup.procs").read_text().split()}
            except FileNotFoundError:
                continue
        return found


def version(root: Path = ROOT) -> int:
    """1 or 2. Raises BackEndMissing where this process can limit nothing."""
    if (root / "cgroup.controllers").is_file():
        missing = set(NEEDED) - set((root / "cgroup.controllers").read_text().split())
        writable, number = os.access(root / "cgroup.procs", os.W_OK), 2
    else:
        missing = {name for name in (*NEEDED, "cpuacct") if not (root / name / "cgroup.procs").is_file()}
        writable, number = all(os.access(root / name, os.W_OK) for name in {*NEEDED} - missing), 1
    if missing or not writable:
        why = f"no controller for {', '.join(sorted(missing))}" if missing else "this user may not make one"
        raise BackEndMissing(
            f"the bubblewrap tier needs control groups below {root}: {why}\n"
            'run it as root on a machine that has them, or get a Docker engine and set isolation = "docker"'
        )
    return number


def _set(file: Path, value: object) -> None:
    file.write_text(f"{value}\n")


def _table(file: Path) -> Mapping[str, int]:
    pairs = [line.split() for line in file.read_text().splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def _megabytes(file: Path) -> float | None:
    """None where this kernel does not keep it (`memory.peak` came with 5.19)."""
    return int(file.read_text()) / 2**20 if file.is_file() else None


def _remove(folder: Path) -> None:
    """The kernel takes a moment to notice that a group is empty."""
    give_up = time.monotonic() + 10
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return
