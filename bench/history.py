"""Verify and offline replay of histories of 10 and 1,000 records, beside git's own passes over the same bytes.

Cycle after cycle, each with attempts that are refused and sent back with another question,
then an experiment, a report and a follow-up. The sandbox is the tests' double.
"""

import contextlib
import subprocess
import tempfile
import time
from pathlib import Path

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.scratch_ledger import ScratchLedger
from autoresearch.errors import AuthorNeeded, Pending
from autoresearch.records import Settings
from autoresearch.replay import replay
from autoresearch.testing import FixedClock
from autoresearch.testing_project import STILL, TextDesk, drive, make_project
from autoresearch.verify import verify
from autoresearch.workflow import parse_workflow

TEXT = (Path(__file__).parents[1] / "tests" / "data" / "quick.md").read_text()
SETTINGS = Settings(max_attempts=100, max_cycles=100)
REJECTED = 10
"""Attempts of a cycle, at seven records each."""
SIZES = (10, 1_000)
"""At least; the small one is a cycle that waits at its gate for the second time."""


def measure():
    return [row for size in SIZES for row in at(size)]


def at(size):
    with tempfile.TemporaryDirectory(prefix="autoresearch-bench-") as folder:
        root = Path(folder) / "project"
        records = make(root, size)
        fsck = git_seconds(root, "fsck", "--strict", "--full", "--no-progress")
        batch = git_seconds(root, "cat-file", "--batch-all-objects", "--batch")
        checked = seconds(lambda: check(root))
        derived = seconds(lambda: derive(root, Path(folder) / "scratch"))
    name = f"{records:,} records:"
    return [
        {"what": f"{name} verify", "value": records / checked, "unit": "rec/s",
         "note": f"{checked:.2f} s, {checked / fsck:.1f} × git fsck --strict, {checked / batch:.1f} × cat-file --batch"},
        {"what": f"{name} replay, offline", "value": records / derived, "unit": "rec/s",
         "note": f"{derived:.2f} s, {derived / fsck:.1f} × git fsck --strict, {derived / batch:.1f} × cat-file --batch"},
        {"what": f"{name} git fsck --strict", "value": fsck, "unit": "s"},
        {"what": f"{name} git cat-file --batch, every object", "value": batch, "unit": "s"},
    ]  # fmt: skip


def make(root, size):
    """A project of at least `size` records. Returns how many it has."""
    ledger = make_project(root, TEXT, settings=SETTINGS)
    while (number := len(ledger.entries())) < size:
        another_cycle(ledger, REJECTED if size > REJECTED else 1, ended=size > REJECTED)
    ledger.close()
    return number


def another_cycle(ledger, rejected, *, ended):
    """Attempts that are refused, each with another question, then one that is followed up unless it waits."""
    first = len(ledger.entries())
    decisions = [("reject", "ask something else")] * rejected
    decisions += ["approve", ("follow-up", "once more")] if ended else []
    texts = [
        TEXT.replace("Which way", f"From record {first}, attempt {n}, which way") for n in range(rejected + 1)
    ]
    desk = TextDesk(ledger, texts if first > 1 else texts[1:])
    with contextlib.suppress(AuthorNeeded, Pending):  # at its gate, or of the cycle after
        drive(ledger, decisions, desk=desk)


def check(root):
    ledger = GitLedger(root, STILL)
    assert verify(ledger).sound
    ledger.close()


def derive(root, scratch):
    class At(FixedClock):
        def __init__(self, clock):
            self.now = clock

    scratch.mkdir()
    ledger = GitLedger(root, STILL)
    workflow = parse_workflow(ledger.read("workflow/workflow.yaml", ledger.entries()[0].commit).decode())
    replay(ledger, lambda clock: ScratchLedger.create(scratch, At(clock)), workflow, lambda _: None)
    assert GitLedger(scratch, STILL).head() == ledger.head()
    ledger.close()


def git_seconds(root, *args):
    return min(seconds(lambda: run(root, *args)) for _ in range(3))


def run(root, *args):
    subprocess.run(
        ["git", "-C", str(root), *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )


def seconds(act):
    began = time.monotonic()
    act()
    return time.monotonic() - began
