"""A file of anchors: read whole, added to at its end, synced. Never written over."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autoresearch.adapters.git_objects import sync
from autoresearch.anchor import Anchored, read_anchors, with_anchor
from autoresearch.errors import InvalidInput


class AnchorFile:
    """The anchors of one project in `path`, which need not exist yet."""

    def __init__(self, path: Path, root: Path, project: str) -> None:
        """Raises InvalidInput for a place in the project `root`: what can rewrite that could rewrite it, too."""
        self._path = path
        self._project = project
        place = path.resolve()
        if place.is_relative_to(root.resolve()):
            raise InvalidInput(
                f"{path} is in the project that it is to vouch for; name a file outside, best on another machine's disk"
            )
        if place.exists() and not place.is_file():
            raise InvalidInput(f"{path} is no ordinary file")

    def anchors(self) -> list[Anchored]:
        """Raises InvalidInput if somebody else wrote in it."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        return self._read(data)

    def add(self, anchored: Anchored) -> bool:
        """False if this head is the last line already."""
        with self._open() as descriptor:
            data = self._whole(descriptor)
            self._read(data)
            line = with_anchor(data.decode("ascii"), self._project, anchored).encode("ascii")
            while line:
                line = line[os.write(descriptor, line) :]
            os.fsync(descriptor)
            grew = os.fstat(descriptor).st_size > len(data)
        sync(self._path.resolve().parent)
        return grew

    def _read(self, data: bytes) -> list[Anchored]:
        try:
            return read_anchors(data.decode("ascii"), self._project)
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"{self._path}: this is no file of anchors: it holds bytes that are no text"
            ) from error
        except InvalidInput as error:
            raise InvalidInput(f"{self._path}: {error}") from error

    @contextmanager
    def _open(self) -> Iterator[int]:
        """At its end, and alone: two that verify at once add one after the other."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    @staticmethod
    def _whole(descriptor: int) -> bytes:
        os.lseek(descriptor, 0, os.SEEK_SET)
        parts = iter(lambda: os.read(descriptor, 1 << 16), b"")
        return b"".join(parts)
