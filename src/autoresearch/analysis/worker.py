"""Metric and contrast, computed in a process apart from the supervisor.

The files were written beside code that nobody trusts. Here they are parsed under
limits of time and memory, in a process without keys in its environment, and only
a few numbers come back. `compute` and `recompute_values` are for the steps; `main`
is the other side:

    python -I -m autoresearch.analysis.worker

reads the request's JSON in the first line of standard input and the bytes of files that
are in memory, one after the other, behind it; writes one JSON reply. Files held on disk
are read from there, one at a time.
"""

import json
import math
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import BinaryIO

from pydantic import JsonValue, ValidationError

from autoresearch.analysis.trials import TRIALS_FILE, Trial, parse_trials, raw_digest, raw_values
from autoresearch.contents import Content, HeldFile, size_of
from autoresearch.errors import AutoresearchError, InvalidInput
from autoresearch.records import (
    Arm,
    ArmSummary,
    Contrast,
    ContrastResult,
    ControlCheck,
    ControlResult,
    Digest,
    Frozen,
    MetricCard,
    PlanDraft,
    SecondaryContrast,
    SecondaryResult,
    TrialSpec,
    first_problem,
)

BASE_SECONDS = 60
SECONDS_PER_MB = 1
"""Parsing takes about a tenth of that."""
BASE_MEMORY = 2 * 2**30
"""Bytes of address space: numpy and scipy map about a third of it."""
MEMORY_PER_BYTE = 4
"""One trial's arrays are held at a time, files that came over standard input throughout."""
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")


class TrialValue(Frozen):
    """The metric of one issued trial, from its raw values."""

    index: int
    value: float | None
    """None: the trial did not end well."""
    raw_sha256: str | None
    """Digest of everything it returned, for comparing repetitions. None with `value`."""
    seconds: float | None
    """Self-reported. None: it did not end."""
    cpu_seconds: float | None = None
    """The same, of its process and of each descendant that was waited for."""
    data_sha256: Digest | None = None
    """Of what `make_data` made for it; None also where it makes none."""
    data_note: str = ""
    """Why what it made has no digest."""
    names: tuple[str, ...] = ()
    """Of everything that it returned, in order."""
    rows: int = 0
    """Numbers in the longest of the metric's arrays."""


@dataclass(frozen=True)
class Computed:
    """What the raw values of a completed run amount to."""

    arms: list[ArmSummary]
    contrast: ContrastResult
    trials: list[TrialValue]
    """By index."""
    secondary: list[SecondaryResult] = field(default_factory=list)
    controls: list[ControlResult] = field(default_factory=list)


class _Request(Frozen):
    metric: MetricCard
    issued: list[TrialSpec]
    arms: tuple[Arm, ...] = ()
    contrast: Contrast | None = None
    """None: values only, and trials that failed are no error."""
    secondary: tuple[SecondaryContrast, ...] = ()
    controls: tuple[ControlCheck, ...] = ()
    files: list[tuple[str, int]]
    """Path and size of each file that follows."""
    held: Mapping[str, str]
    """Path → where on disk it is held, under a name of the supervisor's."""
    seconds: int
    memory: int


class _Reply(Frozen):
    error: str | None = None
    """Set: the files are not what they must be."""
    trials: tuple[TrialValue, ...] = ()
    arms: tuple[ArmSummary, ...] = ()
    contrast: ContrastResult | None = None
    secondary: tuple[SecondaryResult, ...] = ()
    controls: tuple[ControlResult, ...] = ()


# ----------------------------------------------------------- in the supervisor


def compute(plan: PlanDraft, trials: Sequence[TrialSpec], files: Mapping[str, Content]) -> Computed:
    """Metric of every issued trial, summary of every arm, and the plan's contrasts and controls.

    `files` are those of the run: `trials.jsonl` and `arrays/…`; others are ignored.
    Every issued trial must have ended well. Raises InvalidInput for files that are not
    what they must be, AutoresearchError if the computation does not end.
    """
    reply = _ask(trials, files, metric=plan.metric, plan=plan)
    assert reply.contrast is not None
    return Computed(
        list(reply.arms), reply.contrast, list(reply.trials), list(reply.secondary), list(reply.controls)
    )


def recompute_values(
    metric: MetricCard, specs: Sequence[TrialSpec], files: Mapping[str, Content]
) -> list[TrialValue]:
    """The metric and the raw values' digest of each trial of `specs`, in their order.

    A trial that failed or never ended has None for both, and so has every trial if
    there is no `trials.jsonl`. Raises as `compute` does for everything else.
    """
    values = {value.index: value for value in _ask(specs, files, metric=metric).trials}
    return [values[spec.index] for spec in specs]


