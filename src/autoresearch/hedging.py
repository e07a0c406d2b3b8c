"""Words by which a statement takes itself back, where a probability says how sure one is."""

import re
from collections.abc import Iterator

_WORDS = (
    "may", "might", "could", "can possibly", "possibly", "perhaps", "potentially", "seem(?:s|ed|ingly)?",
    "appear(?:s|ed)? to", "suggest(?:s|ed|ive|ing)?", "arguably", "presumably", "to some extent", "in some sense",
    "tend(?:s|ed)? to", "hint(?:s|ed)? (?:at|that)", "more or less", "probably", "maybe",
)  # fmt: skip
_HEDGE = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)


def hedges(text: str) -> Iterator[str]:
    """Each hedge in the text."""
    return (match[0] for match in _HEDGE.finditer(text))
