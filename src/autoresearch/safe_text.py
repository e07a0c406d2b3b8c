"""Text that a model, an experiment or a stranger wrote, made safe to look at.

Nothing that moves the cursor, hides or reorders characters gets through: it is
shown by name instead. What is shown is still everything that is there.
"""

import io
import re
import tokenize
import unicodedata
from collections.abc import Iterator

_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}
_BLANK_LETTERS = (
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0}
    | set(range(0x180B, 0x1810))
    | set(range(0xFE00, 0xFE10))
    | set(range(0xE0100, 0xE01F0))
)
"""Letters and marks that draw nothing: fillers, variation selectors, the empty Braille cell."""
_MOST_MARKS = 3
"""More combining marks than this on one letter would draw over the neighbouring lines."""
_TAB = 8
_PLAIN = re.compile(r"[\n\t\x20-\x7e]*")
"""Text in which there is nothing to show by name; most is."""
_WORD = re.compile(r"[^\W\d_]+")


def decode(data: bytes) -> str:
    """UTF-8, where every invalid byte becomes a lone surrogate that `escape` shows."""
    return data.decode("utf-8", "surrogateescape")


def escape(text: str, *, ascii_only: bool = False) -> str:
    """`text` with every hidden character but newline and tab shown by name.

    ESC becomes `␛`, U+202E becomes `<U+202E>`, an invalid byte `<byte 9B>`. With
    `ascii_only` everything outside ASCII is named, for terminals without Unicode.
    """
    if _PLAIN.fullmatch(text):
        return text
    shown, marks = [], _MOST_MARKS
    for char in text:
        is_mark = unicodedata.category(char).startswith("M")
        # A mark at the start of a line would land on the margin.
        marks = marks + 1 if is_mark else (_MOST_MARKS if char in "\n\t" else 0)
        shown.append(_shown(char, ascii_only=ascii_only, named=is_mark and marks > _MOST_MARKS))
    return "".join(shown)


def _shown(char: str, *, ascii_only: bool, named: bool) -> str:
    code = ord(char)
    if char in "\n\t" or 0x20 <= code < 0x7F:
        return char
    if code <= 0x7F and not ascii_only:
        return chr(0x2421 if code == 0x7F else 0x2400 + code)
    if 0xDC80 <= code <= 0xDCFF:
        return f"<byte {code - 0xDC00:02X}>"
    if named or ascii_only or unicodedata.category(char) in _HIDDEN_CATEGORIES or code in _BLANK_LETTERS:
        return f"<U+{code:04X}>"
    return char


def cells(text: str) -> int:
    """Columns that escaped one-line `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_cell(char) for char in text)


def _cell(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def wrap(line: str, width: int, *, words: bool) -> list[str]:
    """One escaped line in pieces of at most `width` columns; at spaces if `words`."""
    rest = line.expandtabs(_TAB)
    pieces = []
    while cells(rest) > width:
        cut = _fitting(rest, width)
        space = rest.rfind(" ", 1, cut + 1) if words else -1
        if space > 0 and rest[:space].strip():
            pieces.append(rest[:space])
            rest = rest[space:].lstrip(" ")
        else:
            pieces.append(rest[:cut])
            rest = rest[cut:]
    return [*pieces, rest]


def _fitting(text: str, width: int) -> int:
    """How many characters of `text` fit into `width` columns, at least one."""
    used = 0
    for place, char in enumerate(text):
        used += _cell(char)
        if used > width:
            return max(place, 1)
    return len(text)


def clip(text: str, width: int) -> str:
    """Escaped `text` as one line of at most `width` columns, `...` where it was cut."""
    line = " ".join(text.split())
    if cells(line) <= width:
        return line
    return line[: _fitting(line, max(width - 3, 1))].rstrip() + "..."


def odd_names(path: str, source: str) -> list[str]:
    """What deceives the eye in code: names outside ASCII, words that mix alphabets.

    One line each, e.g. `line 3: 'раss' mixes CYRILLIC and LATIN`.
    """
    if source.isascii():
        return []
    found: dict[str, None] = {}
    if path.endswith(".py"):
        for line, name in _names(source):
            if not name.isascii():
                found[f"line {line}: name {name!r} is not plain ASCII ({' and '.join(_scripts(name))})"] = (
                    None
                )
    for number, line_text in enumerate(source.split("\n"), 1):
        for word in _WORD.findall(line_text):
            scripts = _scripts(word)
            if len(scripts) > 1:
                found[f"line {number}: {word!r} mixes {' and '.join(scripts)}"] = None
    return list(found)


def _names(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every identifier, as far as the source can be read as Python."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in (tokenize.NAME, tokenize.ERRORTOKEN):
                yield token.start[0], token.string
    except (tokenize.TokenError, SyntaxError):
        # Broken code is preflight's finding; the words of the whole text are still looked at.
        return


def _scripts(word: str) -> list[str]:
    """Alphabets of a word's letters, e.g. `["CYRILLIC", "LATIN"]`, by the letters' names."""
    first_words = {unicodedata.name(char, "UNNAMED").split()[0] for char in word if char.isalpha()}
    return sorted(first_words - {"MICRO", "FEMININE", "MASCULINE"})
