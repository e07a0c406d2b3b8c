"""The look that both gates share: headings, labelled rows, and a margin round foreign text."""

from collections.abc import Iterable
from dataclasses import dataclass

from autoresearch.safe_text import cells, clip, escape, wrap

LABEL = 12
"""Columns of the labels at the left."""
NARROW = 60
"""Below this many columns a label stands on its own line."""


@dataclass(frozen=True)
class Look:
    """What the terminal can show."""

    width: int = 80
    height: int = 24
    unicode: bool = True
    """False: everything outside ASCII is shown by its code."""
    plain: bool = False
    """For screen readers and logs: no rules, no plot, an ASCII margin, no colour."""
    colour: bool = False

    @property
    def bar(self) -> str:
        return "│ " if self.unicode and not self.plain else "| "

    @property
    def bar_on(self) -> str:
        """The margin of a line that continues the one above."""
        return "┊ " if self.unicode and not self.plain else ": "

    def strong(self, text: str) -> str:
        return self._sgr("1", text)

    def alarm(self, text: str) -> str:
        return self._sgr("1;31", text)

    def good(self, text: str) -> str:
        return self._sgr("32", text)

    def _sgr(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text

    def safe(self, text: str) -> str:
        return escape(text, ascii_only=not self.unicode)

    def line(self, text: str) -> str:
        """Foreign text as one safe line, for use inside a sentence of ours."""
        return " ".join(self.safe(text).split())


def heading(look: Look, left: str, right: str) -> str:
    """The first line of a screen."""
    if look.plain:
        return f"{left}, {right}"
    if cells(left) + cells(right) + 8 >= look.width:
        return look.strong(clip(f"{right}  {left}", look.width))
    rule = "─" if look.unicode else "-"
    fill = max(look.width - cells(left) - cells(right) - 8, 1)
    return look.strong(clip(f"{rule * 2} {left} {rule * fill} {right} {rule * 2}", look.width))


def own(look: Look, label: str, text: str, *, alarm: bool = False) -> list[str]:
    """A row of our own words; foreign fragments in it must be safe already."""
    paint = look.alarm if alarm else str
    if look.width < NARROW:
        rows = [paint(piece) for piece in wrap(text, look.width, words=True)]
        return [look.strong(label), *rows] if label else rows
    pieces = wrap(text, look.width - LABEL, words=True)
    labels = [label, *[""] * (len(pieces) - 1)]
    return [
        look.strong(f"{name:<{LABEL}}") + paint(piece) for name, piece in zip(labels, pieces, strict=True)
    ]


def theirs(look: Look, label: str, text: str, most: int, *, tail: str = "") -> list[str]:
    """A row of foreign text in at most `most` lines, each behind the margin.

    `tail` (ours, safe) is kept whole at the end where the text has to be cut.
    """
    narrow = look.width < NARROW
    indent = 0 if narrow else LABEL
    pieces = _cut(look.line(text), tail, _room(look), most)
    margins = [look.bar, *[look.bar_on] * (len(pieces) - 1)]
    labels = [label, *[""] * (len(pieces) - 1)]
    if narrow:
        rows = [margin + piece for margin, piece in zip(margins, pieces, strict=True)]
        return [look.strong(label), *rows] if label else rows
    return [
        look.strong(f"{name:<{indent}}") + margin + piece
        for name, margin, piece in zip(labels, margins, pieces, strict=True)
    ]


def whole(look: Look, text: str, most: int, *, tail: str = "") -> bool:
    """Whether `theirs` shows all of the text."""
    return len(wrap(f"{look.line(text)}{tail}", _room(look), words=True)) <= most


def _room(look: Look) -> int:
    """Columns of foreign text beside its label."""
    indent = 0 if look.width < NARROW else LABEL
    return max(look.width - indent - len(look.bar), 8)


def _cut(text: str, tail: str, width: int, most: int) -> list[str]:
    """`text` and `tail` in at most `most` lines (one more if the tail alone is wider)."""
    room = len(text)
    pieces = wrap(f"{text}{tail}", width, words=True)
    while len(pieces) > most and room > 0:
        room -= max(1, (len(pieces) - most - 1) * width)
        pieces = wrap(f"{text[:room].rstrip()}...{tail}", width, words=True)
    return pieces


def several(look: Look, label: str, texts: Iterable[tuple[str, str]], most: int, lines: int) -> list[str]:
    """Rows of foreign (text, tail), at most `most`, `lines` each; the last says how many were left out."""
    items = list(texts)
    left_out = f" (and {len(items) - most} more)" if len(items) > most else ""
    rows: list[str] = []
    for place, (text, tail) in enumerate(items[:most]):
        ending = tail + left_out if place == most - 1 else tail
        rows += theirs(look, "" if place else label, text, lines, tail=ending)
    return rows


def sentence(look: Look, text: str, *, alarm: bool = False) -> list[str]:
    """Our own words over the whole width."""
    paint = look.alarm if alarm else str
    return [paint(piece) for piece in wrap(text, look.width, words=True)]


def packed(look: Look, head: str, items: Iterable[str], gap: str) -> list[str]:
    """Our own items after `head`, as many a line as fit, none broken unless wider than a line."""
    lines, line = [], head
    for place, item in enumerate(items):
        joined = line + item if place == 0 else line + gap + item
        if place and len(joined) + len(gap.rstrip()) > look.width:
            lines.append(line + gap.rstrip())
            joined = item
        line = joined
    return [row for each in [*lines, line] for row in wrap(each, look.width, words=True)]


def page(look: Look, text: str, *, words: bool = True) -> list[str]:
    """A whole foreign text behind the margin, long lines wrapped with another margin."""
    rows = []
    for line in look.safe(text).split("\n"):
        pieces = wrap(line, max(look.width - len(look.bar), 8), words=words)
        rows += [look.bar + pieces[0], *(look.bar_on + piece for piece in pieces[1:])]
    return rows


def title(look: Look, text: str) -> list[str]:
    """A heading inside a section."""
    return [look.strong(piece) for piece in wrap(text, look.width, words=True)]


def digits(value: float) -> str:
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
