"""Data of the person's, copied once under the digest of its content and never changed.

    <store>/<digest>        a file, or a directory with the same files as the original

The digest is over the canonical JSON of path → SHA-256, so it can be worked out with any
SHA-256 tool; a single file has the path `.`. Files are read-only. Directories stay the owner's
to delete from, as git's are, so that a project can be removed; what was added or taken away
shows when the digest is taken again.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from autoresearch.errors import InvalidInput
from autoresearch.records import DataInput, digest_of

CHUNK = 2**20
MOST_FILES = 100_000


@dataclass(frozen=True)
class Measured:
    """What lies at a place now."""

    sha256: str
    files: int
    size: int


class InputStore:
    """The store of one project. Nothing in it is ever held in memory whole."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def place(self, sha256: str) -> Path:
        """Where the data of this digest lies, if it does."""
        return self._root / sha256

    def take_in(self, name: str, path: str, base: Path) -> DataInput:
        """Copy the file or directory `path` (from `base`, or absolute) into the store.

        Raises InvalidInput, with the place, for what is not there or not made of regular files.
        """
        source = base / Path(path).expanduser()
        if not os.path.lexists(source):
            raise InvalidInput(f"input {name}: {source} does not exist")
        self._root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._root, prefix="new-") as scratch:
            copy = Path(scratch) / "copy"
            try:
                found = _copied(source, copy, name)
            except OSError as error:
                raise InvalidInput(f"input {name}: {error.filename or source}: {error.strerror}") from error
            target = self.place(found.sha256)
            if not target.exists() or self.measure(found.sha256) != found:
                _remove(target)
                copy.rename(target)
        return DataInput(name=name, path=path, sha256=found.sha256, files=found.files, size=found.size)

    def measure(self, sha256: str) -> Measured | None:
        """What lies under `sha256` now, read byte by byte; None if nothing, or no longer plain files."""
        target = self.place(sha256)
        try:
            return _measured({inside: _read(place, None) for inside, place in _files(target, sha256)})
        except (InvalidInput, OSError):
            return None


def _copied(source: Path, target: Path, name: str) -> Measured:
    digests: dict[str, tuple[str, int]] = {}
    for inside, place in _files(source, name):
        copy = target if inside == "." else target / inside
        copy.parent.mkdir(parents=True, exist_ok=True)
        digests[inside] = _read(place, copy)
    for directory, _, _ in os.walk(target):
        Path(directory).chmod(0o755)
    return _measured(digests)


def _measured(files: dict[str, tuple[str, int]]) -> Measured:
    digest = digest_of({inside: sha256 for inside, (sha256, _) in files.items()})
    return Measured(digest, len(files), sum(size for _, size in files.values()))


def _files(source: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Path inside, with `/`, and place of every file. Raises InvalidInput for anything but files."""
    if stat.S_ISREG(source.lstat().st_mode):
        yield ".", source
        return
    if not stat.S_ISDIR(source.lstat().st_mode):
        raise InvalidInput(f"input {name}: {source} is neither a regular file nor a directory")
    count = 0
    for directory, subdirectories, names in os.walk(source, onerror=_raise):
        subdirectories.sort()
        for entry in [*subdirectories, *sorted(names)]:
            place = Path(directory) / entry
            mode = place.lstat().st_mode
            inside = place.relative_to(source).as_posix()
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                what = "a symbolic link" if stat.S_ISLNK(mode) else "a device, pipe or socket"
                raise InvalidInput(
                    f"input {name}: {place} is {what}; only regular files are taken: put a copy there"
                )
            if not _is_text(inside):
                raise InvalidInput(f"input {name}: {str(place)!a} has a name that is not UTF-8: rename it")
            if stat.S_ISREG(mode):
                count += 1
                if count > MOST_FILES:
                    raise InvalidInput(
                        f"input {name}: {source} holds more than {MOST_FILES} files: pack them into one"
                    )
                yield inside, place
    if not count:
        raise InvalidInput(f"input {name}: {source} holds no file")


def _read(place: Path, copy: Path | None) -> tuple[str, int]:
    """SHA-256 and size of a file, copied on the way where `copy` names a place."""
    digest, size = hashlib.sha256(), 0
    with ExitStack() as opened:
        # What stood here as a plain file may have been changed for a link or a pipe meanwhile.
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        source = opened.enter_context(os.fdopen(descriptor, "rb"))
        if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
            raise InvalidInput(f"{place} is no regular file any more")
        target = opened.enter_context(copy.open("xb")) if copy else None
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            if target:
                target.write(chunk)
        if target:
            os.fchmod(target.fileno(), 0o444)
            target.flush()
            os.fsync(target.fileno())
    return digest.hexdigest(), size


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _remove(target: Path) -> None:
    """A damaged copy makes room for a whole one."""
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif os.path.lexists(target):
        target.unlink()


def _raise(error: OSError) -> None:
    raise error
