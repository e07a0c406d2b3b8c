"""What a step reads and writes does not grow with what is there already; seconds are `make bench`'s."""

from contextlib import closing
from pathlib import Path

import pytest

from autoresearch.adapters.git_ledger import AGENT, GitLedger
from autoresearch.records import RULES, Monitoring, Record
from autoresearch.testing import FixedClock


def record(number, parent):
    return Record(
        kind="monitoring", cycle=1, attempt=number, step="monitor", parent=parent, inputs={}, made_by=RULES,
        body=Monitoring(findings=[], rules=["a.rule"]),
    )  # fmt: skip


@pytest.fixture
def project(tmp_path):
    """A project of so many commits and files."""
    made = []

    def make(commits, files):
        root = tmp_path / f"{commits}-{files}"
        root.mkdir()
        ledger = GitLedger.create(root, FixedClock())
        made.append(ledger)
        there = {f"workflow/{n % 10}/{n}.md": b"%d" % n for n in range(files)}
        ledger.append(record(1, None), there, after="", author=AGENT, extra=tuple(there))
        for number in range(2, commits + 1):
            add(ledger, number)
        return ledger

    yield make
    for ledger in made:
        ledger.close()


def add(ledger, number):
    last = ledger.entries()[-1].digest
    ledger.append(record(number, last), {}, after=ledger.head(), author=AGENT)


def cost_of_a_step(ledger):
    """Objects asked for, and boundaries passed, by one step of a process that knows the history."""
    passed = []
    with closing(GitLedger(ledger.root, FixedClock(), passed.append)) as own:
        number = len(own.entries()) + 1
        before = own.objects_asked
        add(own, number)
        return own.objects_asked - before, sorted(passed)


def test_a_step_costs_the_same_after_more_commits_and_beside_more_files(project):
    few = cost_of_a_step(project(5, 10))
    assert few == cost_of_a_step(project(60, 10))
    assert few == cost_of_a_step(project(5, 500))
    assert few[0] < 20, few


def test_the_count_counts(project):
    """Reading a history that is not known yet does grow with it."""
    asked = []
    for commits in (3, 9):
        with closing(GitLedger(Path(project(commits, 5).root), FixedClock())) as fresh:
            fresh.entries()
            asked.append(fresh.objects_asked)
    assert asked[1] > 2 * asked[0]
