"""Verify and offline replay of histories of 10, 1,000 and 10,000 records, beside git's own passes over the same bytes.

One cycle with its experiment and report, and from there on settings that a person changes
again and again: the cheapest record there is to make, so that a long history can be made
at all. The sandbox is the tests' double.
"""

import contextlib
import subprocess
import tempfile
import time
from pathlib import Path

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.scratch_ledger import ScratchLedger
from autoresearch.config import render_settings, settings_diff
from autoresearch.errors import Pending
from autoresearch.records import Settings
from autoresearch.replay import replay
from autoresearch.settings_in_force import settings_in_force
from autoresearch.testing import FixedClock
from autoresearch.testing_project import STILL, ScriptedReviewer, drive, make_driver, make_project
from autoresearch.verify import verify
from autoresearch.workflow import parse_workflow

SIZES = (10, 1_000, 10_000)
TEXT = (Path(__file__).parents[1] / "tests" / "data" / "quick.md").read_text()
SETTINGS = Settings(max_attempts=100, max_cycles=100)
CYCLE = 14
"""Records of one."""


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
    """A project of `size` records. Returns how many it has."""
    ledger = make_project(root, TEXT, settings=SETTINGS)
    decisions = ["approve", "accept"] if size > CYCLE else []
    with contextlib.suppress(Pending):  # the short one is left at its first gate
        drive(ledger, decisions)
    driver = make_driver(ledger, ScriptedReviewer())
    while len(ledger.entries()) < size:
        before = settings_in_force(ledger.entries())
        after = before.model_copy(update={"max_attempts": 50 + len(ledger.entries()) % 50})
        driver.put_in_force(after, settings_diff(before, after), render_settings(after).encode())
    number = len(ledger.entries())
    ledger.close()
    return number


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
