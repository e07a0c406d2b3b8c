"""What a step reads, writes, syncs and starts does not grow with what is there already; seconds are `make bench`'s."""

import _posixsubprocess
import os
import subprocess
import sys
from contextlib import closing

import pytest

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.git_objects import sync
from autoresearch.layout import commit_message, record_path
from autoresearch.records import AGENT, RULES, Monitoring, Record
from autoresearch.testing import FixedClock

COUNTED = {os.replace: "placed", os.unlink: "removed", _posixsubprocess.fork_exec: "started"}
PER_ATTEMPT = 20
"""Records; no folder holds more."""


def record(number, parent):
    return Record(
        kind="monitoring", cycle=1, attempt=number // PER_ATTEMPT + 1, step=f"monitor-{number % PER_ATTEMPT}", parent=parent,
        inputs={}, made_by=RULES, body=Monitoring(findings=[], rules=["a.rule"]),
    )  # fmt: skip


def imported(root, commits, files):
    """A project of so many commits and files, brought in in one go."""
    root.mkdir()
    GitLedger.create(root, FixedClock()).close()
    before, stream = None, []
    for number in range(commits):
        made = record(number, before.digest if before else None)
        written = {record_path(made): made.to_bytes()}
        if number == 0:
            written |= {f"workflow/{n % 40}/{n}.md": b"%d" % n for n in range(files)}
        stream.append(commit(commit_message(made, before).encode(), written))
        before = made
    for args in (["fast-import", "--quiet"], ["reset", "-q", "--hard"]):
        subprocess.run(["git", *args], cwd=root, input=b"".join(stream), check=True)
    return root


def commit(message, files):
    parts = [
        b"commit refs/heads/main\ncommitter a <a@localhost> 1767225600 +0000\ndata %d\n%s\n"
        % (len(message), message)
    ]
    for path, data in files.items():
        parts.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
    return b"".join(parts)


def cost_of_a_step(root):
    """What one append does, in a process that knows the history."""
    synced = []

    def note(path):
        # Two objects may lie in one folder, by chance; each is a file of its own.
        synced.extend([] if path.is_dir() else [path])
        sync(path)

    with closing(GitLedger(root, FixedClock(), sync=note)) as ledger:
        last, head, asked = ledger.entries()[-1], ledger.head(), ledger.objects_asked
        made = record(len(ledger.entries()), last.digest)
        calls = []
        sys.setprofile(lambda _frame, event, called: calls.append(called) if event == "c_call" else None)
        try:
            ledger.append(made, {}, after=head, author=AGENT)
        finally:
            sys.setprofile(None)
        counts = {what: sum(call is function for call in calls) for function, what in COUNTED.items()}
        return counts | {"synced": len(synced), "read": ledger.objects_asked - asked}


@pytest.fixture(scope="module")
def costs(tmp_path_factory):
    """By commits and files that are there before. Each is about to begin the second half of an attempt."""
    top = tmp_path_factory.mktemp("growth")
    sizes = [(10, 50), (1010, 50), (10, 2000)]
    return {size: cost_of_a_step(imported(top / f"{size[0]}-{size[1]}", *size)) for size in sizes}


def test_a_step_costs_the_same_after_a_thousand_commits(costs):
    assert costs[1010, 50] == costs[10, 50]


def test_a_step_costs_the_same_beside_two_thousand_files(costs):
    assert costs[10, 2000] == costs[10, 50]


def test_a_step_is_cheap(costs):
    """One process, for the index."""
    found = costs[10, 50]
    assert found["started"] == 1
    assert 8 < found["synced"] < 12
    assert 0 < found["read"] < 15
    assert found["placed"] > 5


def test_the_count_counts(tmp_path):
    """Reading a history that is not known yet does grow with it."""
    asked = []
    for commits in (3, 9):
        with closing(GitLedger(imported(tmp_path / str(commits), commits, 5), FixedClock())) as fresh:
            fresh.entries()
            asked.append(fresh.objects_asked)
    assert asked[1] > 2 * asked[0]
