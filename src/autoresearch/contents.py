"""A file's content, in memory or held on disk: what a run leaves may be larger than memory."""

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from autoresearch.errors import LedgerError
from autoresearch.records import FileRef, sha256

CHUNK = 2**20


@dataclass(frozen=True)
class HeldFile:
    """A file below `.git/autoresearch/`, under a name of our own choosing."""

    place: Path
    sha256: str
    """Taken while it was written, or the name it is kept by."""
    size: int

    def chunks(self) -> Iterator[bytes]:
        return chunks_of_file(self.place)

    def read(self) -> bytes:
        """All of it. Raises LedgerError if it is no longer what was written."""
        data = self.place.read_bytes()
        if sha256(data) != self.sha256:
            raise LedgerError(f"{self.place} has changed on disk since it was written")
        return data


Content = bytes | HeldFile


class NoRoom(OSError):
    """The disk of this machine did not take it. Not to be confused with a source that fails while it is read."""


def hold(place: Path, chunks: Iterable[bytes]) -> HeldFile:
    """Write a new file, chunk by chunk, and take its digest on the way. Raises NoRoom."""
    digest, size = hashlib.sha256(), 0
    with _new_file(place) as file:
        for chunk in chunks:
            _write(file, chunk)
            digest.update(chunk)
            size += len(chunk)
    return HeldFile(place, digest.hexdigest(), size)


def _new_file(place: Path) -> io.FileIO:
    try:
        return place.open("xb", buffering=0)  # nothing kept back: what could not be written is known at once
    except OSError as error:
        raise NoRoom(*error.args) from error


def _write(file: io.FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise NoRoom(*error.args) from error


def chunks_of_file(place: Path) -> Iterator[bytes]:
    with place.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def chunks_of(content: Content) -> Iterable[bytes]:
    return content.chunks() if isinstance(content, HeldFile) else (content,)


def bytes_of(content: Content) -> bytes:
    return content.read() if isinstance(content, HeldFile) else content


def size_of(content: Content) -> int:
    return content.size if isinstance(content, HeldFile) else len(content)


class Line(NamedTuple):
    start: int
    """Bytes before it."""
    text: bytes
    """Without its end, cut after so many bytes."""
    ended: bool


def lines_of(content: Content, longest: int) -> Iterator[Line]:
    """Line by line, none of more than `longest` bytes in memory."""
    start, size, text = 0, 0, bytearray()
    for chunk in chunks_of(content):
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            yield Line(start, bytes(text + part)[:longest], ended=True)
            start, size = start + size + len(part) + 1, 0
            text.clear()
        size += len(rest)
        text += rest[: longest - len(text)]
    if size:
        yield Line(start, bytes(text), ended=False)


def part_of(content: Content, start: int, size: int) -> bytes:
    if isinstance(content, bytes):
        return content[start : start + size]
    with content.place.open("rb") as file:
        file.seek(start)
        return file.read(size)


def ref_to(path: str, content: Content, *, committed: bool = True) -> FileRef:
    digest = content.sha256 if isinstance(content, HeldFile) else sha256(content)
    return FileRef(path=path, sha256=digest, size=size_of(content), committed=committed)


def hashed(content: Content) -> tuple[str, int]:
    """Digest and size as they are now, whatever was taken when it was written."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks_of(content):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size
