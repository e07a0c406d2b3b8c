"""Where a record and its files stand in the project's repository, and what its commit says.

Both are functions of the record alone, so that `verify` can work them out again.
"""

import re
import unicodedata

from autoresearch.ports import attempt_dir, cycle_dir
from autoresearch.records import FileRef, Kind, Record

PROPOSAL_FILE = "proposal.md"
SETTINGS_FILE = "autoresearch.toml"
LOCK_FILE = "requirements.lock"
"""Beside the proposal, where that names it as the experiment's environment."""
WORKFLOW_DIR = "workflow"
NOTES_DIR = "notes"
SOURCES_DIR = "sources"
"""The person's reading material, beside the proposal."""
OWN_DIRS = (NOTES_DIR, SOURCES_DIR)
"""The person's own in a project: changed, and committed, as they like."""
IGNORE_FILE = ".gitignore"
FIGURE_DATA = "figures/result.json"
"""The numbers that a report's figure shows, among its pages."""
IGNORED = b"# Built again at any time by `autoresearch report`.\n/report/\n"

STANDARD_STEP: dict[Kind, str] = {
    "proposal": "start",
    "ideas": "ideate",
    "critique": "critique",
    "plan": "plan",
    "prediction": "predict",
    "preflight": "preflight",
    "approval": "approve",
    "run": "experiment",
    "result": "experiment",
    "check": "check",
    "conclusion": "conclude",
    "monitoring": "monitor",
    "acceptance": "accept",
    "report": "writeup",
}


def is_own(path: str) -> bool:
    """Whether a file is the person's alone: they may commit it, and no record vouches for it there."""
    return "/" in path and path.partition("/")[0] in OWN_DIRS


def record_path(record: Record) -> str:
    """Named for its kind, or for its step where a workflow has a second step of that kind."""
    stem = record.kind if STANDARD_STEP.get(record.kind) == record.step else record.step
    return f"{attempt_dir(record.cycle, record.attempt)}/{stem}.json"


def file_path(record: Record, ref: FileRef) -> str:
    """A report's pages belong to its cycle; everything else to the attempt that made it."""
    is_page = record.kind == "report" and ref not in record.made_by.exchanges
    place = cycle_dir(record.cycle) if is_page else attempt_dir(record.cycle, record.attempt)
    return f"{place}/{ref.path}"


def vouched_files(record: Record) -> dict[str, FileRef]:
    """Repository path → the file that the record vouches for, exchanges included."""
    refs = [*record.body.files(), *record.made_by.exchanges]
    return {file_path(record, ref): ref for ref in refs}


def commit_message(record: Record, parent: Record | None, digest: str = "", parent_digest: str = "") -> str:
    """Subject, diary and trailers. `parent` is the ledger's previous record. Known digests are not taken again."""
    paragraphs = [_one_line(f"{record.kind}: {record.body.headline()}")]
    diary = _plain(record.body.diary()).strip()
    if diary:
        paragraphs.append(diary)
    paragraphs.append("\n".join(_trailers(record, parent, digest, parent_digest)))
    return "\n\n".join(paragraphs) + "\n"


def _trailers(record: Record, parent: Record | None, digest: str, parent_digest: str) -> list[str]:
    made = record.made_by
    lines = [f"Record: {record.kind}@sha256:{digest or record.digest}"]
    if parent is not None:
        lines.append(f"Parent-Record: {parent.kind}@sha256:{parent_digest or parent.digest}")
    return [
        *lines,
        f"Cycle: {record.cycle}",
        f"Attempt: {record.attempt}",
        f"Step: {record.step}",
        f"Model: {_one_line(made.model)}",
        f"Tokens: {made.tokens.input}/{made.tokens.cached}/{made.tokens.output}",
        f"Cost-USD: {made.cost_usd}",
    ]


def trailers_of(message: str) -> dict[str, str]:
    """The trailers of a commit that this tool wrote; empty for any other commit.

    Only the last paragraph counts, so text in the diary cannot pose as a trailer.
    """
    last = message.rstrip("\n").rsplit("\n\n", 1)[-1]
    pairs = [line.split(": ", 1) for line in last.split("\n")]
    if any(len(pair) != 2 for pair in pairs) or not _names_a_record(pairs[0]):
        return {}
    return {pair[0]: pair[1] for pair in pairs}


def _names_a_record(pair: list[str]) -> bool:
    """A person may begin a note with the word, too."""
    return pair[0] == "Record" and re.fullmatch(r"[a-z]+@sha256:[0-9a-f]{64}", pair[1]) is not None


def _plain(text: str) -> str:
    """No control, format or surrogate character but the newline: commit messages reach terminals raw."""
    kept = text.replace("\r\n", "\n").replace("\t", "    ")
    if not kept.replace("\n", "").isprintable():
        kept = "".join(
            char if char == "\n" or unicodedata.category(char)[0] != "C" else "\N{REPLACEMENT CHARACTER}"
            for char in kept
        )
    return re.sub(r"\n\s*\n+", "\n\n", kept)


def _one_line(text: str) -> str:
    return " ".join(_plain(text).split())
