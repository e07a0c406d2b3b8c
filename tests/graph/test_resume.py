"""Cut off after any record, a walk that goes on makes the very commits of one that was not."""

import shutil
import subprocess

import pytest

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.errors import AutoresearchError, Pending
from autoresearch.testing import FakeSandbox
from autoresearch.testing_project import STILL, TextDesk, drive, make_project, shifted

STORY = [
    "proposal 1.1", "ideas 1.1", "critique 1.1", "plan 1.1", "prediction 1.1", "preflight 1.1", "approval 1.1",
    "proposal 1.2", "ideas 1.2", "critique 1.2", "plan 1.2", "prediction 1.2", "preflight 1.2", "approval 1.2",
    "run 1.2", "result 1.2", "check 1.2", "conclusion 1.2", "monitoring 1.2", "acceptance 1.2", "report 1.2",
]  # fmt: skip
DECISIONS = {6: ("reject", "the question is vague"), 13: "approve", 19: "accept"}
"""By the number of the record each becomes."""
APPROVED, RUN, LAST = 13, 14, 20


class Keeping(FakeSandbox):
    """Containers that outlive their supervisor, and are not tidied away."""

    def remove(self, run_id):
        pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory, texts):
    """(the finished project, the sandbox with its containers)."""
    ledger = make_project(tmp_path_factory.mktemp("whole") / "project", texts.whole)
    sandbox = Keeping(shifted)
    desk = TextDesk(ledger, [texts.other_question])
    drive(ledger, list(DECISIONS.values()), desk=desk, sandbox=sandbox)
    yield ledger, sandbox
    ledger.close()


@pytest.fixture
def cut(whole, tmp_path):
    """A copy of the project that ends with record `number`."""
    opened = []

    def make(number):
        root = tmp_path / "copy"
        shutil.copytree(whole[0].root, root)
        # As it was then: the journal of the finished project knows which approvals were used later.
        shutil.rmtree(root / ".git" / "autoresearch" / "journal")
        commit = whole[0].entries()[number].commit
        subprocess.run(["git", "-C", root, "reset", "-q", "--hard", commit], check=True)
        opened.append(GitLedger(root, STILL))
        return opened[-1]

    yield make
    for ledger in opened:
        ledger.close()


def go_on(ledger, number, texts, last=LAST, **doubles):
    """Drive with the decisions that come after record `number`, up to record `last`."""
    left = [decision for at, decision in DECISIONS.items() if number < at <= last]
    desk = TextDesk(ledger, [texts.other_question] if number < 7 else [])
    return drive(ledger, left, desk=desk, **doubles)


def test_the_whole_story(whole, story):
    assert story(whole[0]) == STORY


@pytest.mark.parametrize("number", range(APPROVED - 1))
def test_cut_off_before_the_approval(whole, cut, texts, number):
    ledger = cut(number)
    with pytest.raises(Pending):
        go_on(ledger, number, texts, last=APPROVED - 1)
    assert ledger.head() == whole[0].entries()[APPROVED - 1].commit


@pytest.mark.parametrize("number", [n for n in range(APPROVED, len(STORY)) if n != RUN])
def test_cut_off_after_the_approval(whole, cut, texts, number):
    ledger = cut(number)
    assert go_on(ledger, number, texts).standing == "accepted"
    assert ledger.head() == whole[0].head()


def test_cut_off_while_the_container_runs_joins_it(whole, cut, texts):
    ledger = cut(RUN)
    sandbox = whole[1]
    before = len(sandbox.submitted)
    run_id = ledger.entries()[-1].record.body.run_id
    assert go_on(ledger, RUN, texts, sandbox=sandbox).standing == "accepted"
    assert ledger.head() == whole[0].head()
    assert run_id not in [job.run_id for job in sandbox.submitted[before:]], "it ran once"


def test_cut_off_and_the_container_gone_is_lost_and_asked_again(whole, cut, texts, story):
    ledger = cut(RUN)
    fresh = FakeSandbox(shifted)
    with pytest.raises(Pending):
        go_on(ledger, RUN, texts, last=RUN, sandbox=fresh)
    assert story(ledger)[-2:] == ["run 1.2", "result 1.2"]
    assert ledger.entries()[-1].record.body.status == "Lost"
    assert fresh.submitted == []


def test_a_finished_project_does_nothing_more(whole, cut, texts):
    ledger = cut(len(STORY) - 1)
    assert go_on(ledger, len(STORY) - 1, texts).standing == "accepted"
    assert ledger.head() == whole[0].head()


def test_no_record_is_made_twice(whole):
    keys = [(e.record.cycle, e.record.attempt, e.record.step, e.record.kind) for e in whole[0].entries()]
    assert len(keys) == len(set(keys))


class DiesAt(GitLedger):
    """A ledger whose process dies just before the commit of one kind of record."""

    kind = ""

    def append(self, record, files, **more):
        if record.kind == self.kind:
            raise AutoresearchError("killed")
        return super().append(record, files, **more)


@pytest.mark.parametrize("kind", ["critique", "run", "result", "report"])
def test_dying_just_before_a_commit_costs_that_step_only(whole, cut, texts, kind):
    """A result that was not committed is collected again from the container that is still there.

    A run that was not committed has not begun: its approval still counts.
    """
    number = {"critique": 0, "run": APPROVED, "result": APPROVED, "report": len(STORY) - 2}[kind]
    ledger = cut(number)
    dying = DiesAt(ledger.root, STILL)
    dying.kind = kind
    sandbox = FakeSandbox(shifted)
    with pytest.raises(AutoresearchError, match="killed"):
        go_on(dying, number, texts, sandbox=sandbox)
    dying.close()
    reached = len(ledger.entries()) - 1
    if kind == "critique":
        with pytest.raises(Pending):
            go_on(ledger, reached, texts, last=APPROVED - 1)
        assert ledger.head() == whole[0].entries()[APPROVED - 1].commit
    else:
        go_on(ledger, reached, texts, sandbox=sandbox)
        assert ledger.head() == whole[0].head()
