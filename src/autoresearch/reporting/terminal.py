"""Lines for a terminal: ours may be coloured, foreign text is escaped and cut to the width."""

from dataclasses import dataclass

from autoresearch.safe_text import cells, clip, escape, wrap

NARROWEST = 20


@dataclass(frozen=True)
class Pen:
    """What the terminal can show. Paint whole words of ours, or text that is escaped already."""

    width: int
    color: bool

    def strong(self, text: str) -> str:
        return self._sgr("1", text)

    def soft(self, text: str) -> str:
        return self._sgr("2", text)

    def good(self, text: str) -> str:
        return self._sgr("1;32", text)

    def bad(self, text: str) -> str:
        return self._sgr("1;31", text)

    def warn(self, text: str) -> str:
        return self._sgr("1;33", text)

    def _sgr(self, number: str, text: str) -> str:
        return f"\x1b[{number}m{text}\x1b[0m" if self.color and text else text

    def line(self, text: str, indent: int = 0) -> str:
        """Foreign text as one line, cut with `...`."""
        return " " * indent + clip(escape(text), max(self.width - indent, NARROWEST))

    def block(self, text: str, indent: int = 0, most: int | None = None) -> list[str]:
        """Foreign text in lines of its own, wrapped, at most `most` of them."""
        room = max(self.width - indent, NARROWEST)
        lines = [
            piece for row in escape(text).strip("\n").split("\n") for piece in wrap(row, room, words=True)
        ]
        if most is not None and len(lines) > most:
            lines = [*lines[: most - 1], clip(" ".join(lines[most - 1 :]), room)]
        return [f"{' ' * indent}{line}".rstrip() for line in lines]

    def columns(self, text: str, width: int) -> str:
        """Escaped `text` filled up to `width` columns."""
        return text + " " * max(width - cells(text), 0)
