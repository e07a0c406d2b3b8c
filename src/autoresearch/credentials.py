"""Text in the shape of a credential: whatever its source, it is not committed.

Shapes only, with few false alarms: formats that name themselves. A password in plain
words looks like any other word and is not found.
"""

import re
from collections.abc import Iterable

_SHAPES: tuple[tuple[str, bytes], ...] = (
    ("a private key", rb"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----"),
    ("an Anthropic key", rb"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    ("an OpenAI key", rb"\bsk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}"),
    ("an API key", rb"\bsk-[A-Za-z0-9]{40,}\b"),
    ("an AWS access key", rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("a GitHub token", rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})"),
    ("a GitLab token", rb"\bglpat-[A-Za-z0-9_-]{20,}"),
    ("a Hugging Face token", rb"\bhf_[A-Za-z0-9]{34,}\b"),
    ("a Slack token", rb"\bxox[abprs]-[A-Za-z0-9-]{20,}"),
    ("a Google API key", rb"\bAIza[A-Za-z0-9_-]{35}\b"),
    ("a signed web token", rb"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}"),
)
_LONGEST = 256
"""More bytes than any of them needs to be seen."""
_ANY = re.compile(b"|".join(b"(" + shape + b")" for _, shape in _SHAPES))


def credential_in(data: bytes) -> str | None:
    """What the first credential in `data` looks like, e.g. `a GitHub token`. Never the thing itself."""
    found = _ANY.search(data)
    return None if found is None or found.lastindex is None else _SHAPES[found.lastindex - 1][0]


def credential_among(chunks: Iterable[bytes]) -> str | None:
    """The same of something read piece by piece, also where one stands across two pieces."""
    tail = b""
    for chunk in chunks:
        what = credential_in(tail + chunk)
        if what is not None:
            return what
        tail = (tail + chunk)[-_LONGEST:]
    return None


def redacted(data: bytes) -> bytes:
    return _ANY.sub(lambda found: b"[%s]" % _SHAPES[(found.lastindex or 1) - 1][0].encode(), data)
