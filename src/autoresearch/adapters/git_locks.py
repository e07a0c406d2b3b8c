"""Lock files that a killed git left behind, told from those of a git that is at work."""

import os
import time
from pathlib import Path

STALE_SECONDS = 5.0
_PROCESSES = Path("/proc")


def remove_stale(lock: Path, root: Path) -> None:
    """Remove a lock of the repository in `root` once it is old and no git runs there. Waits while it is young.

    Of a git that is at work the lock stays, however old: its editor may be open.
    """
    while lock.exists():
        if time.time() - lock.stat().st_mtime <= STALE_SECONDS:
            time.sleep(0.1)
            continue
        if not git_at_work(root):
            lock.unlink(missing_ok=True)
        return


def git_at_work(root: Path) -> bool:
    """Whether a git of anybody's that can be seen here has its work directory in `root`."""
    here = root.resolve()
    for process in _PROCESSES.glob("[0-9]*"):
        try:
            if (process / "comm").read_text().strip().startswith("git"):
                folder = Path(os.readlink(process / "cwd"))  # noqa: PTH115  no more than the link's text
                if folder == here or here in folder.parents:
                    return True
        except OSError:
            continue  # it has ended meanwhile, or is somebody else's
    return False
