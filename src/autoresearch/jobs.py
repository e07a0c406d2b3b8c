"""What goes into every sandbox and what is taken out of it, whatever the sandbox is."""

import json
import re
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from autoresearch.contents import Content, NoRoom, hold
from autoresearch.errors import BackEndMissing, InvalidInput, SandboxFailed
from autoresearch.ports import Job, Needs
from autoresearch.records import ResourceLimits, TrialSpec, canonical, count

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 64 * 1024
DEEPEST_PATH = 6
LONGEST_PATH = 200
MOST_REFUSALS = 20
MOST_FILES = 16_384
"""Outputs of one run, directories included."""

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_PROGRESS = re.compile(rb"trial (\d{1,9})/\d{1,9} (?:ok|error)")


def inputs(job: Job, harness: bytes) -> dict[str, bytes]:
    """Path below `/in` → bytes: the experiment's files, the harness and `job.json`.

    Raises InvalidInput for a file that would not lie below `experiment/`.
    """
    for path in job.files:
        first, *rest = path.split("/")
        if first != "experiment" or not rest or not all(_PART.fullmatch(part) for part in rest):
            raise InvalidInput(
                f"{path!r} cannot go into the sandbox: it is not a plain path below experiment/"
            )
    return {**job.files, "harness.py": harness, "job.json": job_json(job)}


def job_json(job: Job) -> bytes:
    """What the harness reads; see `sandbox/harness.py`."""
    return canonical(
        {
            "trials": [trial.model_dump(mode="json") for trial in job.trials],
            "config": json.loads(json.dumps(dict(job.config), allow_nan=False)),
            "parallel": parallel_trials(job.limits),
            "command": list(job.command),
        }
    )


def shares(trials: Sequence[TrialSpec], workers: int) -> list[list[TrialSpec]]:
    """Each worker's trials, none without any.

    Whole seeds go round, so that no arm depends on which worker had it and a worker that
    is lost leaves whole pairs of the others.
    """
    seeds = {seed: n for n, seed in enumerate(dict.fromkeys(trial.seed for trial in trials))}
    dealt: list[list[TrialSpec]] = [[] for _ in range(max(1, min(workers, len(seeds))))]
    for trial in trials:
        dealt[seeds[trial.seed] % len(dealt)].append(trial)
    return dealt


def shared(job: Job) -> list[Job]:
    """One job for each worker."""
    return [replace(job, trials=share) for share in shares(job.trials, job.limits.workers)]


def refuse_needs(needs: Needs, tier: str) -> None:
    """For a tier that has nothing beyond its own environment: raise BackEndMissing naming what is asked."""
    asked = [f"environment {ENVIRONMENT_NAMES[bool(needs.environment.lock)]}"] if needs.environment else []
    asked += [f"data {', '.join(item.name for item in needs.inputs)}"] if needs.inputs else []
    asked += [count(needs.gpus, "GPU")] if needs.gpus else []
    if asked:
        raise BackEndMissing(
            f"the plan asks for {' and '.join(asked)}, which {tier} cannot give; "
            'use a Docker engine, with isolation = "docker" in autoresearch.toml'
        )


ENVIRONMENT_NAMES = {True: "requirements.lock", False: "of an own image"}


def parallel_trials(limits: ResourceLimits) -> int:
    """Trials at a time: one for each whole CPU."""
    return max(1, int(limits.cpus))


def why_refused(path: str) -> str | None:
    """Why an output of this name is not taken; None if it is. `path` is relative to `/out`."""
    parts = path.split("/")
    if len(path) > LONGEST_PATH:
        return f"its path is longer than {LONGEST_PATH} characters"
    if len(parts) > DEEPEST_PATH:
        return f"it lies deeper than {DEEPEST_PATH} directories"
    # `git~1` is `.git` on file systems with short names. A directory with a HEAD is a repository to git,
    # whatever it is called, and git obeys the settings beside it for whoever enters the directory.
    if any(part.lower().startswith((".git", "git~")) or part.lower() == "head" for part in parts):
        return "names that mean something to git are not taken"
    if not all(_PART.fullmatch(part) for part in parts):
        return "names consist of letters, digits and _ . -, and start with neither . nor -"
    if path != "trials.jsonl" and (len(parts) < 2 or parts[0] not in ("arrays", "artifacts")):
        return "only trials.jsonl, arrays/ and artifacts/ are taken"
    return None


