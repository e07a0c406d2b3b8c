"""Writes git's loose objects: a file each, synced before anything names it.

`git` and GitPython sync nothing by default, and a process per object is most of
the cost of a commit. The format is git's own (gitformat-loose, git-commit-tree);
the tests read every object back with `git fsck --strict`.
"""

import hashlib
import itertools
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from autoresearch.boundaries import Reached, go_on
from autoresearch.contents import Content, HeldFile, chunks_of, hold
from autoresearch.records import Person

Tree = dict[str, tuple[str, str]]
"""Name → (mode, object id) of one directory."""

BLOB_MODE = "100644"
TREE_MODE = "40000"


@dataclass(frozen=True)
class CommitParts:
    tree: str
    parents: tuple[str, ...]
    author: Person
    when: datetime
    message: str

    def payload(self) -> bytes:
        stamp = f"{int(self.when.timestamp())} +0000"
        who = f"{_ident(self.author.name)} <{_ident(self.author.email)}> {stamp}"
        lines = [f"tree {self.tree}", *(f"parent {parent}" for parent in self.parents)]
        lines += [f"author {who}", f"committer {who}", "", self.message]
        return "\n".join(lines).encode()


def object_id(kind: str, data: bytes) -> str:
    """Git's SHA-1 name of an object."""
    return hashlib.sha1(b"%s %d\0%s" % (kind.encode(), len(data), data), usedforsecurity=False).hexdigest()


Sync = Callable[[Path], None]
"""Makes what a file holds, or what a folder names, survive a power cut."""


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ObjectWriter:
    """Puts objects below `objects`. They stand under their names, durably, after `sync`.

    Each is written at once and synced with all the others at the end: a sync each would make the
    disk's own journal wait for every one of them.
    """

    def __init__(self, objects: Path, reached: Reached = go_on, sync: Sync = sync) -> None:
        self._objects = objects
        self._reached = reached
        self._sync = sync
        self._written: dict[Path, Path] = {}
        """Where it will stand → the temporary file."""
        self._touched: set[Path] = set()

    def blob(self, data: bytes) -> str:
        return self._write("blob", data)

    def tree(self, tree: Tree) -> str:
        # Git sorts a directory as if its name ended in a slash.
        def order(item: tuple[str, tuple[str, str]]) -> bytes:
            name, (mode, _) = item
            return (name + "/" if mode == TREE_MODE else name).encode()

        entries = [
            f"{mode} {name}".encode() + b"\0" + bytes.fromhex(oid)
            for name, (mode, oid) in sorted(tree.items(), key=order)
        ]
        return self._write("tree", b"".join(entries))

    def commit(self, data: bytes) -> str:
        return self._write("commit", data)

    def sync(self) -> None:
        """Put everything written so far in place; then it survives a power cut."""
        for temporary in self._written.values():
            self._sync(temporary)
            self._reached("object synced")
        for place, temporary in self._written.items():
            temporary.replace(place)
            self._reached("object placed")
        self._written.clear()
        for folder in sorted(self._touched):
            self._sync(folder)
        self._sync(self._objects)
        self._touched.clear()
        self._reached("objects durable")

    def discard(self) -> None:
        """Remove what was written and not put in place."""
        for temporary in self._written.values():
            temporary.unlink(missing_ok=True)
        self._written.clear()

    def _write(self, kind: str, data: bytes) -> str:
        oid = object_id(kind, data)
        place = self._objects / oid[:2] / oid[2:]
        self._touched.add(place.parent)
        if place not in self._written and not place.exists():
            place.parent.mkdir(exist_ok=True)
            packed = zlib.compress(b"%s %d\0%s" % (kind.encode(), len(data), data), 1)
            temporary = temporary_name(place)
            self._written[place] = temporary
            write_new(temporary, packed, 0o444)
            self._reached("object written")
        return oid


