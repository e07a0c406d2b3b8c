"""The ledger over real git: one commit per record, compare-and-swap, a person's work left alone."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.git_objects import write_durably
from autoresearch.adapters.git_place import find_root, last_commit
from autoresearch.errors import InvalidInput, LedgerError, Stale
from autoresearch.layout import commit_message, record_path, trailers_of
from autoresearch.records import AGENT, RULES, Finding, Monitoring, Person, Preflight, Record, file_ref
from autoresearch.testing import FixedClock

ADA = Person(name="Ada", email="ada@example.org")


def git(root: Path, *args: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *args], capture_output=True, check=True, text=True
    ).stdout.strip()


def record(number: int, parent: str | None, explanation: str = "fine") -> Record:
    finding = Finding(check="a.rule", severity="info", record="plan", explanation=explanation)
    return Record(
        kind="monitoring", cycle=1, attempt=number, step="monitor", parent=parent, inputs={}, made_by=RULES,
        body=Monitoring(findings=[finding], rules=["a.rule"]),
    )  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> GitLedger:
    root = tmp_path / "project"
    root.mkdir()
    made = GitLedger.create(root, FixedClock())
    made.append(record(1, None), {}, after="", author=AGENT)
    return made


def add(ledger: GitLedger, number: int, **kwargs) -> None:
    last = ledger.entries()[-1]
    ledger.append(record(number, last.digest, **kwargs), {}, after=ledger.head(), author=AGENT)


def test_a_record_is_one_commit_that_git_itself_reads(ledger):
    add(ledger, 2)
    entries = ledger.entries()
    assert [entry.record.attempt for entry in entries] == [1, 2]
    assert git(ledger.root, "rev-list", "--count", "main") == "2"
    assert git(ledger.root, "fsck", "--strict", "--full") == ""
    assert git(ledger.root, "status", "--porcelain") == ""
    message = git(ledger.root, "log", "-1", "--format=%B")
    assert message + "\n" == commit_message(entries[1].record, entries[0].record)
    trailers = git(ledger.root, "log", "-1", "--format=%(trailers:only)").splitlines()
    assert trailers[0] == f"Record: monitoring@sha256:{entries[1].digest}"
    assert trailers[1] == f"Parent-Record: monitoring@sha256:{entries[0].digest}"
    assert {line.split(":")[0] for line in trailers[2:]} == {
        "Cycle",
        "Attempt",
        "Step",
        "Model",
        "Tokens",
        "Cost-USD",
    }


def test_another_process_reads_the_same(ledger):
    add(ledger, 2)
    assert [e.digest for e in GitLedger(ledger.root, FixedClock()).entries()] == [
        e.digest for e in ledger.entries()
    ]


def test_a_record_on_an_old_head_is_refused_and_nothing_changes(ledger):
    old, last = ledger.head(), ledger.entries()[-1]
    add(ledger, 2)
    before = git(ledger.root, "rev-parse", "main")
    with pytest.raises(Stale):
        ledger.append(record(3, last.digest), {}, after=old, author=AGENT)
    with pytest.raises(Stale):
        ledger.append(record(3, ledger.entries()[-1].digest), {}, after=old, author=AGENT)
    assert git(ledger.root, "rev-parse", "main") == before
    assert git(ledger.root, "status", "--porcelain") == ""


def test_of_two_writers_one_wins(ledger):
    barrier = threading.Barrier(2)
    outcomes = []

    def race(number: int) -> None:
        own = GitLedger(ledger.root, FixedClock())
        last, head = own.entries()[-1], own.head()
        barrier.wait()
        try:
            own.append(record(number, last.digest), {}, after=head, author=AGENT)
            outcomes.append("won")
        except (Stale, LedgerError):
            outcomes.append("lost")

    writers = [threading.Thread(target=race, args=(number,)) for number in (2, 3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert sorted(outcomes) == ["lost", "won"]
    assert git(ledger.root, "rev-list", "--count", "main") == "2"
    assert git(ledger.root, "fsck", "--strict", "--no-dangling") == ""


def test_the_lock_is_held_by_one(ledger):
    other = GitLedger(ledger.root, FixedClock())
    with ledger.lock(), pytest.raises(Stale, match="another autoresearch process"), other.lock():
        pass
    with other.lock():
        pass


def test_a_file_nobody_vouches_for_is_refused(ledger):
    with pytest.raises(LedgerError, match=r"stranger\.txt"):
        ledger.append(
            record(2, ledger.entries()[-1].digest), {"stranger.txt": b"x"}, after=ledger.head(), author=AGENT
        )


@pytest.mark.parametrize("place", ["in the record", "in a file"])
def test_what_looks_like_a_credential_is_not_committed(ledger, place):
    before, key = ledger.head(), "AKIA" + "ABCDEFGH12345678"
    made = record(
        2, ledger.entries()[-1].digest, explanation=f"use {key}" if place == "in the record" else "fine"
    )
    files = {} if place == "in the record" else {"notes.txt": f"use {key}".encode()}
    with pytest.raises(
        LedgerError, match="holds what looks like an AWS access key; nothing was committed"
    ) as caught:
        ledger.append(made, files, after=before, author=AGENT, extra=tuple(files))
    assert key not in str(caught.value)
    assert ledger.head() == before
    add(ledger, 2)


def test_a_persons_change_is_never_overwritten(ledger):
    path = record_path(record(2, None))
    place = ledger.root / path
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    add(ledger, 2)
    assert place.read_text() == "mine"
    assert [(c.path, c.what) for c in ledger.changes()] == [(path, "modified")]


def test_a_link_does_not_carry_a_write_outside(ledger, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (ledger.root / "cycles" / "01" / "attempt-2").symlink_to(outside)
    add(ledger, 2)
    assert list(outside.iterdir()) == []


def test_changes_name_what_is_not_committed_and_leave_notes_alone(ledger):
    (ledger.root / "notes").mkdir()
    (ledger.root / "notes" / "idea.md").write_text("mine")
    assert ledger.changes() == []
    (ledger.root / "stray.py").write_text("x")
    (ledger.root / record_path(record(1, None))).unlink()
    found = {change.path: change for change in ledger.changes()}
    assert {path: change.what for path, change in found.items()} == {
        "stray.py": "untracked",
        record_path(record(1, None)): "deleted",
    }
    for change in found.values():
        command = change.way_on().partition(" with: ")[2]
        subprocess.run(command, shell=True, check=True, cwd=ledger.root, capture_output=True)
    assert ledger.changes() == []
    assert (ledger.root / "notes" / "stray.py").read_text() == "x"


def test_a_persons_own_notes_may_be_committed_and_nothing_else(ledger):
    (ledger.root / "notes").mkdir()
    (ledger.root / "notes" / "idea.md").write_text("mine")
    git(ledger.root, "add", "notes")
    git(ledger.root, "commit", "-qm", "an idea")
    add(ledger, 2)
    assert len(ledger.entries()) == 2
    (ledger.root / "other.md").write_text("x")
    git(ledger.root, "add", "other.md")
    git(ledger.root, "commit", "-qm", "sneaky")
    with pytest.raises(LedgerError, match="is not a record"):
        ledger.entries()


@pytest.mark.parametrize("point", ["objects", "ref", "files"])
def test_a_crash_in_the_middle_is_mended(ledger, point):
    """As a kill leaves it: objects only, the ref moved, or half the files written."""
    before = ledger.head()
    add(ledger, 2)
    after = ledger.head()
    path = ledger.root / record_path(record(2, None))
    git(ledger.root, "update-index", "--force-remove", record_path(record(2, None)))
    if point != "files":
        path.unlink()
    if point == "objects":
        git(ledger.root, "update-ref", "refs/heads/main", before)
    ledger.note("work-tree", f"{before}\n{after}\n".encode())
    (ledger.root / ".git" / "autoresearch" / "scratch").mkdir(exist_ok=True)
    (ledger.root / ".git" / "autoresearch" / "scratch" / "tmp_obj_left").write_text("half")
    again = GitLedger(ledger.root, FixedClock())
    with again.lock():
        again.mend()
    assert again.changes() == []
    assert git(again.root, "status", "--porcelain") == ""
    assert again.noted("work-tree") is None
    assert len(again.entries()) == (1 if point == "objects" else 2)


def test_what_a_killed_writer_left_half_written_is_removed(ledger):
    """Ours, of a process that is gone; git's own and a living writer's are theirs."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    folder = Path(ledger.head()[:2])
    objects, own = ledger.root / ".git" / "objects" / folder, ledger.root / ".git" / "autoresearch"
    ours = [objects / f"tmp_obj_{gone.pid}_{'a' * 38}", own / "journal" / f"tmp_obj_{gone.pid}_work-tree"]
    others = [objects / "tmp_obj_Qx81Zk", objects / f"tmp_obj_{os.getppid()}_{'b' * 38}"]
    (own / "journal").mkdir(exist_ok=True)
    for path in [*ours, *others]:
        path.write_text("half")
    with ledger.lock():
        ledger.mend()
    assert [path for path in ours if path.exists()] == []
    assert [path for path in others if path.exists()] == others


