"""Two projects that share a history: where they part, and how what followed differs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from autoresearch.errors import InvalidInput
from autoresearch.ports import Entry
from autoresearch.records import Body, count
from autoresearch.reporting.terminal import Pen
from autoresearch.settings_in_force import project_in_force

SHOWN = 40
"""Characters of a value."""


@dataclass(frozen=True)
class Pair:
    """A record of each side that its step made, or of one side alone."""

    here: Entry | None
    there: Entry | None

    def differing(self) -> list[str]:
        """The fields whose values differ, with the values where they are short."""
        if self.here is None or self.there is None:
            return []
        return list(_differing(self.here.record.body, self.there.record.body))


@dataclass(frozen=True)
class Parting:
    here: Sequence[Entry]
    there: Sequence[Entry]
    shared: int
    """How many records both have."""

    def pairs(self) -> list[Pair]:
        """What followed, in order; a record that only one side has stands alone."""
        here, there = self.here[self.shared :], self.there[self.shared :]
        steps = [[(entry.record.step, entry.record.kind) for entry in side] for side in (here, there)]
        pairs = []
        for tag, a, b, c, d in SequenceMatcher(a=steps[0], b=steps[1], autojunk=False).get_opcodes():
            if tag == "equal":
                pairs += [Pair(one, other) for one, other in zip(here[a:b], there[c:d], strict=True)]
            else:
                pairs += [Pair(one, None) for one in here[a:b]] + [Pair(None, one) for one in there[c:d]]
        return pairs


def parting(here: Sequence[Entry], there: Sequence[Entry]) -> Parting:
    """Raises InvalidInput if the two have no commit in common."""
    shared = 0
    while shared < min(len(here), len(there)) and here[shared].commit == there[shared].commit:
        shared += 1
    if not shared:
        raise InvalidInput(
            "the two projects share no history: neither is a fork of the other or of its parent"
        )
    return Parting(here, there, shared)


def parting_lines(found: Parting, *, width: int, color: bool) -> list[str]:
    pen = Pen(width, color)
    last = found.here[found.shared - 1]
    place = f"{last.record.step} (cycle {last.record.cycle}, attempt {last.record.attempt})"
    lines = [
        _side("here", found.here, found.shared),
        _side("there", found.there, found.shared),
        f"shared {found.shared} records, the last {place}, commit {last.commit[:12]}",
    ]
    pairs = found.pairs()
    if not pairs:
        return [*map(pen.line, lines), "they do not part: neither has a record that the other lacks"]
    return [*map(pen.line, lines), *(line for pair in pairs for line in ("", *_pair_lines(pair, pen)))]


def parting_json(found: Parting) -> dict[str, object]:
    last = found.here[found.shared - 1]
    return {
        "here": {"project": project_in_force(found.here), "records": len(found.here)},
        "there": {"project": project_in_force(found.there), "records": len(found.there)},
        "shared": {
            "records": found.shared,
            "commit": last.commit,
            "digest": last.digest,
            "step": last.record.step,
        },
        "followed": [
            {"here": _named(pair.here), "there": _named(pair.there), "differing": pair.differing()}
            for pair in found.pairs()
        ],
    }


def _side(name: str, entries: Sequence[Entry], shared: int) -> str:
    return f"{name:<7}project {project_in_force(entries)[:8]}, {count(len(entries) - shared, 'record')} of its own"


def _pair_lines(pair: Pair, pen: Pen) -> Iterator[str]:
    entry = pair.here or pair.there
    assert entry is not None
    title = f"{entry.record.step}, {entry.record.kind}"
    fields = pair.differing()
    if pair.here is None or pair.there is None:
        yield pen.warn(pen.line(f"{title}: only {'here' if pair.here else 'there'}"))
    else:
        yield pen.strong(pen.line(f"{title}: {'differs' if fields else 'says the same'}"))
    for name, one in (("here", pair.here), ("there", pair.there)):
        if one is not None and (fields or pair.here is None or pair.there is None):
            yield pen.line(f"{name:<7}attempt {one.record.attempt}: {one.record.body.headline()}", 2)
    for field in fields:
        yield pen.line(field, 4)


def _differing(here: Body, there: Body) -> Iterator[str]:
    one, other = here.model_dump(mode="json"), there.model_dump(mode="json")
    for name in one:
        before, after = one[name], other.get(name)
        if before == after:
            continue
        shown = [str(value) for value in (before, after)]
        brief = all(len(value) <= SHOWN for value in shown)
        yield (
            f"{name.replace('_', ' ')}: {shown[0]} here, {shown[1]} there"
            if brief
            else name.replace("_", " ")
        )


def _named(entry: Entry | None) -> dict[str, object] | None:
    if entry is None:
        return None
    record = entry.record
    return {
        "step": record.step, "kind": record.kind, "cycle": record.cycle, "attempt": record.attempt,
        "digest": entry.digest, "commit": entry.commit, "headline": record.body.headline(),
    }  # fmt: skip