def grow_tree(
    writer: ObjectWriter,
    base: Tree,
    entries: Mapping[str, tuple[str, str] | None],
    read_tree: Callable[[str], Tree],
) -> Tree:
    """`base` with `entries` (path → mode and object id, or None to take it away), writing the changed folders."""
    grown = dict(base)
    folders: dict[str, dict[str, tuple[str, str] | None]] = {}
    for path, entry in entries.items():
        head, slash, rest = path.partition("/")
        if slash:
            folders.setdefault(head, {})[rest] = entry
        elif entry is not None:
            grown[head] = entry
        else:
            grown.pop(head, None)
    for name, inside in folders.items():
        mode, oid = grown.get(name, ("", ""))
        below = grow_tree(writer, read_tree(oid) if mode == TREE_MODE else {}, inside, read_tree)
        if below:
            grown[name] = (TREE_MODE, writer.tree(below))
        elif mode == TREE_MODE:
            del grown[name]
    return grown


def parse_tree(data: bytes) -> Tree:
    """A raw tree object, as git stores it."""
    tree: Tree = {}
    at = 0
    while at < len(data):
        space = data.index(b" ", at)
        zero = data.index(b"\0", space)
        name = data[space + 1 : zero].decode("utf-8", "surrogateescape")
        tree[name] = (data[at:space].decode(), data[zero + 1 : zero + 21].hex())
        at = zero + 21
    return tree


def write_durably(
    path: Path,
    data: bytes,
    what: str,
    *,
    scratch: Path | None = None,
    reached: Reached = go_on,
    sync: Sync = sync,
) -> None:
    """Write through a temporary file, sync and rename: the old content or the new, never half.

    The temporary file stands in `scratch` (same file system), by default beside `path`
    under the name that `git gc` sweeps up. `what` names it among `boundaries.WRITES`.
    """
    temporary = temporary_name(path, scratch)
    try:
        write_new(temporary, data, 0o644)
        reached(f"{what} written")
        sync(temporary)
        reached(f"{what} synced")
        temporary.replace(path)
        reached(f"{what} placed")
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


_number = itertools.count()


def temporary_name(place: Path, folder: Path | None = None) -> Path:
    """A name of this process for what will stand at `place`; no two threads get the same."""
    return (folder or place.parent) / f"tmp_obj_{os.getpid()}_{next(_number)}_{place.name}"


def write_new(path: Path, data: bytes, mode: int) -> None:
    path.unlink(missing_ok=True)  # of a process that had this one's number, and was killed
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def remove_half_written(root: Path, folders: str) -> None:
    """Remove what `write_durably` left in `folders` (a pattern below `root`) when it was killed.

    Only under our own names, and only of processes that are gone: git's temporary objects,
    and those of somebody who writes at this moment, stay.
    """
    for leftover in root.glob(f"{folders}/tmp_obj_*_*"):  # noqa: S108  our own name
        pid = leftover.name.split("_")[2]
        if pid.isdecimal() and (int(pid) == os.getpid() or not _is_alive(int(pid))):
            leftover.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # somebody else's
    return True


def store_durably(place: Path, content: Content, reached: Reached = go_on, sync: Sync = sync) -> None:
    """Put `content` at `place` for good: a file on the same file system by a second name, else copied."""
    temporary = temporary_name(place)
    try:
        _link_or_copy(content, temporary)
        temporary.chmod(0o444)
        reached("artifact written")
        sync(temporary)
        reached("artifact synced")
        # Of two names of one file, `rename` would leave both.
        temporary.replace(place) if not _same_file(temporary, place) else temporary.unlink()
        reached("artifact placed")
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _link_or_copy(content: Content, target: Path) -> None:
    if isinstance(content, HeldFile):
        try:
            os.link(content.place, target)
        except OSError:
            pass  # another file system, or one without links
        else:
            return
    hold(target, chunks_of(content))


def _same_file(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _ident(text: str) -> str:
    """Git drops these from names; leaving them in would forge a header."""
    return "".join(char for char in text if char not in "<>\n\r\0").strip() or "unknown"
