"""What an append syncs, in which order; a scratch ledger syncs nothing."""

import os
import sys
from contextlib import closing, contextmanager

import pytest

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.git_objects import sync
from autoresearch.adapters.scratch_ledger import ScratchLedger
from autoresearch.errors import LedgerError
from autoresearch.records import AGENT, RULES, Monitoring, Record
from autoresearch.testing import FixedClock


def record(number, parent):
    return Record(
        kind="monitoring", cycle=1, attempt=number, step="monitor", parent=parent, inputs={}, made_by=RULES,
        body=Monitoring(findings=[], rules=["a.rule"]),
    )  # fmt: skip


def add(ledger, number):
    entries = ledger.entries()
    last = entries[-1].digest if entries else None
    return ledger.append(record(number, last), {}, after=ledger.head(), author=AGENT)


class Watch:
    """What was synced and what was reached, in order; a file by its inode, since it is renamed later."""

    def __init__(self):
        self.events = []

    def sync(self, path):
        self.events.append(path if path.is_dir() else path.stat().st_ino)
        sync(path)

    def reached(self, boundary):
        self.events.append(boundary)

    def synced_before(self, boundary):
        return set(self.events[: self.events.index(boundary)])


def files(folder):
    return {path: path.stat().st_ino for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def appended(tmp_path):
    """One append, watched: the events, the project, and its objects before."""
    with closing(GitLedger.create(tmp_path, FixedClock())) as ledger:
        add(ledger, 1)
    before, watch = files(tmp_path / ".git" / "objects"), Watch()
    with closing(GitLedger(tmp_path, FixedClock(), watch.reached, watch.sync)) as ledger:
        add(ledger, 2)
    return watch, tmp_path, before


def test_every_object_and_its_folder_are_synced_before_the_branch_is_touched(appended):
    watch, root, before = appended
    objects = root / ".git" / "objects"
    made = {path: inode for path, inode in files(objects).items() if path not in before}
    assert len(made) == 6, "the record, four folders and the commit"
    contents = watch.synced_before("object placed")
    assert set(made.values()) <= contents, "no object has its name before its content is durable"
    assert {objects, *(path.parent for path in made)} <= watch.synced_before("objects durable")
    assert watch.events.index("objects durable") < watch.events.index("branch written")


def test_the_note_of_the_move_is_durable_before_the_branch_is_touched(appended):
    watch, root, _ = appended
    assert root / ".git" / "autoresearch" / "journal" in watch.synced_before("branch written")
    assert watch.events.index("journal entry synced") < watch.events.index("journal entry placed")


def test_the_branch_and_the_record_in_the_work_tree_are_synced(appended):
    watch, root, _ = appended
    branch = root / ".git" / "refs" / "heads" / "main"
    assert branch.stat().st_ino in watch.synced_before("branch placed")
    assert branch.parent in watch.synced_before("work files written")
    work_file = root / "cycles" / "01" / "attempt-2" / "monitor.json"
    assert not work_file.exists(), "named for its kind"
    assert work_file.with_name("monitoring.json").stat().st_ino in watch.synced_before("work file placed")


@contextmanager
def counted(function):
    """How often the interpreter calls a function of C's."""
    calls = []
    sys.setprofile(lambda _frame, event, called: calls.append(event) if called is function else None)
    try:
        yield calls
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize(("ledger_of", "is_kept"), [(GitLedger, True), (ScratchLedger, False)])
def test_only_a_ledger_that_is_thrown_away_syncs_nothing(tmp_path, ledger_of, is_kept):
    with closing(ledger_of.create(tmp_path, FixedClock())) as ledger:
        add(ledger, 1)
        with counted(os.fsync) as calls:
            added = add(ledger, 2)
        assert (calls.count("c_call") > 10) == bool(calls) == is_kept
        assert ledger.head() == added.commit
    with closing(GitLedger(tmp_path, FixedClock())) as known:
        assert known.head() == added.commit, "the branch is there, whoever looks"
        assert known.oddities() == []
    assert (tmp_path / "cycles").exists() == is_kept


def test_a_failed_write_says_which_disk_it_was(tmp_path):
    """A full temporary directory is not mended by going on with the project."""
    for ledger_of, said in ((GitLedger, "mend that, then: autoresearch run"), (ScratchLedger, "TMPDIR")):
        (tmp_path / said).mkdir()
        with closing(ledger_of.create(tmp_path / said, FixedClock())) as ledger:
            add(ledger, 1)
            scratch = ledger.git_dir / "autoresearch" / "scratch"
            scratch.rmdir()
            scratch.touch()
            with pytest.raises(LedgerError, match=said):
                add(ledger, 2)