def _ask(
    issued: Sequence[TrialSpec],
    files: Mapping[str, Content],
    *,
    metric: MetricCard,
    plan: PlanDraft | None = None,
) -> _Reply:
    needed = {
        path: files[path] for path in sorted(files) if path == TRIALS_FILE or path.startswith("arrays/")
    }
    held = {path: file for path, file in needed.items() if isinstance(file, HeldFile)}
    sent = {path: data for path, data in needed.items() if isinstance(data, bytes)}
    size = sum(map(size_of, needed.values()))
    in_memory = sum(map(len, sent.values())) + max((file.size for file in held.values()), default=0)
    request = _Request(
        metric=metric,
        issued=list(issued),
        arms=tuple(plan.arms) if plan else (),
        contrast=plan.contrast if plan else None,
        secondary=tuple(plan.secondary) if plan else (),
        controls=tuple(plan.controls.checks) if plan else (),
        files=[(path, len(data)) for path, data in sent.items()],
        held={path: str(file.place.absolute()) for path, file in held.items()},
        seconds=BASE_SECONDS + SECONDS_PER_MB * size // 2**20,
        memory=BASE_MEMORY + MEMORY_PER_BYTE * in_memory,
    )
    header = request.model_dump_json().encode() + b"\n"
    output = _run(b"".join([header, *sent.values()]), request.seconds)
    try:
        reply = _Reply.model_validate_json(output)
    except ValidationError as error:
        raise AutoresearchError(
            f"the analysis process gave no usable reply: {first_problem(error)}"
        ) from error
    if reply.error is not None:
        raise InvalidInput(reply.error)
    return reply


def _run(data: bytes, seconds: int) -> bytes:
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    # One thread: sums keep one order, and each thread of OpenBLAS would map memory.
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "autoresearch.analysis.worker"],
            input=data,
            capture_output=True,
            timeout=seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise AutoresearchError(
            f"the metric could not be computed within {seconds} s; let run_trial return less in the plan's code"
        ) from error
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        why = last[0][:300] if last else "no message"
        raise AutoresearchError(f"the analysis process ended with code {done.returncode}: {why}")
    return done.stdout


# --------------------------------------------------------------- in the worker


def main() -> None:
    """One request in, one reply out. Anything but an InvalidInput ends with a traceback, code 1."""
    request, files = _read(sys.stdin.buffer)
    _limit(request)
    try:
        reply = _answer(request, files)
    except InvalidInput as error:
        reply = _Reply(error=str(error))
    except MemoryError:
        reply = _Reply(error=f"the trials' arrays need more than {request.memory // 2**20} MB to read")
    sys.stdout.write(reply.model_dump_json())


def _read(stream: BinaryIO) -> tuple[_Request, "_Files"]:
    request = _Request.model_validate(json.loads(stream.readline()))
    sent = {path: stream.read(size) for path, size in request.files}
    return request, _Files(sent, request.held)


class _Files(Mapping[str, bytes]):
    """The run's files; those held on disk are read each time they are asked for."""

    def __init__(self, sent: Mapping[str, bytes], held: Mapping[str, str]) -> None:
        self._sent, self._held = sent, held

    def __getitem__(self, path: str) -> bytes:
        return self._sent[path] if path in self._sent else Path(self._held[path]).read_bytes()

    def __iter__(self) -> Iterator[str]:
        return iter([*self._sent, *self._held])

    def __len__(self) -> int:
        return len(self._sent) + len(self._held)


def _limit(request: _Request) -> None:
    """A back-stop inside: memory, and an end even if the supervisor is no longer there to kill us."""
    resource.setrlimit(resource.RLIMIT_AS, (request.memory, request.memory))
    resource.setrlimit(resource.RLIMIT_CPU, (request.seconds, request.seconds + 1))


def _answer(request: _Request, files: Mapping[str, bytes]) -> _Reply:
    from autoresearch.analysis.contrasts import arm_summaries, contrast, secondary_contrasts

    if request.contrast is None and TRIALS_FILE not in files:
        files = {TRIALS_FILE: b""}  # a repetition that died before its first line
    found = {trial.index: trial for trial in parse_trials(files, request.issued).trials}
    if request.contrast is None:
        values = [_value(spec, found.get(spec.index), request.metric, files) for spec in request.issued]
        return _Reply(trials=tuple(values))
    for spec in request.issued:
        _require_ended(spec, found.get(spec.index))
    values = [_value(spec, found[spec.index], request.metric, files) for spec in request.issued]
    by_arm = _by_arm(request, values)
    return _Reply(
        trials=tuple(sorted(values, key=lambda value: value.index)),
        arms=tuple(_with_effort(arm_summaries(request.arms, by_arm), request.issued, found)),
        contrast=contrast(request.contrast, request.arms, by_arm),
        secondary=tuple(secondary_contrasts(request.secondary, request.arms, by_arm)),
        controls=tuple(_control(check, request, found, values, files) for check in request.controls),
    )


