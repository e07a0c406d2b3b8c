"""Heads of a history that were seen before, kept outside of it, one to a line.

Digests inside a repository cannot show that the whole of it was rebuilt, or that its
end was cut off. A head written down elsewhere can: as long as history was only added
to, every head it ever had is still in it, with as many records before it as then.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from autoresearch.errors import InvalidInput
from autoresearch.records import count, sha256

ANCHORED = "every head anchored before is still in this history"
TITLE = "autoresearch anchors of project"
_LINE = re.compile(
    r"(?P<when>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (?P<records>\d{1,9}) records? (?P<head>[0-9a-f]{40}) (?P<above>[0-9a-f]{16})"
)


@dataclass(frozen=True)
class Anchored:
    """A head, when it was written down, and how many records the history up to it had."""

    when: datetime
    records: int
    head: str
    line: int = 0

    def problems(self, records_at: Mapping[str, int]) -> list[str]:
        """`records_at`: commit id → records up to it, of every commit of the history."""
        now = records_at.get(self.head)
        then = f"line {self.line}: the head of {self.when:%Y-%m-%d %H:%M} UTC, {self.head[:12]}"
        if now is None:
            return [f"{then} with {count(self.records, 'record')}, is gone: history was cut back or rebuilt"]
        if now != self.records:
            return [f"{then}, had {count(self.records, 'record')} up to it and has {now}"]
        return []


def read_anchors(text: str, project: str) -> list[Anchored]:
    """The heads in `text`. Raises InvalidInput naming the line unless it is what `with_anchor` writes for `project`."""
    if not text:
        return []
    if not text.endswith("\n"):
        raise InvalidInput("its last line is cut off; take the file from where you keep a copy")
    title, *lines = text.removesuffix("\n").split("\n")
    if not title.startswith(f"{TITLE} "):
        raise InvalidInput("line 1: this is no file of anchors; name another, or one that does not exist yet")
    if title != f"{TITLE} {project}":
        raise InvalidInput(f"line 1: it anchors another project than this one, which is {project}")
    found = []
    above = f"{title}\n"
    for number, line in enumerate(lines, 2):
        match = _LINE.fullmatch(line)
        if match is None:
            raise InvalidInput(f"line {number} is no anchor: {line[:60]!r}")
        if match["above"] != _digest(above):
            raise InvalidInput(
                f"line {number} does not continue what stands above it: something there was changed"
            )
        found.append(Anchored(_moment(match["when"], number), int(match["records"]), match["head"], number))
        above += f"{line}\n"
    return found


def with_anchor(text: str, project: str, anchored: Anchored) -> str:
    """What to add to `text` so that it holds this head, too; empty if its last line does already."""
    before = read_anchors(text, project)
    if before and before[-1].head == anchored.head:
        return ""
    title = "" if text else f"{TITLE} {project}\n"
    when = anchored.when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{title}{when} {count(anchored.records, 'record')} {anchored.head} {_digest(text + title)}\n"


def _digest(text: str) -> str:
    """Shows a slip or a clumsy edit. Whoever can write the file can work it out anew."""
    return sha256(text.encode())[:16]


def _moment(text: str, number: int) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise InvalidInput(f"line {number} has no such date: {text}") from error
