"""A pip lock in which every package is pinned and hashed, so that it means the same bytes everywhere."""

import re

from autoresearch.errors import InvalidInput

_PIN = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[A-Za-z0-9._,\s-]*\])?\s*==\s*[A-Za-z0-9][A-Za-z0-9._+!-]*\s*(?:;[^;]*)?"
)
_HASH = re.compile(r"--hash[= ]sha256:[0-9a-f]{64}")
_COMMENT = re.compile(r"(?:^|\s)#.*$")


def check_lock(data: bytes, name: str) -> None:
    """Raise InvalidInput, naming the line, unless every requirement is `NAME==VERSION --hash=sha256:…`.

    No option but the hashes may stand in it: an index, a path or an address would make it mean
    something else tomorrow.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{name} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}"
        ) from error
    requirements = list(_logical_lines(text))
    if not requirements:
        raise InvalidInput(
            f"{name} names no package: leave `environment` out to run in the sandbox's own image"
        )
    for line, requirement in requirements:
        why = _why_not(requirement)
        if why:
            raise InvalidInput(
                f"{name}:{line}: {why}: make the lock with `pip-compile --generate-hashes` "
                "or `uv pip compile --generate-hashes`"
            )


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Number of the first line, and the text with continuations joined and comments gone."""
    found: list[tuple[int, str]] = []
    start = 0
    parts: list[str] = []
    for number, raw in enumerate([*text.splitlines(), ""], start=1):
        start = start if parts else number
        line = _COMMENT.sub("", raw).rstrip()
        parts.append(line.removesuffix("\\"))
        if line.endswith("\\"):
            continue
        joined = " ".join(parts).strip()
        if joined:
            found.append((start, joined))
        parts = []
    return found


def _why_not(requirement: str) -> str | None:
    """What is wrong with one requirement; None if it is pinned and hashed."""
    hashes = _HASH.findall(requirement)
    rest = _HASH.sub("", requirement).strip()
    shown = " ".join(rest.split())[:80]
    if "--hash" in rest:
        return f"`{shown}` has a hash that is not sha256: and 64 hex digits"
    if rest.startswith("-"):
        return f"`{shown}` is an option, and only hashes may stand beside a package"
    if "://" in rest or " @ " in rest:
        return f"`{shown}` is an address, not a version of a package"
    if not _PIN.fullmatch(rest):
        return f"`{shown}` is not pinned as NAME==VERSION"
    if not hashes:
        return f"`{shown}` has no hash"
    return None