def _with_effort(
    arms: Sequence[ArmSummary], issued: Sequence[TrialSpec], found: Mapping[int, Trial]
) -> Iterator[ArmSummary]:
    """What a trial of each arm took on average."""
    for arm in arms:
        own = [found[spec.index] for spec in issued if spec.arm == arm.arm]
        taken = {
            "seconds": fmean(trial.seconds for trial in own),
            "cpu_seconds": fmean(trial.cpu_seconds for trial in own),
        }
        yield arm.model_copy(update=taken)


def _control(
    check: ControlCheck,
    request: _Request,
    found: Mapping[int, Trial],
    values: Sequence[TrialValue],
    files: Mapping[str, bytes],
) -> ControlResult:
    """The mean over the trials of its arm, less that of another, and whether it lies where the plan says."""
    card = request.metric
    if check.arrays:
        card = MetricCard.model_validate({**card.model_dump(), "arrays": check.arrays})

    def mean_of(arm: str) -> tuple[float, int]:
        own = [(s, v) for s, v in zip(request.issued, values, strict=True) if s.arm == arm]
        each = [
            _value(spec, found[spec.index], card, files).value if check.arrays else value.value
            for spec, value in own
        ]
        return math.fsum(value for value in each if value is not None) / len(each), len(each)

    mean, n = mean_of(check.arm)
    if check.minus:
        mean -= mean_of(check.minus)[0]
    low, high = check.low, check.high
    passed = (low is None or mean >= low) and (high is None or mean <= high)
    return ControlResult(control=check, n=n, mean=mean, passed=passed)


def _value(
    spec: TrialSpec, trial: Trial | None, metric: MetricCard, files: Mapping[str, bytes]
) -> TrialValue:
    from autoresearch.analysis.metrics import metric_value

    if trial is None or not trial.ok:
        return TrialValue(
            index=spec.index,
            value=None,
            raw_sha256=None,
            seconds=trial.seconds if trial else None,
            cpu_seconds=trial.cpu_seconds if trial else None,
        )
    raw = raw_values(trial, files)
    return TrialValue(
        index=spec.index,
        value=metric_value(metric, raw, _named(spec)),
        raw_sha256=raw_digest(raw),
        seconds=trial.seconds,
        cpu_seconds=trial.cpu_seconds,
        data_sha256=trial.data_sha256,
        data_note=trial.data_note,
        names=tuple(sorted(raw)),
        rows=max(_length(raw.get(name)) for name in metric.arrays.values()),
    )


def _length(value: JsonValue) -> int:
    return len(value) if isinstance(value, list) else 1


def _require_ended(spec: TrialSpec, trial: Trial | None) -> None:
    if trial is None:
        raise InvalidInput(f"{_named(spec)} has no line in {TRIALS_FILE}: it did not end")
    if not trial.ok:
        raise InvalidInput(f"{_named(spec)} failed: {' '.join(trial.error.split())[:200] or 'no message'}")


def _named(spec: TrialSpec) -> str:
    return f"trial {spec.index} (arm {spec.arm}, seed {spec.seed})"


def _by_arm(request: _Request, values: Sequence[TrialValue]) -> dict[str, list[float]]:
    """Arm → values in order of seed index, which is the order in which seeds were issued.

    Raises InvalidInput unless every arm was issued the same seeds in the same order.
    """
    seeds: dict[str, list[int]] = {arm.name: [] for arm in request.arms}
    metric: dict[str, list[float]] = {arm.name: [] for arm in request.arms}
    for spec, value in sorted(zip(request.issued, values, strict=True), key=lambda pair: pair[0].index):
        if spec.arm not in seeds:
            raise InvalidInput(f"{_named(spec)} is of no arm of the plan")
        assert value.value is not None
        seeds[spec.arm].append(spec.seed)
        metric[spec.arm].append(value.value)
    first = seeds[request.arms[0].name]
    for arm, own in seeds.items():
        if own != first or not own:
            raise InvalidInput(f"arm {arm} was not issued the same seeds as arm {request.arms[0].name}")
    return metric


if __name__ == "__main__":
    main()
