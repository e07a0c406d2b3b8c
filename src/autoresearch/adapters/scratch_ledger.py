"""A ledger to be thrown away again: what a replay makes, and compares, and removes.

A class of its own, so that no argument can make a project's ledger one of these.
"""

from pathlib import Path

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.ports import Clock


class ScratchLedger(GitLedger):
    """Commits as `GitLedger` makes them. Nothing is synced, no files and no index follow, and nobody else writes."""

    def __init__(self, root: Path, clock: Clock) -> None:
        super().__init__(root, clock, sync=_not_at_all)
        self._head = super().head()

    def head(self) -> str:
        return self._head

    def _move_to(self, new: str, old: str) -> None:
        self._move_branch(new, old)
        self._head = new

    def _what_next(self) -> str:
        return (
            "; TMPDIR names another place for what is made and removed again: TMPDIR=DIR autoresearch replay"
        )


def _not_at_all(path: Path) -> None:
    """There is nothing to survive."""
