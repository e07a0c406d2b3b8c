"""The experiment's code as a reviewer reads it: whole, numbered, what deceives the eye named first.

Text is made safe before it is coloured, and the colours are a short list of our own, so
that nothing in a file can choose what the terminal is told. Differences are computed
here: attributes and filters of git have no say.
"""

from collections.abc import Iterable, Mapping
from difflib import unified_diff
from itertools import groupby

from autoresearch.adapters.screen_text import NARROW, Look, page, title
from autoresearch.records import count, sha256
from autoresearch.safe_text import decode, escape, odd_names, wrap

LONG_FILE = 1000
"""Lines. A file beyond this is over-long: nobody takes it in by its name."""
LONG_LINE = 500
"""Characters, likewise."""
_MOST_COLOURED = 200_000
"""Characters. Longer files are shown without colour rather than late."""
_MOST_ALIGNED = 2000
"""Lines between the first and the last that differ, up to which two versions are lined up."""
_TAB = 8
_LEXERS = {"py": "python", "json": "json", "toml": "toml", "yaml": "yaml", "yml": "yaml", "sh": "bash"}
_COLOURS = (
    ("Token.Keyword", "35"),
    ("Token.Operator.Word", "35"),
    ("Token.Comment", "36"),
    ("Token.Literal.String", "32"),
    ("Token.Literal.Number", "33"),
    ("Token.Name.Function", "1"),
    ("Token.Name.Class", "1"),
)
"""Pygments' kinds of token, and the SGR code of each; every other kind has none."""


def line_count(data: bytes) -> int:
    return data.count(b"\n") + (0 if data.endswith(b"\n") or not data else 1)


# ------------------------------------------------------------- what to beware


def careful(files: Mapping[str, bytes]) -> list[str]:
    """Why the names and sizes of `files` alone do not say what would run, a line each. Foreign text."""
    notes = []
    for path, data in sorted(files.items()):
        notes += [f"{path.removeprefix('experiment/')} {what}" for what in _odd(path, data)]
    return notes


def _odd(path: str, data: bytes) -> list[str]:
    text = decode(data)
    longest = max(map(len, text.split("\n")))
    found = []
    if b"\0" in data or any("\udc80" <= char <= "\udcff" for char in text):
        found.append("is not text")
    elif escape(text) != text:
        found.append("has hidden characters")
    if line_count(data) > LONG_FILE:
        found.append(f"has {line_count(data)} lines")
    if longest > LONG_LINE:
        found.append(f"has a line of {longest} characters")
    return found + odd_names(path, text)


# ------------------------------------------------------------------- the code


def code_page(look: Look, files: Mapping[str, bytes]) -> list[str]:
    """Every file that would run, whole; what deceives the eye is named first."""
    rows: list[str] = []
    for path, data in sorted(files.items()):
        head = f"{look.line(path)}, {count(line_count(data), 'line')}, sha256 {sha256(data)}"
        rows += title(look, head)
        warnings = [row for note in _odd(path, data) for row in page(look, note)]
        if warnings:
            rows += [look.alarm("Careful, this file is not all that it looks like:"), *warnings]
        rows += _numbered(look, path, decode(data).removesuffix("\n"))
    return rows


def _numbered(look: Look, path: str, text: str) -> list[str]:
    """Safe lines with their numbers before the margin, coloured where the terminal has colours."""
    safe = look.safe(text).expandtabs(_TAB)
    codes = _codes(path, safe) if look.colour else [""] * len(safe)
    lines = safe.split("\n")
    gutter = len(str(len(lines))) + 1 if look.width >= NARROW else 0
    room = max(look.width - gutter - len(look.bar), 8)
    rows, place = [], 0
    for number, line in enumerate(lines, 1):
        at = place
        for part, piece in enumerate(wrap(line, room, words=False)):
            name = f"{number:>{gutter - 1}} " if gutter and not part else " " * gutter
            margin = look.bar_on if part else look.bar
            rows.append(name + margin + _painted(piece, codes[at : at + len(piece)]))
            at += len(piece)
        place += len(line) + 1
    return rows


def _painted(text: str, codes: Iterable[str]) -> str:
    """`text` with the SGR code of every character, those alike together."""
    return "".join(
        f"\x1b[{code}m{run}\x1b[0m" if code else run
        for code, pairs in groupby(zip(codes, text, strict=True), key=lambda pair: pair[0])
        for run in ["".join(char for _, char in pairs)]
    )


def _codes(path: str, safe: str) -> list[str]:
    """The SGR code of every character of safe text; none at all if the lexer lost a character."""
    name = _LEXERS.get(path.rpartition(".")[2])
    plain = [""] * len(safe)
    if name is None or len(safe) > _MOST_COLOURED or max(map(len, safe.split("\n"))) > LONG_LINE:
        return plain
    from pygments.lexers import get_lexer_by_name

    lexer = get_lexer_by_name(name, stripnl=False, stripall=False, ensurenl=False)
    codes: list[str] = []
    shown = ""
    for kind, text in lexer.get_tokens(safe):
        codes += [_colour(str(kind))] * len(text)
        shown += text
    return codes if shown == safe else plain


def _colour(kind: str) -> str:
    return next((code for known, code in _COLOURS if f"{kind}.".startswith(f"{known}.")), "")


# ------------------------------------------------------------ what has changed


def diff_page(look: Look, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[str]:
    """Line by line, every file that differs."""
    rows: list[str] = []
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        state = " (new)" if old is None else " (removed)" if new is None else ""
        rows += title(look, f"{look.line(path)}{state}")
        for line in _unified(old or b"", new or b"", around=3):
            paint = {"+": look.good, "-": look.alarm}.get(line[:1], str)
            rows += [paint(row) for row in page(look, line, words=False)]
    return rows or ["No file changed."]


def changed(look: Look, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> str:
    """What changed in the files, in one line, e.g. `experiment.py +3 -1`."""
    parts = []
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        lines = _unified(old or b"", new or b"", around=0)
        added, removed = (sum(line.startswith(sign) for line in lines) for sign in "+-")
        state = " (new)" if old is None else " (removed)" if new is None else ""
        parts.append(f"{short_name(look, path)} +{added} -{removed}{state}")
    return ", ".join(parts) or "same bytes as last time"


def short_name(look: Look, path: str) -> str:
    """A file's name for one-line lists; every file stands below `experiment/`."""
    return look.line(path.removeprefix("experiment/"))


def _unified(old: bytes, new: bytes, *, around: int) -> list[str]:
    """Lines are those of the file: only a newline ends one.

    Where much of a long file changed it is all taken out and all put in: to line such
    lines up takes time that grows with their square, minutes for 20 000.
    """
    before, after = decode(old).split("\n"), decode(new).split("\n")
    if _changed_lines(before, after) <= _MOST_ALIGNED:
        return list(unified_diff(before, after, lineterm="", n=around))[2:]
    note = f"@@ all {len(before)} lines before, then all {len(after)} lines now @@"
    return [note, *(f"-{line}" for line in before), *(f"+{line}" for line in after)]


def _changed_lines(before: list[str], after: list[str]) -> int:
    """Lines from the first that differs to the last, on the longer side."""
    same = 0
    for old, new in zip(before, after, strict=False):
        if old != new:
            break
        same += 1
    end = 0
    for old, new in zip(reversed(before[same:]), reversed(after[same:]), strict=False):
        if old != new:
            break
        end += 1
    return max(len(before), len(after)) - same - end