def no_room(into: Path, error: OSError) -> SandboxFailed:
    return SandboxFailed(
        f"the outputs could not be kept in {into}: {(error.strerror or str(error)).lower()}\n"
        "they are still in the sandbox, and nothing was recorded: mend that, then: autoresearch run"
    )


class Outputs:
    """Files accepted one by one, up to a number and a size, and written below `into`.

    They get names of our own: no name from the sandbox ever reaches the file system.
    """

    def __init__(self, limits: ResourceLimits, into: Path) -> None:
        self.files: dict[str, Content] = {}
        self._into = into
        self.refused: list[str] = []
        self.truncated = False
        self.room = limits.output_mb * 2**20
        """Bytes that may still come."""
        self._seen = 0

    def fits(self, size: int) -> bool:
        """Whether one more file of `size` bytes may come. If not, the outputs are truncated."""
        self._seen += 1
        if size > self.room or self._seen > MOST_FILES:
            self.truncated = True
        return not self.truncated

    def take(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write one more file. Raises SandboxFailed if this machine has no room for it."""
        place = self._into / str(len(self.files))
        try:
            held = hold(place, chunks)
        except NoRoom as error:
            raise no_room(self._into, error) from error
        self.room -= held.size
        self.files[path] = held

    def refuse(self, path: str, why: str) -> None:
        """Note a refusal; names come from the sandbox, so they are shown in ASCII only."""
        if len(self.refused) < MOST_REFUSALS:
            shown = ascii(path[:LONGEST_PATH])
            self.refused.append(f"{shown}: {why}")
        elif len(self.refused) == MOST_REFUSALS:
            self.refused.append("and more, not listed")


class Log:
    """Head and tail of what a job printed, and how many trials it says have ended.

    `feed` comes from a thread of its own and never blocks: a reader that stops
    reading would stop the engine.
    """

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._dropped = 0
        self._line = bytearray()
        self._lock = threading.Lock()
        self.trials_done = 0

    def feed(self, chunk: bytes) -> None:
        with self._lock:
            self._count(chunk)
            room = HEAD_BYTES - len(self._head)
            self._head += chunk[:room]
            rest = chunk[room:]
            if rest:
                self._tail.append(rest)
                self._tail_size += len(rest)
            while self._tail and self._tail_size - len(self._tail[0]) >= TAIL_BYTES:
                gone = len(self._tail.popleft())
                self._tail_size -= gone
                self._dropped += gone

    def text(self) -> tuple[bytes, bool]:
        """The log with its cut marked, and whether it was cut."""
        with self._lock:
            tail = b"".join(self._tail)
            dropped = self._dropped + max(0, len(tail) - TAIL_BYTES)
            if not dropped:
                return bytes(self._head) + tail, False
            mark = f"\n[{dropped} bytes left out]\n".encode()
            return bytes(self._head) + mark + tail[-TAIL_BYTES:], True

    def _count(self, chunk: bytes) -> None:
        *ended, unended = (bytes(self._line) + chunk).split(b"\n")
        for line in ended:
            match = _PROGRESS.fullmatch(line.rstrip(b"\r"))
            if match:
                self.trials_done = max(self.trials_done, int(match[1]))
        # A line that may still become a progress line is short; a longer one never will.
        self._line = bytearray(unended[:64])


def directories(files: Mapping[str, bytes]) -> list[str]:
    """Every directory that holds one of `files`, parents first."""
    found = {"/".join(path.split("/")[:n]) for path in files for n in range(1, path.count("/") + 1)}
    return sorted(found)
