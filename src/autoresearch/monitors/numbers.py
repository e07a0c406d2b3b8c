"""Numbers in prose, and whether something computed or planned stands behind each."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_NUMBER = re.compile(
    r"(?<![\w.])(?<![A-Za-z][-_–])(?P<sign>(?<!\d)[-+−])?"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?P<exponent>[eE][-+−]?\d{1,3})?"
    r"(?:\s?(?P<percent>%|per ?cent\b|percentage points?\b))?(?!\d)"
)
_ORDINAL = re.compile(r"(?:st|nd|rd|th|D)\b")
_LABELS = re.compile(
    r"\b10\s?/\s?50\s?/\s?90\b|\b(?:80|95)\s?(?:%|per ?cent)[\s-]+(?:\w+\s)?intervals?\b|\b[LE][0-4]\b"
)
"""Names of things that happen to hold digits."""


@dataclass(frozen=True)
class Number:
    """A number as printed."""

    text: str
    value: float
    decimals: int
    """Places after the point, negative for a positive exponent."""
    significant: int
    """Significant digits."""
    signed: bool
    percent: bool

    def prints(self, computed: float) -> bool:
        """True if `computed`, at the printed precision, reads as this number.

        Without a sign the size is compared, since prose carries the sign in words. A lone
        digit without a unit must be the value itself: too much would round to it.
        """
        shown = computed * 100 if self.percent else computed
        if not self.signed:
            shown = abs(shown)
        if self.decimals == 0 and self.significant == 1 and not self.percent:
            return math.isclose(shown, self.value, abs_tol=1e-12)
        half = 0.5 * 10.0**-self.decimals
        return abs(shown - self.value) <= half * (1 + 1e-9) + 1e-12 * abs(shown)


def numbers_in(text: str, names: Iterable[str] = ()) -> Iterator[Number]:
    """The numbers of `text`; those inside `names` (arms, ids) do not count."""
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", " ", text)
    text = _LABELS.sub(" ", text)
    for match in _NUMBER.finditer(text):
        if not _ORDINAL.match(text, match.end()):
            yield _number(match)


def _number(match: re.Match[str]) -> Number:
    digits = match["digits"].replace(",", "")
    exponent = int((match["exponent"] or "e0")[1:].replace("−", "-"))
    sign = -1 if match["sign"] in ("-", "−") else 1
    return Number(
        text=match[0].strip(),
        value=sign * float(f"{digits}e{exponent}"),
        decimals=len(digits.partition(".")[2]) - exponent,
        significant=len(digits.replace(".", "").lstrip("0")) or 1,
        signed=match["sign"] is not None,
        percent=match["percent"] is not None,
    )


def unresolved(text: str, known: Iterable[float], names: Iterable[str] = ()) -> list[str]:
    """Numbers of `text` that no known value prints as, in the order they stand."""
    values = [value for value in known if math.isfinite(value)]
    missing = [n.text for n in numbers_in(text, names) if not any(n.prints(value) for value in values)]
    return list(dict.fromkeys(missing))


def numbers_of(value: object) -> Iterator[float]:
    """Every number anywhere inside plain data; booleans are none."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers_of(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from numbers_of(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)
