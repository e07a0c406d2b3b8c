"""Ranges on one axis, in characters: what was forecast above what came out."""

from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch.adapters.screen_text import LABEL, Look, digits


@dataclass(frozen=True)
class Range:
    """Low, middle and high of one thing, in the contrast's unit."""

    label: str
    low: float
    middle: float
    high: float
    what: str
    """What low and high are, e.g. `10/50/90`."""

    def figures(self) -> str:
        return f"{digits(self.middle)} [{digits(self.low)}, {digits(self.high)}] {self.what}"


def text_plot(look: Look, ranges: Sequence[Range], *, null: float) -> list[str]:
    """One row a range, a column of figures at the right, the axis below; `:` marks `null`."""
    column = max(len(r.figures()) for r in ranges)
    width = max(look.width - LABEL - column - 2, 10)
    least = min(null, *(r.low for r in ranges))
    most = max(null, *(r.high for r in ranges))

    def at(value: float) -> int:
        # Halves first: the span of two huge numbers of unlike sign is no longer finite.
        span = most / 2 - least / 2
        return 0 if span <= 0 else round((value / 2 - least / 2) / span * (width - 1))

    left, line, middle, right = "├─●┤" if look.unicode else "|-o|"
    rows = []
    for r in ranges:
        cells = [" "] * width
        cells[at(null)] = ":"
        for place in range(at(r.low), at(r.high) + 1):
            cells[place] = line
        cells[at(r.low)], cells[at(r.high)], cells[at(r.middle)] = left, right, middle
        rows.append(look.strong(f"{r.label:<{LABEL}}") + "".join(cells) + f"  {r.figures()}")
    return [*rows, " " * LABEL + _axis(least, most, null, at(null), width)]


def _axis(least: float, most: float, null: float, place: int, width: int) -> str:
    """The figures below the axis: its ends, and the null where there is room for it."""
    left, right, zero = digits(least), digits(most), digits(null)
    cells = list(left + " " * max(width - len(left) - len(right), 1) + right)
    start = min(max(place - len(zero) // 2, 0), width - len(zero))
    room = cells[max(start - 1, 0) : start + len(zero) + 1]
    if null not in (least, most) and all(cell == " " for cell in room):
        cells[start : start + len(zero)] = zero
    return "".join(cells)
