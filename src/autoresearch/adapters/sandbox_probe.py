"""Tries a real sandbox, on this machine, now: before a run, and at `autoresearch sandbox check`.

It runs the shipped `sandbox/probe.py`, whose bytes nobody here can choose, with
everything that an experiment gets.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import ValidationError

from autoresearch import assets
from autoresearch.errors import BackEndMissing, SandboxFailed
from autoresearch.ports import Collected, JobState
from autoresearch.records import (
    Isolation,
    Probe,
    ProbeRow,
    ResourceLimits,
    canonical,
    clip,
    digest_of,
    sha256,
)

LIMITS = ResourceLimits(seconds=30, memory_mb=64, cpus=1, processes=24, output_mb=4)
SHORT = LIMITS.model_copy(update={"seconds": 1})
KILLED = 137
"""Exit code after SIGKILL."""
KILL_SECONDS = 2.0
"""How long after its deadline a run may still be there."""
OWN_PROCESSES = 2
"""Process 1 and the probe itself count against the limit."""
OLDEST_PYTHON = (3, 11)
"""That the harness runs on."""
TESTED = ("x86_64", "amd64")
"""Architectures that the tests ran on; names differ between kernel and engine."""

What = Literal["escape", "memory", "time"]


class Probed(Protocol):
    """A sandbox that can be tried."""

    def isolation(self) -> Isolation: ...

    def machine(self) -> Mapping[str, str]:
        """What the answer depends on besides the isolation: `architecture`, `kernel` and whatever else."""
        ...

    def launch_probe(self, run_id: str, what: What, limits: ResourceLimits) -> None:
        """Start `sandbox/probe.py` as an experiment would be started."""
        ...

    def poll(self, run_id: str) -> JobState: ...

    def collect(self, run_id: str, limits: ResourceLimits, into: Path) -> Sequence[Collected | None]: ...

    def remove(self, run_id: str) -> None: ...


def script() -> bytes:
    return (assets.sandbox() / "probe.py").read_bytes()


def fresh_probe(sandbox: Probed, cache: Path) -> Probe:
    """A probe that holds: the one kept in `cache` of this very engine, policy and image, or a new one.

    Raises BackEndMissing naming what is not contained. Only what holds is kept.
    """
    key = digest_of(
        {
            "isolation": sandbox.isolation().model_dump(mode="json"),
            "machine": dict(sandbox.machine()),
            "script": sha256(script()),
        }
    )
    kept = cache / f"{key}.json"
    found = _read(kept)
    if found is None:
        found = probe(sandbox)
        require_contained(found)
        cache.mkdir(parents=True, exist_ok=True)
        scratch = cache / f"{key}.{os.getpid()}"
        scratch.write_bytes(canonical(found.model_dump(mode="json")))
        scratch.replace(kept)
    require_contained(found)
    return found


def _read(kept: Path) -> Probe | None:
    try:
        return Probe.model_validate_json(kept.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None  # made anew


def require_contained(found: Probe) -> None:
    """Raise BackEndMissing, naming the rows, unless everything is contained."""
    bad = [f"{row.name}: expected {row.expected}; found {row.found}" for row in found.rows if not row.ok]
    if bad:
        raise BackEndMissing(
            "the sandbox does not contain everything it should on this machine, so nothing runs in it: "
            + "; ".join(bad)
            + "\nlook closer with: autoresearch sandbox check"
        )


def probe(sandbox: Probed) -> Probe:
    """Try every limit, in about three seconds. Raises SandboxFailed if the back end fails."""
    isolation, machine = sandbox.isolation(), sandbox.machine()
    architecture = machine["architecture"]
    rows = _escape(_run(sandbox, "escape", LIMITS)[0], machine, isolation)
    facts = _run(sandbox, "memory", LIMITS)[0].facts
    # None: the back end cannot always tell why. What ends the shipped script early is the limit.
    killed = facts.out_of_memory or (facts.out_of_memory is None and facts.exit_code == KILLED)
    rows.append(
        ProbeRow(
            name="memory",
            expected="killed at the limit",
            found="killed at the limit" if killed else f"exit {facts.exit_code}",
            ok=killed,
        )
    )
    endless, seconds = _run(sandbox, "time", SHORT)
    wall = endless.facts.wall_seconds or seconds
    ended = "killed" if endless.facts.timed_out else "ended"
    in_time = endless.facts.timed_out is True and wall <= SHORT.seconds + KILL_SECONDS
    expected = f"killed within {SHORT.seconds + KILL_SECONDS:g} s"
    rows.append(
        ProbeRow(
            name="time",
            expected=expected,
            found=expected if in_time else f"{ended} after {wall:.0f} s",
            ok=in_time,
        )
    )
    return Probe(
        tier=isolation.tier,
        engine=isolation.engine,
        architecture=architecture,
        image=isolation.image,
        policy_sha256=isolation.policy_sha256,
        script_sha256=sha256(script()),
        untested=[] if architecture in TESTED else [f"the system call filter on {architecture}"],
        rows=rows,
    )


def _run(sandbox: Probed, what: What, limits: ResourceLimits) -> tuple[Collected, float]:
    """Run the shipped probe and take what it left. Also: seconds until it was gone."""
    run_id = f"probe-{what}-{os.getpid()}"
    sandbox.remove(run_id)
    began = time.monotonic()
    try:
        sandbox.launch_probe(run_id, what, limits)
        give_up = began + limits.seconds + 10 * KILL_SECONDS
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


def _escape(got: Collected, machine: Mapping[str, str], isolation: Isolation) -> list[ProbeRow]:
    found = _last_line(got)
    own_kernel = isolation.tier == "gvisor"
    unfinished = f"nothing (exit {got.facts.exit_code})"
    expectations: list[tuple[str, str, Callable[[Any], bool]]] = [
        ("processes", f"at most {LIMITS.processes}", lambda n: 0 < n <= LIMITS.processes - OWN_PROCESSES),
        ("network", "no route", lambda routes: routes == []),
        ("vsock", "EPERM", lambda error: error == "EPERM"),
        ("io_uring", "EPERM or ENOSYS", lambda error: error in ("EPERM", "ENOSYS")),
        ("write-outside", "nowhere", lambda places: places == []),
        ("disk", f"at most {LIMITS.output_mb} MB", lambda written: 0 < written <= LIMITS.output_mb),
        ("root", "none", lambda rights: rights == "none"),
        ("python", "3.11 or later", lambda version: tuple(version) >= OLDEST_PYTHON),
        (
            "kernel",
            "not the machine's" if own_kernel else "the machine's",
            lambda release: (release != machine["kernel"]) == own_kernel,
        ),
    ]
    return [
        ProbeRow(
            name=name,
            expected=expected,
            found=clip(_shown(found[name]), 200) if name in found else unfinished,
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
