"""The project that a release leaves behind, and the script that makes it: a bundle that git can clone.

Run it (`make kept-project`) until the release is out; from then on the bundle of that
version stays as it is, and the tests verify and replay it for ever.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from autoresearch import __version__
from autoresearch.errors import Pending
from autoresearch.records import Settings
from autoresearch.testing_project import TextDesk, drive, make_project

TESTS = Path(__file__).parents[1]
BUNDLES = TESTS / "data" / "projects"
TEXT = (TESTS / "data" / "quick.md").read_text()
CHANGED = TEXT.replace("Which way does the mean", "In which direction does the mean")
NEXT = TEXT.replace("Which way does the mean", "Once more: which way does the mean")


def make(root: Path) -> None:
    """A rejection, a new proposal, changed settings, an experiment, a follow-up, and a second cycle at its first gate."""
    ledger = make_project(root, TEXT, title="Kept by the tests")
    desk = TextDesk(ledger, [CHANGED])
    try:
        drive(ledger, [("reject", "vague")], desk=desk)
    except Pending:
        desk.changed = Settings(max_attempts=5)
    desk.proposals.append(NEXT)
    try:
        drive(ledger, ["approve", "follow-up"], desk=desk)
    except Pending:
        ledger.close()
        return
    raise AssertionError("the second cycle did not stop at its gate")


def bundle(root: Path, target: Path) -> None:
    """Everything that the branch holds, packed the same way each time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(
        ["git", "-C", str(root), "-c", "pack.threads=1", "bundle", "create", "-q", str(target), "main"],
        env=environment, check=True,
    )  # fmt: skip


def main() -> int:
    target = BUNDLES / f"{__version__}.bundle"
    with tempfile.TemporaryDirectory(prefix="autoresearch-kept-") as folder:
        root = Path(folder) / "project"
        make(root)
        bundle(root, target)
    print(f"{target.relative_to(TESTS.parent)}: {target.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
