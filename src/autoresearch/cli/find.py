"""Find a record by what a person calls it, and show how two versions differ."""

import difflib
from collections.abc import Iterator, Sequence

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.errors import InvalidInput
from autoresearch.layout import vouched_files
from autoresearch.ports import Entry
from autoresearch.safe_text import escape

SHORTEST_PREFIX = 4


def find_entry(entries: Sequence[Entry], name: str, cycle: int | None, attempt: int | None) -> Entry:
    """The latest record whose step, kind or digest prefix is `name`."""
    named = [entry for entry in entries if _goes_by(entry, name)]
    found = [
        entry
        for entry in named
        if cycle in (None, entry.record.cycle) and attempt in (None, entry.record.attempt)
    ]
    if found:
        return found[-1]
    if named:
        asked = ", ".join(
            f"{what} {n}" for what, n in (("cycle", cycle), ("attempt", attempt)) if n is not None
        )
        raise InvalidInput(
            f"no record in {asked} goes by {name!r}; the last one that does: {_name(named[-1])}"
        )
    known = list(dict.fromkeys(word for entry in entries for word in (entry.record.step, entry.record.kind)))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
    raise InvalidInput(f"no record goes by {name!r}; {hint}")


def version_before(entries: Sequence[Entry], entry: Entry) -> Entry:
    """The record of the same step before this one."""
    earlier = [
        other
        for other in entries[: entries.index(entry)]
        if (other.record.step, other.record.kind) == (entry.record.step, entry.record.kind)
    ]
    if not earlier:
        raise InvalidInput(f"the {entry.record.kind} record has only one version")
    return earlier[-1]


def diff_lines(ledger: GitLedger, old: Entry, new: Entry, there: GitLedger | None = None) -> Iterator[str]:
    """Unified diff of two records and of the text files they vouch for, from blobs. `there`: `new` is in another project."""
    yield from _diff(_name(old), _name(new), old.record.to_bytes(), new.record.to_bytes())
    before, after = _texts(ledger, old), _texts(there or ledger, new)
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            yield from _diff(
                f"{_name(old)}/{path}", f"{_name(new)}/{path}", before.get(path, b""), after.get(path, b"")
            )


def _goes_by(entry: Entry, name: str) -> bool:
    is_prefix = len(name) >= SHORTEST_PREFIX and (
        entry.digest.startswith(name) or entry.commit.startswith(name)
    )
    return name in (entry.record.step, entry.record.kind) or is_prefix


def _name(entry: Entry) -> str:
    return f"{entry.record.kind} (cycle {entry.record.cycle}, attempt {entry.record.attempt})"


def _texts(ledger: GitLedger, entry: Entry) -> dict[str, bytes]:
    refs = vouched_files(entry.record)
    return {
        ref.path: ledger.read(path, entry.commit)
        for path, ref in refs.items()
        if ref.committed and ref.size < 200_000
    }


def _diff(old_name: str, new_name: str, old: bytes, new: bytes) -> Iterator[str]:
    before, after = (data.decode("utf-8", "replace").splitlines() for data in (old, new))
    yield from map(escape, difflib.unified_diff(before, after, old_name, new_name, lineterm=""))
