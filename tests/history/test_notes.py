"""A person's own commits between the steps: exactly notes and sources are theirs, and the rest is named."""

import re
import shlex
import subprocess

import pytest

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.errors import LedgerError, Pending
from autoresearch.testing import FakeSandbox
from autoresearch.testing_project import STILL, drive, make_project, shifted
from autoresearch.verify import verify


@pytest.fixture
def waiting(tmp_path, quick):
    """A project at its first gate."""
    ledger = make_project(tmp_path / "project", quick.read_text())
    with pytest.raises(Pending):
        drive(ledger, [])
    yield ledger
    ledger.close()


def commit(ledger, git, message="mine"):
    git(ledger.root, "add", "-A")
    git(ledger.root, *WHO, "commit", "-q", "--allow-empty", "-m", message)


WHO = ("-c", "user.name=Ada Reviewer", "-c", "user.email=ada@example.org")


def test_notes_of_any_kind_between_any_steps_are_derived_again_to_the_last_bit(waiting, git, again):
    """Added, executable, linked, renamed, taken away, a file where a folder was, another repository."""
    notes = waiting.root / "notes"
    (notes / "deep").mkdir(parents=True)
    (notes / "deep" / "idea.md").write_text("an idea")
    (notes / "tool.sh").write_text("#!/bin/sh\n")
    (notes / "tool.sh").chmod(0o755)
    (notes / "link").symlink_to("deep/idea.md")
    commit(waiting, git, "many things")
    (notes / "tool.sh").rename(notes / "other.sh")
    (notes / "deep" / "idea.md").unlink()
    (notes / "deep").rmdir()
    (notes / "deep").write_text("a file now")
    commit(waiting, git, "fewer things")
    drive(waiting, ["approve", "accept"])
    git(waiting.root, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},notes/theirs")
    git(waiting.root, *WHO, "commit", "-q", "-m", "another repository")
    git(waiting.root, "rm", "-rq", "--cached", "notes")
    git(waiting.root, *WHO, "commit", "-q", "-m", "no more notes")
    assert verify(waiting).sound
    assert again(waiting.root)[2].head() == waiting.head()


def test_a_note_while_an_approval_waits_for_its_run_voids_nothing(waiting, git, again):
    class Asked(FakeSandbox):
        def probe(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(waiting, ["approve"], sandbox=Asked(shifted))
    (waiting.root / "notes").mkdir()
    (waiting.root / "notes" / "n").write_text("x")
    commit(waiting, git)
    drive(waiting, ["accept"])
    assert verify(waiting).sound
    assert again(waiting.root)[2].head() == waiting.head()


def elsewhere(ledger, git):
    (ledger.root / "notes").mkdir()
    (ledger.root / "notes" / "n").write_text("x")
    (ledger.root / "readme.md").write_text("x")
    commit(ledger, git)
    return "touches more than notes/"


def a_file_called_notes(ledger, git):
    (ledger.root / "notes").write_text("x")
    commit(ledger, git)
    return "touches more than notes/"


def a_record_taken_away(ledger, git):
    (ledger.root / "cycles" / "01" / "attempt-1" / "plan.json").unlink()
    commit(ledger, git)
    return "touches more than notes/"


def nothing(ledger, git):
    commit(ledger, git)
    return "changes nothing"


def a_merge(ledger, git):
    git(ledger.root, "checkout", "-q", "-b", "side")
    (ledger.root / "notes").mkdir()
    (ledger.root / "notes" / "n").write_text("x")
    commit(ledger, git)
    git(ledger.root, "checkout", "-q", "main")
    git(ledger.root, *WHO, "merge", "-q", "--no-ff", "-m", "mine", "side")
    return "merges another history"


@pytest.mark.parametrize("way", [elsewhere, a_file_called_notes, a_record_taken_away, nothing, a_merge])
def test_any_other_commit_is_named_with_the_command_that_undoes_it(waiting, git, way):
    head = waiting.head()
    said = way(waiting, git)
    ledger = GitLedger(waiting.root, STILL)
    try:
        with pytest.raises(LedgerError, match=said) as caught:
            ledger.entries()
        assert not verify(ledger).sound
        undo = re.search(r"with: (git reset .*)$", str(caught.value))
        subprocess.run(shlex.split(undo[1]), cwd=waiting.root, check=True)
        assert (ledger.head(), ledger.changes()) == (head, [])
        assert ledger.entries()
    finally:
        ledger.close()
