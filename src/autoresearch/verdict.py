"""What checking a history came to: a table for somebody who believes nothing, and what it cannot see."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from autoresearch.records import count
from autoresearch.safe_text import escape

MOST_SHOWN = 10
"""Problems of one check."""


@dataclass(frozen=True)
class Row:
    """One check over the whole history."""

    name: str
    looked_at: int
    of: str
    """What was looked at, as a noun."""
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def sign(self) -> str:
        if self.problems:
            return "✗"
        return "✓" if self.looked_at else "–"


@dataclass(frozen=True)
class Signing:
    """What stands behind the decisions at the gates."""

    unsigned: int
    signers: tuple[str, ...]
    """Name, address and fingerprint, once a decision whose signature holds."""

    def line(self) -> str:
        signed = len(self.signers)
        if not signed:
            return "unsigned: no decision here is signed, so each rests on the word of whoever can write to this repository"
        by = escape(", ".join(sorted(set(self.signers))))
        rest = (
            f"; {self.unsigned} unsigned: anybody who can write here could have made them"
            if self.unsigned
            else ""
        )
        return f"signed: {count(signed, 'decision')}, by {by}{rest}"


@dataclass(frozen=True)
class Verdict:
    rows: tuple[Row, ...]
    head: str
    records: int
    signing: Signing
    unseen: tuple[str, ...] = ()
    """Large files that this clone does not have."""
    notes: tuple[str, ...] = ()
    """What was compared less strictly than it could have been, and why."""
    anchored: bool = False

    @property
    def sound(self) -> bool:
        return all(row.ok for row in self.rows)

    def lines(self) -> Iterator[str]:
        width = max(len(row.name) for row in self.rows)
        for row in self.rows:
            yield f"{row.sign} {row.name:<{width}} {row.looked_at:>6} {row.of if row.looked_at != 1 else _one(row.of)}"
            yield from (f"    {problem}" for problem in row.problems[:MOST_SHOWN])
            if len(row.problems) > MOST_SHOWN:
                yield f"    and {len(row.problems) - MOST_SHOWN} more"
        yield from (f"  {note}" for note in self.notes)
        for path in self.unseen:
            yield f"  not in this clone, so neither compared nor to be computed from: {path}"
        yield f"head {self.head}, {count(self.records, 'record')}: {'sound' if self.sound else 'NOT SOUND'}"
        yield self.signing.line()
        yield self.blind_spots

    @property
    def blind_spots(self) -> str:
        return blind_spots(signed=bool(self.signing.signers), anchored=self.anchored)

    def as_json(self) -> dict[str, object]:
        return {
            "sound": self.sound,
            "head": self.head,
            "records": self.records,
            "checks": [
                {"name": row.name, "looked_at": row.looked_at, "of": row.of, "problems": list(row.problems)}
                for row in self.rows
            ],
            "notes": list(self.notes),
            "unseen": list(self.unseen),
            "signed_decisions": len(self.signing.signers),
            "unsigned_decisions": self.signing.unsigned,
            "anchored": self.anchored,
            "blind_spots": self.blind_spots,
        }


def blind_spots(*, signed: bool, anchored: bool) -> str:
    """The last line: what nothing above could have found."""
    if anchored:
        changed = "what was rebuilt or cut back behind the last anchored head"
    elif signed:
        changed = "a history rebuilt from before the first key, or cut back to an earlier record,"
    else:
        changed = "a history rebuilt, or cut back to an earlier record,"
    missing = [word for word, there in (("signature", signed), ("anchor", anchored)) if not there]
    without = f" ({', '.join(f'no {word}' for word in missing)})" if missing else ""
    read = (
        "whether a person held the key, and read what they signed"
        if signed
        else "whether the reviewer read what they approved"
    )
    return (
        f"cannot see: {changed} by someone who can write here{without}; {read}; "
        "anything the sandbox did not measure"
    )


@dataclass
class Findings:
    """Check by check, what was looked at and what was wrong with it."""

    nouns: Mapping[str, str]
    """Name of each check → what it looks at. Every one is a row, also where there was nothing to look at."""
    problems: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def look(self, check: str, *problems: str, at: int = 1) -> None:
        """`problems` quote the history, so nothing in them may reach a terminal as it is."""
        self.counts[check] = self.counts.get(check, 0) + at
        self.problems.setdefault(check, []).extend(map(escape, problems))

    def rows(self) -> tuple[Row, ...]:
        return tuple(
            Row(name, self.counts.get(name, 0), noun, tuple(self.problems.get(name, ())))
            for name, noun in self.nouns.items()
        )


def _one(noun: str) -> str:
    return noun.removesuffix("ies") + "y" if noun.endswith("ies") else noun.removesuffix("s")
