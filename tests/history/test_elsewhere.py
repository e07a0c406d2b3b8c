"""A project pushed to a plain remote and cloned on another machine: verified, replayed and gone on with there."""

import shutil

import pytest

from autoresearch.cli.replay import derive_again
from autoresearch.errors import Pending
from autoresearch.testing_project import TextDesk, drive, make_project
from autoresearch.verify import verify


@pytest.fixture
def left_at_the_second_gate(tmp_path, quick):
    ledger = make_project(tmp_path / "here", quick.read_text())
    with pytest.raises(Pending):
        drive(ledger, ["approve"])
    assert ledger.entries()[-1].record.kind == "monitoring"
    yield ledger
    ledger.close()


def test_pushed_cloned_verified_replayed_and_gone_on_with(
    left_at_the_second_gate, tmp_path, opened, git, capsys
):
    here, remote, there = left_at_the_second_gate, tmp_path / "remote.git", tmp_path / "there"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(remote))
    git(here.root, "push", "-q", str(remote), "main")
    git(tmp_path, "clone", "-q", str(remote), str(there))
    assert not (there / ".git" / "autoresearch").exists()
    clone = opened(there)
    found = verify(clone)
    assert found.sound, list(found.lines())
    assert (found.head, found.unseen) == (here.head(), ())
    derive_again(clone)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith(f"each equal to the recorded one; head {here.head()}")
    assert drive(clone, ["accept"], desk=TextDesk(clone)).standing == "accepted"
    git(there, "push", "-q", "origin", "main")
    git(here.root, "pull", "-q", "--ff-only", str(remote), "main")
    assert here.head() == clone.head()
    assert verify(here).sound


def test_a_clone_without_the_large_files_verifies_and_says_what_it_cannot_compute(
    tmp_path, quick, opened, git
):
    from autoresearch.records import Settings

    ledger = make_project(tmp_path / "here", quick.read_text(), settings=Settings(artifact_limit_mb=0.0005))
    with pytest.raises(Pending):
        drive(ledger, ["approve"])
    ledger.close()
    assert verify(opened(ledger.root)).unseen == ()
    there = tmp_path / "there"
    git(tmp_path, "clone", "-q", str(ledger.root), str(there))
    found = verify(opened(there))
    assert found.sound
    assert found.unseen
    said = "\n".join(found.lines())
    assert all(f"neither compared nor to be computed from: {path}" in said for path in found.unseen)
    # Copied over by digest, they count again.
    shutil.copytree(ledger.root / ".git/autoresearch/artifacts", there / ".git/autoresearch/artifacts")
    assert verify(opened(there)).unseen == ()
