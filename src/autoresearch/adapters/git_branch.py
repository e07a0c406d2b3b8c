"""Moves a branch as git does: under its lock file, after a comparison, by renaming.

One difference serves recovery: the lock appears with its content, so that a lock which a killed
process left can be told from one that somebody else holds.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autoresearch.adapters.git_objects import Sync, sync, temporary_name, write_new
from autoresearch.boundaries import Reached


class Locked(Exception):
    """Somebody else moves the branch at this moment."""


class Moved(Exception):
    """The branch is not where it was."""


@dataclass(frozen=True)
class Branch:
    place: Path
    """The branch's file."""
    scratch: Path
    """A folder of ours: beside the branch, git would take a temporary file for another branch."""
    reached: Reached
    sync: Sync = sync

    @property
    def lock(self) -> Path:
        return self.place.with_name(f"{self.place.name}.lock")

    def move(self, new: str, old: str, read: Callable[[], str]) -> None:
        """To the commit `new`, if `read` says that it is still at `old`. Raises Locked, Moved, OSError."""
        self._take_lock(new)
        try:
            self.reached("branch locked")
            if still := read() == old:
                self.lock.replace(self.place)
        except BaseException:
            self.lock.unlink(missing_ok=True)
            raise
        if not still:
            self.lock.unlink()
            raise Moved
        self.reached("branch placed")
        self.sync(self.place.parent)

    def _take_lock(self, new: str) -> None:
        temporary = temporary_name(self.place, self.scratch)
        try:
            write_new(temporary, _line(new), 0o644)
            self.sync(temporary)
            self.reached("branch written")
            os.link(temporary, self.lock)
        except FileExistsError as error:
            raise Locked from error
        finally:
            temporary.unlink(missing_ok=True)

    def remove_own_lock(self, new: str) -> None:
        """Remove the lock of a process that was killed while it moved the branch to `new`."""
        if self.lock.is_file() and self.lock.read_bytes() == _line(new):
            self.lock.unlink()


def _line(commit: str) -> bytes:
    return f"{commit}\n".encode()
