"""Where a record that was made again differs from the recorded one, field by field.

Two things can be asked of it: to be equal, or to be equal but for what other rules and
libraries explain. What a person decided, somebody forecast or a machine measured is
explained by neither.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from pydantic import JsonValue

from autoresearch.layout import FIGURE_DATA
from autoresearch.records import Kind, Record

TOLERANCE = 1e-6
"""Relative. Between versions of libraries the last digits of a number may move."""
GIVEN: tuple[Kind, ...] = (
    "proposal", "config", "fork", "prediction", "approval", "run", "result", "acceptance",
)  # fmt: skip
"""Records of what was decided, forecast or measured. A change of one is never put down to a version."""
HEADER = ("schema", "kind", "cycle", "attempt", "step", "parent", "inputs", "made_by")
"""Of a record. Who made it, from what, with which exchanges: nothing that a rule words anew."""
MESSAGE = "message of the commit"
DRAWN = (".svg", ".png")
WIDTH = 80
MOST_LINES = 3
"""Of one file, before the rest is counted."""


@dataclass(frozen=True)
class Difference:
    path: str
    """Of the field; or of the file, and where in it."""
    recorded: str
    derived: str

    def __str__(self) -> str:
        return f"{self.path}: recorded {self.recorded}, derived {self.derived}"


Files = Mapping[str, bytes]
"""Path in the record's own directory → content."""


def exactly(recorded: Record, derived: Record, was: Files, now: Files) -> Iterator[Difference]:
    """Every field that is not the same, then every file."""
    yield from fields(_plain(recorded), _plain(derived))
    yield from _files(was, now, tolerance=0.0)


def but_for_versions(recorded: Record, derived: Record, was: Files, now: Files) -> Iterator[Difference]:
    """Numbers to a relative tolerance, pages by what they say and figures by the data behind them."""
    old, new = _plain(recorded), _plain(derived)
    if recorded.kind == derived.kind == "report":
        for plain in (old, new):
            body = plain["body"]
            assert isinstance(body, dict)
            body.pop("pages")
    tolerance = 0.0 if recorded.kind in GIVEN else TOLERANCE
    yield from fields(old, new, tolerance=tolerance)
    by_data = FIGURE_DATA in was and FIGURE_DATA in now
    drawn = {path for path in was.keys() | now.keys() if by_data and path.endswith(DRAWN)}
    yield from _files(
        {path: data for path, data in was.items() if path not in drawn},
        {path: data for path, data in now.items() if path not in drawn},
        tolerance=tolerance,
    )


def explained(recorded: Record, difference: Difference) -> bool:
    """Whether another version of a rule or a library accounts for it."""
    if difference.path == MESSAGE:
        return True  # its words are worked out from the record, which is compared by itself
    made = recorded.made_by
    if recorded.kind in GIVEN or made.author == "person":
        return False
    if difference.path.split(".")[0] in HEADER or difference.path.startswith("exchange"):
        return False
    # What a model wrote stands in its reply; a rule adds findings to it, and the report's pages.
    return not made.exchanges or recorded.kind == "report" or difference.path.startswith("body.findings")


def fields(
    recorded: JsonValue, derived: JsonValue, path: str = "", *, tolerance: float = 0.0
) -> Iterator[Difference]:
    if isinstance(recorded, dict) and isinstance(derived, dict):
        for key in [*recorded, *(key for key in derived if key not in recorded)]:
            below = f"{path}.{key}" if path else key
            if key in recorded and key in derived:
                yield from fields(recorded[key], derived[key], below, tolerance=tolerance)
            else:
                yield Difference(below, _or_absent(recorded, key), _or_absent(derived, key))
    elif isinstance(recorded, list) and isinstance(derived, list):
        for index in range(max(len(recorded), len(derived))):
            below = f"{path}[{index}]"
            if index < min(len(recorded), len(derived)):
                yield from fields(recorded[index], derived[index], below, tolerance=tolerance)
            else:
                yield Difference(below, _or_absent(recorded, index), _or_absent(derived, index))
    elif not _same(recorded, derived, tolerance):
        yield Difference(path, *_shown(recorded, derived))


def _same(recorded: JsonValue, derived: JsonValue, tolerance: float) -> bool:
    if isinstance(recorded, bool) or isinstance(derived, bool):
        return recorded is derived
    if isinstance(recorded, int | float) and isinstance(derived, int | float):
        return abs(recorded - derived) <= tolerance * max(abs(recorded), abs(derived))
    return recorded == derived


def _files(was: Files, now: Files, *, tolerance: float) -> Iterator[Difference]:
    for path in sorted(was.keys() | now.keys()):
        if path not in was or path not in now:
            yield Difference(path, *("a file" if path in side else "absent" for side in (was, now)))
        elif was[path] != now[path]:
            yield from _file(path, was[path], now[path], tolerance)


def _file(path: str, was: bytes, now: bytes, tolerance: float) -> Iterator[Difference]:
    try:
        old, new = was.decode(), now.decode()
    except UnicodeDecodeError:
        yield Difference(path, f"{len(was)} bytes", f"{len(now)} other bytes")
        return
    if path.endswith(".json"):
        before, after = _json(old), _json(new)
        if before is not None and after is not None:
            yield from (
                Difference(f"{path} {found.path}", found.recorded, found.derived)
                for found in fields(before, after, tolerance=tolerance)
            )
            return
    lines = zip_longest(old.splitlines(), new.splitlines(), fillvalue="")
    differing = [(number, *pair) for number, pair in enumerate(lines, 1) if pair[0] != pair[1]]
    for number, line, other in differing[:MOST_LINES]:
        yield Difference(f"{path} line {number}", *_shown(line, other))
    if len(differing) > MOST_LINES:
        rest = f"{len(differing) - MOST_LINES} more lines"
        yield Difference(path, rest, "otherwise")
    if not differing:
        yield Difference(path, f"{len(was)} bytes", f"{len(now)} bytes: line ends differ")


def _json(text: str) -> JsonValue:
    """None for what is no JSON; it is compared as text."""
    try:
        found: JsonValue = json.loads(text)
    except ValueError:
        return None
    return found


def _plain(record: Record) -> dict[str, JsonValue]:
    return record.model_dump(mode="json", by_alias=True)


def _or_absent(holder: dict[str, JsonValue] | list[JsonValue], key: str | int) -> str:
    if isinstance(holder, dict):
        return _clipped(_text(holder[str(key)]), 0) if key in holder else "absent"
    index = int(key)
    return _clipped(_text(holder[index]), 0) if index < len(holder) else "absent"


def _shown(recorded: JsonValue, derived: JsonValue) -> tuple[str, str]:
    """Both, from a little before the first character that differs."""
    old, new = _text(recorded), _text(derived)
    first = next(
        (at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
    )
    start = 0 if max(len(old), len(new)) <= WIDTH else max(0, first - WIDTH // 4)
    return _clipped(old, start), _clipped(new, start)


def _text(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)


def _clipped(text: str, start: int) -> str:
    cut = text[start : start + WIDTH]
    return f"{'…' if start else ''}{cut}{'…' if start + WIDTH < len(text) else ''}"
