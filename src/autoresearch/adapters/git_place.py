"""Where a project lies and which commit is its last, from a few small files: without git, and at once."""

import re
from pathlib import Path

from autoresearch.errors import InvalidInput

BRANCH = "refs/heads/main"


def find_root(start: Path) -> Path:
    """The project that holds `start`. Raises InvalidInput if there is none, or no such directory."""
    if not start.is_dir():  # or a mistyped one inside a project would be taken for the project
        raise InvalidInput(f"{start} {'is not a directory' if start.exists() else 'does not exist'}")
    for folder in (start, *start.parents):
        if (folder / ".git").exists():
            if (folder / ".git" / "autoresearch").is_dir() or (folder / "cycles" / "01").is_dir():
                return folder
            break
    raise InvalidInput(
        f"{start} is not in an autoresearch project; make one with: autoresearch start PROPOSAL"
    )


def last_commit(root: Path) -> str:
    """The branch's commit id; empty where these files do not say, and git has to be asked."""
    git = root / ".git"
    try:
        if (git / "HEAD").read_text() != f"ref: {BRANCH}\n":
            return ""
        if (git / BRANCH).exists():
            found = re.fullmatch(r"([0-9a-f]{40})\n", (git / BRANCH).read_text())
        else:
            found = re.search(
                rf"^([0-9a-f]{{40}}) {BRANCH}$", (git / "packed-refs").read_text(), re.MULTILINE
            )
    except (OSError, UnicodeDecodeError):
        return ""
    return found[1] if found else ""
