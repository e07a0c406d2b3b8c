"""`autoresearch sandbox check`: tries the real sandbox, on this machine, now.

It runs the shipped `sandbox/probe.py`, whose bytes nobody here can choose, with
everything that an experiment gets.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autoresearch.adapters.docker_policy import BACKUP_SECONDS, memory_mb
from autoresearch.adapters.docker_sandbox import DockerSandbox
from autoresearch.errors import SandboxFailed
from autoresearch.ports import Collected
from autoresearch.records import ResourceLimits

LIMITS = ResourceLimits(seconds=30, memory_mb=64, cpus=1, processes=24, output_mb=4)
SHORT = LIMITS.model_copy(update={"seconds": 1})
KILL_SECONDS = 2.0
"""How long after its deadline a run may still be there."""
OWN_PROCESSES = 2
"""`timeout` and the probe itself count against the limit."""


@dataclass(frozen=True)
class ProbeRow:
    name: str
    expected: str
    found: str
    ok: bool


def probe(sandbox: DockerSandbox) -> list[ProbeRow]:
    """Try every limit. About three seconds. Raises SandboxFailed if the engine fails."""
    rows = _escape(_run(sandbox, "escape", LIMITS)[0])
    memory, _ = _run(sandbox, "memory", LIMITS)
    rows.append(
        ProbeRow(
            "memory",
            f"killed at {memory_mb(LIMITS)} MB",
            "killed" if memory.facts.out_of_memory else f"exit {memory.facts.exit_code}",
            ok=memory.facts.out_of_memory is True,
        )
    )
    endless, seconds = _run(sandbox, "time", SHORT)
    wall = endless.facts.wall_seconds or seconds
    rows.append(
        ProbeRow(
            "time",
            f"killed within {SHORT.seconds + KILL_SECONDS:g} s",
            f"{'killed' if endless.facts.timed_out else 'ended'} after {wall:.1f} s",
            ok=endless.facts.timed_out is True and wall <= SHORT.seconds + KILL_SECONDS,
        )
    )
    return rows


def _run(
    sandbox: DockerSandbox, what: Literal["escape", "memory", "time"], limits: ResourceLimits
) -> tuple[Collected, float]:
    """Run the shipped probe and take what it left. Also: seconds until it was gone."""
    run_id = f"probe-{what}-{os.getpid()}"
    sandbox.remove(run_id)
    began = time.monotonic()
    try:
        sandbox.launch_probe(run_id, what, limits)
        give_up = began + limits.seconds + BACKUP_SECONDS + 10 * KILL_SECONDS
        while sandbox.poll(run_id).phase == "running":
            if time.monotonic() > give_up:
                raise SandboxFailed(f"the {what} probe still runs {KILL_SECONDS:g} s after its deadline")
            time.sleep(0.05)
        seconds = time.monotonic() - began
        with tempfile.TemporaryDirectory() as into:
            [got] = sandbox.collect(run_id, limits, Path(into))
        if got is None:
            raise SandboxFailed(f"nothing is left of the {what} probe")
        return got, seconds
    finally:
        sandbox.remove(run_id)


def _escape(got: Collected) -> list[ProbeRow]:
    found = _last_line(got)
    unfinished = f"nothing (exit {got.facts.exit_code})"
    expectations: list[tuple[str, str, Callable[[Any], bool]]] = [
        ("processes", f"at most {LIMITS.processes}", lambda n: 0 < n + OWN_PROCESSES <= LIMITS.processes),
        ("network", "no route", lambda routes: routes == []),
        ("vsock", "EPERM", lambda error: error == "EPERM"),
        ("io_uring", "EPERM or ENOSYS", lambda error: error in ("EPERM", "ENOSYS")),
        ("write-outside", "nowhere", lambda places: places == []),
        ("disk", f"at most {LIMITS.output_mb} MB", lambda written: 0 < written <= LIMITS.output_mb),
        ("root", "none", lambda rights: rights == "none"),
    ]
    return [
        ProbeRow(
            name,
            expected,
            _shown(found[name]) if name in found else unfinished,
            ok=name in found and holds(found[name]),
        )
        for name, expected, holds in expectations
    ]


def _last_line(got: Collected) -> dict[str, Any]:
    """What the probe printed; empty if it was ended before, by whatever it had set free."""
    try:
        found = json.loads(got.log.splitlines()[-1])
    except (ValueError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