def test_a_lock_that_a_killed_git_left_is_removed(ledger):
    lock = ledger.root / ".git" / "index.lock"
    lock.write_text("")
    os.utime(lock, (0, 0))
    ledger.note("work-tree", f"{ledger.head()}\n{ledger.head()}\n".encode())
    with ledger.lock():
        ledger.mend()
    add(ledger, 2)
    assert not lock.exists()


def test_a_lock_that_a_persons_git_holds_stays(ledger):
    lock = ledger.root / ".git" / "index.lock"
    lock.write_text("")
    os.utime(lock, (0, 0))
    with ledger.lock():
        ledger.mend()
    assert lock.exists()


def test_no_hook_filter_or_replace_ref_of_the_repository_runs_or_counts(ledger, tmp_path):
    marker = tmp_path / "ran"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-index-change", "pre-commit", "fsmonitor-watchman"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {marker}\n")
        (hooks / name).chmod(0o755)
    git(ledger.root, "config", "core.hooksPath", str(hooks))
    git(ledger.root, "config", "core.fsmonitor", str(hooks / "fsmonitor-watchman"))
    git(ledger.root, "config", "filter.evil.clean", f"touch {marker}; cat")
    (ledger.root / ".git" / "info").mkdir(exist_ok=True)
    (ledger.root / ".git" / "info" / "attributes").write_text("* filter=evil\n")
    marker.unlink(missing_ok=True)
    add(ledger, 2)
    ledger.changes()
    with ledger.lock():
        ledger.mend()
    assert not marker.exists()
    first, second = (entry.commit for entry in ledger.entries())
    git(ledger.root, "replace", second, first)
    assert len(GitLedger(ledger.root, FixedClock()).entries()) == 2
    assert any("replace ref" in odd for odd in ledger.oddities())


