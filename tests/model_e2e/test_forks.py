"""A fork of a project that a model wrote: what was paid for is not asked again, and the budget came along."""

import re
from contextlib import closing

import pytest

from autoresearch.adapters.scratch_ledger import ScratchLedger
from autoresearch.budget import spent_in
from autoresearch.errors import BudgetSpent
from autoresearch.records import Budget, Caps
from autoresearch.replay import replay
from autoresearch.settings_in_force import settings_in_force
from autoresearch.testing import FixedClock
from autoresearch.testing_project import TextDesk, make_fork
from autoresearch.verify import verify
from autoresearch.workflow import parse_workflow

pytestmark = pytest.mark.slow
PARENT = ["ideate", "critique", "plan", "predict", "conclude", "writeup"]


class At(FixedClock):
    """The time of the record that comes next."""

    def __init__(self, time):
        self.now = time


def calls(number):
    return Budget(project=Caps(calls=number))


def made_again(ledger, folder):
    """The head that a replay comes to."""
    folder.mkdir()
    workflow = parse_workflow(ledger.read("workflow/workflow.yaml", ledger.head()).decode())
    made = []

    def scratch(time):
        made.append(ScratchLedger.create(folder, At(time)))
        return made[0]

    replay(ledger, scratch, workflow, lambda _: None)
    with closing(made[0]):
        return made[0].head()


def test_a_fork_asks_for_what_it_lacks_within_what_is_left_of_the_budget(study, tmp_path):
    """Of eight calls the parent took six, three of them after the plan that is forked."""
    made = study(budget=calls(8))
    made.go(["approve", "accept"])
    assert [step for _, _, step in made.asked()] == PARENT
    with closing(make_fork(made.ledger, "plan", tmp_path / "fork")) as fork:
        with pytest.raises(BudgetSpent, match=re.escape("budget.project.calls is 8, of which 8 is spent")):
            made.go(["approve", ("accept", "a second look, and called one")], ledger=fork)
        assert made.asked()[len(PARENT) :] == [(1, 2, "predict"), (1, 2, "conclude")]
        more = settings_in_force(fork.entries()).model_copy(update={"budget": calls(9)})
        made.go([], ledger=fork, desk=TextDesk(fork, changed=more))
        assert made.asked()[len(PARENT) :] == [(1, 2, step) for step in ("predict", "conclude", "writeup")]
        assert fork.entries()[-1].record.kind == "report"
        assert (spent_in(made.ledger.entries()).calls, spent_in(fork.entries()).calls) == (6, 9)
        assert verify(fork).sound, verify(fork).lines()
        number = len(made.asked())
        assert made_again(fork, tmp_path / "scratch") == fork.head()
        assert len(made.asked()) == number, "no model is asked in a replay"
