"""What a job's workers left, put together as if one had done it all.

Each worker is believed only about the trials it was given: a line or an array of
another's is left out and named. Files that are not of a trial keep the worker's number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoresearch.analysis.trials import MAX_LINE_BYTES, TRIALS_FILE, arrays_file, parse_line
from autoresearch.contents import Content, HeldFile, NoRoom, chunks_of, hold, lines_of, part_of
from autoresearch.credentials import credential_among, redacted
from autoresearch.errors import InvalidInput
from autoresearch.jobs import no_room, shared
from autoresearch.ports import Collected, Job, Sandbox
from autoresearch.records import HostFacts, TrialSpec

MERGED = "merged-trials"
MOST_REFUSALS = 50
UNOBSERVED = HostFacts(
    exit_code=None, wall_seconds=None, cpu_seconds=None, peak_memory_mb=None, out_of_memory=None,
    timed_out=None, output_truncated=None, started_at=None, ended_at=None,
)  # fmt: skip


def collect(sandbox: Sandbox, job: Job, into: Path) -> Collected:
    """Everything that is left of an ended job. Raises SandboxFailed."""
    parts = sandbox.collect(job.run_id, job.limits, into)
    if len(parts) == 1 and parts[0] is not None:
        return without_credentials(parts[0])
    return without_credentials(merged(parts, [share.trials for share in shared(job)], into))


def without_credentials(collected: Collected) -> Collected:
    """What looks like a credential is not taken: the ledger would refuse it, and the result with it."""
    found = {path: credential_among(chunks_of(content)) for path, content in collected.files.items()}
    refused = [f"{path}: it holds what looks like {what}" for path, what in sorted(found.items()) if what]
    return replace(
        collected,
        files={path: content for path, content in collected.files.items() if not found[path]},
        log=redacted(collected.log),
        refused=(*collected.refused, *refused),
    )


def merged(parts: Sequence[Collected | None], shares: Sequence[Sequence[TrialSpec]], into: Path) -> Collected:
    """One `Collected` of all workers' parts; `shares` are their trials, in the same order."""
    files: dict[str, Content] = {}
    refused: list[str] = []
    lines: list[_Line] = []
    for worker, (part, share) in enumerate(zip(parts, shares, strict=True)):
        if part is None:
            continue
        refused += [f"worker {worker}: {why}" for why in part.refused]
        own = {arrays_file(spec.index) for spec in share}
        for path, content in part.files.items():
            if path == TRIALS_FILE:
                lines += _lines(content, share, worker, refused)
            elif path in own:
                files[path] = content
            elif path.startswith("arrays/"):
                refused.append(f"worker {worker}: {path}: it belongs to no trial of this worker")
            else:
                folder, _, name = path.partition("/")
                files[f"{folder}/worker-{worker}/{name}"] = content
    there = [part for part in parts if part is not None]
    if any(TRIALS_FILE in part.files for part in there):
        lines.sort(key=lambda line: line.index)
        files[TRIALS_FILE] = _written(into, lines)
    return Collected(
        facts=_facts([part.facts for part in there], whole=len(there) == len(parts)),
        files=files,
        log=_log(parts),
        log_truncated=any(part.log_truncated for part in there) or len(there) < len(parts),
        refused=refused[:MOST_REFUSALS],
        workers_lost=len(parts) - len(there),
    )


@dataclass(frozen=True)
class _Line:
    """Where one trial's line stands; its text stays on disk."""

    index: int
    content: Content
    start: int
    size: int


def _lines(content: Content, share: Sequence[TrialSpec], worker: int, refused: list[str]) -> Iterator[_Line]:
    """The lines that are a trial of `share`, the first of each."""
    specs = {spec.index: spec for spec in share}
    for number, line in enumerate(lines_of(content, MAX_LINE_BYTES + 1), start=1):
        if not line.ended:
            return  # the harness died while it wrote it
        try:
            trial = parse_line(line.text, number, specs)
        except InvalidInput as error:
            if len(refused) < MOST_REFUSALS:
                refused.append(f"worker {worker}: {error}"[:500])
        else:
            del specs[trial.index]
            yield _Line(trial.index, content, line.start, len(line.text))


def _written(into: Path, lines: Sequence[_Line]) -> HeldFile:
    """One `trials.jsonl`, in the order of the trials."""
    texts = (part_of(line.content, line.start, line.size) + b"\n" for line in lines)
    try:
        return hold(into / MERGED, texts)
    except NoRoom as error:
        raise no_room(into, error) from error


def _facts(each: Sequence[HostFacts], *, whole: bool) -> HostFacts:
    """Of the whole job: use added up, what happened to any; None where a worker's is not known."""
    if not each:
        return UNOBSERVED
    began = [facts.started_at for facts in each if facts.started_at]
    ended = [facts.ended_at for facts in each if facts.ended_at]
    known = len(began) == len(ended) == len(each) and whole
    codes = [facts.exit_code for facts in each]
    cpu = [facts.cpu_seconds for facts in each if facts.cpu_seconds is not None]
    peaks = [facts.peak_memory_mb for facts in each if facts.peak_memory_mb is not None]
    measured = whole and len(cpu) == len(each)
    return HostFacts(
        exit_code=next((code for code in codes if code != 0), 0) if whole else None,
        wall_seconds=(max(ended) - min(began)).total_seconds() if known else None,
        cpu_seconds=sum(cpu) if measured else None,
        peak_memory_mb=max(peaks) if whole and len(peaks) == len(each) else None,
        out_of_memory=_any([facts.out_of_memory for facts in each], whole=whole),
        timed_out=_any([facts.timed_out for facts in each], whole=whole),
        output_truncated=_any([facts.output_truncated for facts in each], whole=whole),
        started_at=min(began) if len(began) == len(each) else None,
        ended_at=max(ended) if known else None,
    )


def _any(values: Sequence[bool | None], *, whole: bool) -> bool | None:
    """True if it happened to one; False only if it is known of all that it did not."""
    if True in values:
        return True
    return None if None in values or not whole else False


def _log(parts: Sequence[Collected | None]) -> bytes:
    return b"".join(
        b"[worker %d]\n%s\n" % (worker, part.log if part is not None else b"[nothing is left of it]")
        for worker, part in enumerate(parts)
    )
