"""A Markdown file as a title, sections and fenced blocks, each with its line number.

Only what a proposal needs: `#` and `##` headings, fences of backticks or tildes
(CommonMark's rules for their length), and HTML comments, which count as nothing.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from operator import attrgetter, itemgetter

from autoresearch.errors import InvalidInput

_HEADING = re.compile(r" {0,3}(#{1,2})(?=[ \t]|$)")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")


@dataclass(frozen=True)
class Fence:
    """A fenced block."""

    language: str
    """First word of the info string, lower-case; may be empty."""
    name: str
    """The rest of the info string."""
    line: int
    """Line of the opening fence; the text begins on the next one."""
    text: str
    """The content with LF line ends, whatever the file has."""


@dataclass(frozen=True)
class Section:
    """What stands under one `##` heading, up to the next."""

    name: str
    """As written."""
    line: int
    """Line of the heading, from 1; 0 for what stands before the first `##`."""
    raw: str
    """The text below the heading, verbatim."""
    prose: tuple[tuple[int, str], ...]
    """Lines outside fences and comments, each with its number."""
    fences: tuple[Fence, ...]

    @property
    def key(self) -> str:
        """The name in lower case, words joined by dashes."""
        return "-".join(self.name.lower().split())


@dataclass(frozen=True)
class Document:
    title: str
    """Empty if there is none."""
    title_line: int
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Heading:
    line: int
    level: int
    text: str


def plain_lines(text: str) -> list[str]:
    """The lines without their ends (LF or CR LF), and without a leading byte order mark."""
    return [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]


def headings(text: str, source: str) -> list[Heading]:
    """The `#` and `##` headings outside fences and comments.

    Raises InvalidInput for a fence or comment left open.
    """
    return _headings(_Scanner(text, source).prose())


def fences(text: str, source: str) -> list[Fence]:
    """Every fenced block. Raises InvalidInput for a fence or comment left open."""
    scanner = _Scanner(text, source)
    scanner.prose()
    return scanner.fences


def read(text: str, source: str) -> Document:
    """Split `text`. Raises InvalidInput, naming the line, for a fence or comment left open
    and for a second title.
    """
    scanner = _Scanner(text, source)
    prose = scanner.prose()
    title, starts = _outline(prose, source)
    raw_lines = text.split("\n")
    ends = [heading.line - 1 for heading in starts[1:]] + [len(raw_lines)]
    parts = []
    for heading, end in zip(starts, ends, strict=True):
        lines = (heading.line, end)
        kept = slice(*(bisect_right(prose, line, key=itemgetter(0)) for line in lines))
        held = slice(*(bisect_right(scanner.fences, line, key=attrgetter("line")) for line in lines))
        raw = "\n".join(raw_lines[heading.line : end])
        parts.append(
            Section(heading.text, heading.line, raw, tuple(prose[kept]), tuple(scanner.fences[held]))
        )
    return Document(title.text if title else "", title.line if title else 1, tuple(parts))


def _outline(prose: list[tuple[int, str]], source: str) -> tuple[Heading | None, list[Heading]]:
    """The title, and the `##` headings."""
    title: Heading | None = None
    starts: list[Heading] = []
    for heading in _headings(prose):
        if heading.level == 2:
            starts.append(heading)
        elif title is None and not starts:
            title = heading
        else:
            why = "a second title" if title else "the title stands after the first section"
            mend = "sections begin with `## `, parts of them with `### `"
            raise InvalidInput(f"{source}:{heading.line}: {why}: {mend}")
    return title, starts


def _headings(prose: list[tuple[int, str]]) -> list[Heading]:
    found = []
    for number, line in prose:
        match = _HEADING.match(line)
        if match:
            text = line[match.end() :].strip()
            open_text = text.rstrip("#")  # `## Plan ##` is closed, `## C#` is not
            closed = open_text == "" or open_text[-1] in " \t"
            found.append(Heading(number, len(match[1]), open_text.strip() if closed else text))
    return found


def _without_comments(line: str) -> str:
    """The line less the comments that end on it; in linear time, unlike a lazy pattern."""
    kept, at = [], 0
    while (start := line.find("<!--", at)) >= 0 and (end := line.find("-->", start + 4)) >= 0:
        kept.append(line[at:start])
        at = end + 3
    return "".join([*kept, line[at:]])


class _Scanner:
    """One pass over the lines, which tells prose from fences and comments."""

    def __init__(self, text: str, source: str) -> None:
        self._lines = plain_lines(text)
        self._source = source
        self.fences: list[Fence] = []
        """Filled while `prose` is read."""

    def prose(self) -> list[tuple[int, str]]:
        """Lines outside fences and comments, numbered; these leave an empty line in their place."""
        kept: list[tuple[int, str]] = []
        self.fences = []
        at = 0
        while at < len(self._lines):
            line = self._lines[at]
            opening = _FENCE.match(line)
            kept.append((at + 1, "" if opening else _without_comments(line)))
            if opening:
                at = self._fence(at, opening)
            elif kept[-1][1].lstrip().startswith("<!--"):
                kept[-1] = (at + 1, "")
                at = self._comment(at)
            else:
                at += 1
        return kept

    def _fence(self, start: int, opening: re.Match[str]) -> int:
        """Keep the fence that opens at index `start`; the index after its end."""
        mark = opening[1]
        closing = re.compile(rf" {{0,3}}{mark[0]}{{{len(mark)},}}[ \t]*$")
        for end in range(start + 1, len(self._lines)):
            if closing.match(self._lines[end]):
                break
        else:
            what = f"the block opened here with {mark} is never closed"
            raise self._refusal(start, what, f"end it with a line {mark}")
        language, _, name = self._lines[start][opening.end() :].strip().partition(" ")
        content = "".join(f"{line}\n" for line in self._lines[start + 1 : end])
        self.fences.append(Fence(language.lower(), name.strip(), start + 1, content))
        return end + 1

    def _comment(self, start: int) -> int:
        """The index after the end of the comment that opens at index `start`."""
        for end in range(start + 1, len(self._lines)):
            if "-->" in self._lines[end]:
                return end + 1
        raise self._refusal(start, "the comment opened here is never closed", "end it with `-->`")

    def _refusal(self, index: int, what: str, mend: str) -> InvalidInput:
        return InvalidInput(f"{self._source}:{index + 1}: {what}: {mend}")
