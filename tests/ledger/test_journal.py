"""The journal after something broke it: what is torn is ignored where that is safe, or named."""

import os
import signal
import subprocess
from contextlib import closing

import pytest

import deaths
from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.git_locks import git_at_work
from autoresearch.errors import LedgerError, Stale
from autoresearch.testing_project import STILL, drive, make_project

TORN = [b"", b"{", b"\0" * 40, "ü".encode("latin-1"), b"0" * 39 + b"\n" + b"0" * 40 + b"\n"]


@pytest.fixture
def project(tmp_path):
    text = (deaths.DATA / "free_form.md").read_text()
    with closing(make_project(tmp_path / "project", text, settings=deaths.SETTINGS)) as ledger:
        yield ledger


def journal(project):
    return project.root / ".git" / "autoresearch" / "journal"


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_note_of_the_work_tree_is_named_and_nothing_moves(project, torn):
    before = project.head()
    project.note("work-tree", torn)
    with project.lock(), pytest.raises(LedgerError, match=r"journal/work-tree cannot be read.*Remove it"):
        project.mend()
    assert project.head() == before
    (journal(project) / "work-tree").unlink()
    with project.lock():
        project.mend()
    assert project.changes() == []


def test_a_note_of_a_move_that_never_came_changes_nothing(project):
    project.note("work-tree", f"{project.head()}\n{'1' * 40}\n".encode())
    with project.lock():
        project.mend()
    assert project.noted("work-tree") is None
    assert project.changes() == []


@pytest.mark.parametrize("torn", TORN)
def test_torn_spending_stops_with_its_file(tmp_path, torn):
    deaths.make(tmp_path)
    with closing(GitLedger(tmp_path / "project", STILL)) as ledger:
        ledger.note("spending", torn)
    with pytest.raises(LedgerError, match=r"journal/spending cannot be read.*\n.*remove the file"):
        deaths.go_on_with(tmp_path, deaths.Failpoint(only=()))
    assert deaths.Log(tmp_path / "log").lines() == []


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_reply_is_asked_for_again(tmp_path, torn):
    deaths.make(tmp_path)
    with closing(GitLedger(tmp_path / "project", STILL)) as ledger:
        ledger.note("reply-1-1-ideate", torn)
    with pytest.raises(KeyError):  # no script holds what the second step is asked
        go_on_without(tmp_path, "critique")
    assert [line for line in deaths.Log(tmp_path / "log").lines() if "ideate" in line] == ["asked ideate"]
    assert not (tmp_path / "project" / ".git" / "autoresearch" / "journal" / "reply-1-1-ideate").exists()


def go_on_without(root, step):
    def model_for(spec):
        model = deaths.ScriptedModel(root, deaths.go_on)
        model.replies = {name: reply for name, reply in model.replies.items() if name != step}
        return model

    with closing(GitLedger(root / "project", STILL)) as ledger:
        drive(ledger, [], sandbox=deaths.KeptSandbox(root), model_for=model_for)


# -------------------------------------------------------------------- locks


def move_of(project):
    """As noted before the branch moves to a commit that was written."""
    new = subprocess.check_output(
        ["git", "-C", project.root, "commit-tree", "-p", "main", "-m", "x", "main^{tree}"], text=True
    ).strip()
    project.note("work-tree", f"{project.head()}\n{new}\n".encode())
    return new


def test_our_own_lock_of_the_branch_goes_at_once(project):
    new = move_of(project)
    lock = project.root / ".git" / "refs" / "heads" / "main.lock"
    lock.write_text(f"{new}\n")
    project.mend()
    assert not lock.exists()


def test_somebody_elses_lock_of_the_branch_refuses_the_commit_and_stays(project):
    lock = project.root / ".git" / "refs" / "heads" / "main.lock"
    lock.write_text("")
    before = project.head()
    entry = project.entries()[0]
    with pytest.raises(LedgerError, match=r"main\.lock is there"):
        project.repeat_commit(project.commits()[0], {"notes/x": b"x"})
    assert lock.exists()
    assert project.head() == before == entry.commit
    lock.unlink()
    project.mend()
    project.repeat_commit(project.commits()[0], {"notes/x": b"x"})
    assert project.head() != before


@pytest.mark.parametrize("at_work", [True, False])
def test_an_old_lock_stays_while_a_git_is_at_work_there(project, at_work):
    """One that waits for an editor holds it for minutes."""
    move_of(project)
    lock = project.root / ".git" / "index.lock"
    lock.write_text("")
    os.utime(lock, (0, 0))
    command = ["git", "-C", project.root, "hash-object", "--stdin"]
    held = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) if at_work else None
    try:
        while at_work and not git_at_work(project.root):
            assert held.poll() is None
        project.mend()
        assert lock.exists() == at_work
    finally:
        if held:
            held.send_signal(signal.SIGKILL)
            held.wait()
            held.stdin.close()
    assert not git_at_work(project.root)


def test_a_branch_that_moved_meanwhile_is_not_overwritten(project):
    """Between the look and the rename, under a lock that only we respect."""
    old = project.head()
    other = subprocess.check_output(
        ["git", "-C", project.root, "commit-tree", "-p", "main", "-m", "x", "main^{tree}"], text=True
    ).strip()
    branch = project.root / ".git" / "refs" / "heads" / "main"

    def overtake(boundary):
        if boundary == "branch locked":
            branch.write_text(f"{other}\n")

    with closing(GitLedger(project.root, STILL, overtake)) as late, pytest.raises(Stale):
        late.repeat_commit(late.commits()[0], {"notes/x": b"x"})
    assert project.head() == other != old
    assert not branch.with_name("main.lock").exists()


def test_a_branch_that_git_packed_is_moved(project):
    subprocess.run(["git", "-C", project.root, "pack-refs", "--all"], check=True)
    before = project.head()
    new = project.repeat_commit(project.commits()[0], {"notes/x": b"x"})
    assert project.head() == new != before
    assert subprocess.check_output(["git", "-C", project.root, "fsck", "--strict"]) == b""
