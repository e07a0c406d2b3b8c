"""Foreign text inside Markdown: it may say anything and change nothing of the page.

What a model, an author or a log wrote is escaped so that it cannot open a heading, a
table cell, a link, an image, HTML or a fence. Hidden characters are shown by name.
"""

import re

from autoresearch import safe_text

_ALWAYS = re.compile(r"[\\`*\[\]<>|~&$]")
_EDGE_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ADDRESS = re.compile(r":(?=//)|(?<=www)\.", re.IGNORECASE)
"""Git hosts make links of bare addresses."""
_BLOCK_START = re.compile(r"(\d{1,9})?(#|=|[-+.)](?=\s|$)|-(?=-))")


class Raw(str):
    """Markdown that is ours. Every other string that reaches the template is escaped."""

    __slots__ = ()


def inline(text: str) -> Raw:
    """`text` as one line of plain words."""
    return Raw(_line(safe_text.escape(text)))


def _line(shown: str) -> str:
    line = _ALWAYS.sub(r"\\\g<0>", " ".join(shown.split()))
    line = _EDGE_UNDERSCORE.sub(r"\\_", line)
    line = _ADDRESS.sub(r"\\\g<0>", line)
    start = _BLOCK_START.match(line)
    return f"{start[1] or ''}\\{line[start.start(2) :]}" if start else line


def quote(text: str, indent: str = "") -> Raw:
    """`text` as a block quote, paragraphs and line breaks kept."""
    rows = [_line(row) for row in safe_text.escape(text).strip().split("\n")]
    lines = []
    for row, following in zip(rows, [*rows[1:], ""], strict=True):
        lines.append(f"{indent}> {row}{chr(92) if row and following else ''}".rstrip(" "))
    return Raw("\n".join(lines))


def fence(text: str, indent: str = "") -> Raw:
    """`text` as a code block that nothing in it can close."""
    shown = safe_text.escape(text).rstrip("\n")
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    bar = "`" * max(3, longest + 1)
    return Raw("\n".join(f"{indent}{row}" for row in [f"{bar}text", *shown.split("\n"), bar]))


def code(text: str) -> Raw:
    """A name, a digest or a path of ours in code type; other text must not come here."""
    return Raw(f"`{text}`")
