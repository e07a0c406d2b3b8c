"""What the harness wrote, read against what was issued.

`trials.jsonl` holds one line a trial, in the order in which they ended:

    {"index": 0, "arm": "a", "seed": 1, "status": "ok", "seconds": 0.1, "cpu_seconds": 0.1,
     "values": {"accuracy": 0.9}, "arrays": "arrays/0.json", "error": null,
     "data_sha256": null, "data_note": null}

and `arrays/0.json` the long values of trial 0 by name. Everything in them was
written beside the experiment's code, so it counts as self-reported and hostile.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from autoresearch.analysis.strict_json import loads
from autoresearch.errors import InvalidInput
from autoresearch.records import Digest, TrialSpec, clip, first_problem

TRIALS_FILE = "trials.jsonl"
MAX_LINE_BYTES = 4 * 2**20
MAX_ARRAYS_BYTES = 256 * 2**20
MAX_DEPTH = 16
Seconds = Annotated[float, Field(ge=0, le=1e9)]


@dataclass(frozen=True)
class Trial:
    """One line of `trials.jsonl`. `values` lacks what stands in `arrays/<index>.json`."""

    index: int
    arm: str
    seed: int
    ok: bool
    error: str
    """Why it failed, as the harness says; empty if it did not."""
    seconds: float
    """Self-reported."""
    cpu_seconds: float
    """Of its process and of each descendant that was waited for. Self-reported."""
    values: Mapping[str, JsonValue]
    has_arrays: bool
    """More values stand in `arrays/<index>.json`."""
    data_sha256: str | None
    """Of what `make_data` made for it. None: it made none, or `data_note` says why not. Self-reported."""
    data_note: str


@dataclass(frozen=True)
class Trials:
    trials: Sequence[Trial]
    """Those that ended, by index."""
    missing: Sequence[TrialSpec]
    """Issued, but without a line."""
    dropped_line: bool
    """The last line had no end: the harness died while writing it, and it was left out."""


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    index: int
    arm: str
    seed: int
    status: Literal["ok", "error"]
    seconds: Seconds
    cpu_seconds: Seconds
    values: dict[str, JsonValue]
    arrays: str | None
    error: str | None
    data_sha256: Digest | None
    data_note: Annotated[str, Field(max_length=200)] | None


def parse_trials(files: Mapping[str, bytes], issued: Sequence[TrialSpec]) -> Trials:
    """The trials in `files`, each matched with the one that was issued under its index.

    Raises InvalidInput, naming the line, for a line that is not a trial, one that was
    not issued so (index, arm, seed), and a second line for one index.
    """
    if TRIALS_FILE not in files:
        raise InvalidInput(f"{TRIALS_FILE} is missing: the run left no trial")
    *lines, rest = files[TRIALS_FILE].split(b"\n")
    specs = {spec.index: spec for spec in issued}
    found: dict[int, Trial] = {}
    for number, line in enumerate(lines, start=1):
        trial = parse_line(line, number, specs)
        if trial.index in found:
            raise InvalidInput(f"{TRIALS_FILE} line {number}: trial {trial.index} stands here a second time")
        found[trial.index] = trial
    return Trials(
        trials=[found[index] for index in sorted(found)],
        missing=[spec for spec in issued if spec.index not in found],
        dropped_line=rest != b"",
    )


def raw_values(trial: Trial, files: Mapping[str, bytes]) -> dict[str, JsonValue]:
    """Everything that the trial returned: its line's values and its arrays, by name.

    Raises InvalidInput if the arrays' file is missing or repeats a name of `values`.
    """
    if not trial.has_arrays:
        return dict(trial.values)
    path = arrays_file(trial.index)
    if path not in files:
        raise InvalidInput(f"{path} is missing, but trial {trial.index} announces it")
    arrays = loads(files[path], max_bytes=MAX_ARRAYS_BYTES, max_depth=MAX_DEPTH, name=path)
    if not isinstance(arrays, dict):
        raise InvalidInput(f"{path}: not an object of arrays by name")
    twice = set(arrays) & set(trial.values)
    if twice:
        raise InvalidInput(f"{path}: {clip(', '.join(sorted(twice)), 100)} stands in {TRIALS_FILE} too")
    return {**trial.values, **arrays}


def arrays_file(index: int) -> str:
    return f"arrays/{index}.json"


def raw_digest(values: Mapping[str, JsonValue]) -> str:
    """SHA-256, in hex, of raw values in one rendering: equal if and only if every number is.

    Not RFC 8785, which takes minutes for large arrays and refuses large integers: keys
    in order, shortest decimal of each double, so that 1 and 1.0 differ, as −0.0 and 0.0.
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def parse_line(data: bytes, number: int, specs: Mapping[int, TrialSpec]) -> Trial:
    """Line `number` of a `trials.jsonl`: one of `specs`, by index. Raises InvalidInput."""
    trial = _parse_line(data, f"{TRIALS_FILE} line {number}")
    _check_issued(trial, specs.get(trial.index), number)
    return trial


def _parse_line(data: bytes, where: str) -> Trial:
    value = loads(data, max_bytes=MAX_LINE_BYTES, max_depth=MAX_DEPTH, name=where)
    try:
        line = _Line.model_validate(value)
    except ValidationError as error:
        raise InvalidInput(f"{where}: {clip(first_problem(error), 200)}") from error
    if line.arrays not in (None, arrays_file(line.index)):
        raise InvalidInput(f"{where}: arrays must be {arrays_file(line.index)} or null")
    return Trial(
        index=line.index,
        arm=line.arm,
        seed=line.seed,
        ok=line.status == "ok",
        error=line.error or "",
        seconds=line.seconds,
        cpu_seconds=line.cpu_seconds,
        values=line.values,
        has_arrays=line.arrays is not None,
        data_sha256=line.data_sha256,
        data_note=clip(line.data_note or "", 200),
    )


def _check_issued(trial: Trial, spec: TrialSpec | None, number: int) -> None:
    if spec is None:
        raise InvalidInput(f"{TRIALS_FILE} line {number}: no trial {trial.index} was issued")
    if (trial.arm, trial.seed) != (spec.arm, spec.seed):
        raise InvalidInput(
            f"{TRIALS_FILE} line {number}: trial {trial.index} was issued as arm {spec.arm}, "
            f"seed {spec.seed}, but stands here as arm {clip(trial.arm, 64)}, seed {trial.seed}"
        )
