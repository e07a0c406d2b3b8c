"""Takes the outputs of a dead container from the engine's tar stream, chunk by chunk.

The stream is read, never extracted: no path in it ever reaches the file system, and no
file in it is in memory whole.
"""

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from autoresearch.contents import CHUNK
from autoresearch.errors import SandboxFailed
from autoresearch.jobs import MOST_FILES, Outputs, why_refused
from autoresearch.records import ResourceLimits

BLOCK = 512
KINDS = {
    tarfile.LNKTYPE: "a second name of another file",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}


class _AtCap(Exception):
    """More bytes came than the limit allows, headers included."""


def read_outputs(chunks: Iterable[bytes], limits: ResourceLimits, into: Path) -> Outputs:
    """The files of a tar stream whose root is `out/`, filtered and written below `into`.

    Stops reading at `output_mb` and notes it as truncated. Raises SandboxFailed
    if the stream is not whole, which is the engine's fault, never the code's.
    """
    outputs = Outputs(limits, into)
    headers = 4 * BLOCK * MOST_FILES + 64 * BLOCK
    stream = _Capped(iter(chunks), outputs.room + headers)
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=64 * BLOCK, format=tarfile.PAX_FORMAT) as tar:
            for member in tar:
                if not _take(tar, member, outputs):
                    return outputs
                stream.require_room(tar.offset)
            _require_end(tar, stream)
    except _AtCap:
        outputs.truncated = True
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise SandboxFailed(f"the outputs could not be read from the engine: {error}") from error
    return outputs


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, outputs: Outputs) -> bool:
    """Take or refuse one member. False: stop here."""
    root, _, path = member.name.partition("/")
    if member.isdir():
        return True
    why = why_refused(path) if root == "out" else "it does not lie in /out"
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        why = f"{KINDS.get(member.type, 'not a regular file')}; only regular files are taken"
    elif why is None and path in outputs.files:
        why = "a file of this name came before"
    if why is not None:
        outputs.refuse(path, why)
        return True
    if not outputs.fits(member.size):
        outputs.refuse(path, "the outputs are larger than the limit; nothing after it was read")
        return False
    outputs.take(path, _content(tar, member))
    return True


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    file, left = tar.extractfile(member), member.size
    while left:
        data = file.read(min(left, CHUNK)) if file is not None else b""
        if not data:
            raise SandboxFailed(f"the engine sent {member.size - left} of {member.size} bytes of an output")
        left -= len(data)
        yield data


def _require_end(tar: tarfile.TarFile, stream: "_Capped") -> None:
    """Nothing but zeros follows the last member, and at least one block of them.

    tarfile takes a stream that breaks off between two members for a whole one.
    """
    while stream.read(64 * BLOCK):
        pass
    if stream.seen < tar.offset + BLOCK or stream.content_end > tar.offset:
        raise SandboxFailed("the outputs could not be read from the engine: the stream broke off")


class _Capped(io.RawIOBase):
    """The chunks as a file that refuses to give more than `limit` bytes."""

    def __init__(self, chunks: Iterator[bytes], limit: int) -> None:
        super().__init__()
        self._chunks = chunks
        self._limit = limit
        self._rest = b""
        self.seen = 0
        self.content_end = 0
        """Behind the last byte that is not zero."""

    def readable(self) -> bool:
        return True

    def require_room(self, end: int) -> None:
        """Raise _AtCap for what is said to end beyond the limit.

        tarfile would look for that end, block by block, also in a stream that is over.
        """
        if end > self._limit:
            raise _AtCap

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            try:
                self._rest = next(self._chunks)
            except StopIteration:
                return b""
        taken = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(taken) :]
        content = taken.rstrip(b"\0")
        if content:
            self.content_end = self.seen + len(content)
        self.seen += len(taken)
        if self.seen > self._limit:
            raise _AtCap
        return taken