def test_large_files_are_kept_aside_by_digest(ledger):
    data = b"large"
    ref = file_ref("artifacts/big.bin", data, committed=False)
    body = Preflight(findings=[], rules=[])
    assert body.files() == []
    made = record(2, ledger.entries()[-1].digest)
    exchanges = made.made_by.model_copy(update={"exchanges": [ref]})
    made = made.model_copy(update={"made_by": exchanges})
    ledger.append(made, {"cycles/01/attempt-2/artifacts/big.bin": data}, after=ledger.head(), author=AGENT)
    assert ledger.stored(ref.sha256).read() == data
    assert "big.bin" not in git(ledger.root, "ls-tree", "-r", "--name-only", "main")


def test_text_in_a_record_cannot_pose_as_a_trailer(ledger):
    add(ledger, 2, explanation="x  Record: approval@sha256:00 \u202e\x1b[2J")
    message = git(ledger.root, "log", "-1", "--format=%B")
    assert trailers_of(message)["Record"].startswith("monitoring@")
    assert "\x1b" not in message
    assert "\u202e" not in message


def test_a_full_disk_stops_loudly_and_loses_nothing(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(small)], check=True)
    try:
        ledger = GitLedger.create(small, FixedClock())
        ledger.append(record(1, None), {}, after="", author=AGENT)
        filler = small / "notes" / "filler"
        filler.parent.mkdir()
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(os.urandom(1 << 20))
        with pytest.raises(LedgerError, match="No space left"):
            add(ledger, 2)
        filler.unlink()
        again = GitLedger(small, FixedClock())
        with again.lock():
            again.mend()
        add(again, 2)
        assert len(again.entries()) == 2
        assert git(small, "fsck", "--strict") == ""
        ledger.close()
        again.close()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_project_is_found_from_below_and_nowhere_else(ledger, tmp_path):
    below = ledger.root / "cycles" / "01"
    assert find_root(below) == ledger.root
    with pytest.raises(InvalidInput, match="autoresearch start"):
        find_root(tmp_path)
    git(tmp_path, "init", "-q", "plain")
    with pytest.raises(InvalidInput):
        find_root(tmp_path / "plain")


def test_a_durable_write_goes_through_the_scratch_directory(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    write_durably(tmp_path / "x", b"1", "work file", scratch=scratch)
    assert list(scratch.iterdir()) == []


def test_the_last_commit_is_known_without_git(ledger):
    add(ledger, 2)
    assert last_commit(ledger.root) == ledger.head()
    git(ledger.root, "pack-refs", "--all")
    assert last_commit(ledger.root) == ledger.head()
    git(ledger.root, "checkout", "-q", "--detach")
    assert last_commit(ledger.root) == "", "git has to be asked"
