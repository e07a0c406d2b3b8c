"""A second cycle: it goes on from what the first one came to, and nothing permitted there counts."""

import pytest

from autoresearch.errors import Pending
from autoresearch.reporting.log_page import log_lines, total_lines
from autoresearch.reporting.report import markdown
from autoresearch.reporting.status import status
from autoresearch.testing import FakeSandbox
from autoresearch.testing_project import TextDesk, drive, shifted
from autoresearch.vouched import reader


def test_a_second_cycle_asks_its_own_gates_and_is_derived_again(project, sound, replayed, places, text):
    ledger = project("approve", ("follow-up", "more noise next"))
    assert status(ledger.entries()).where.endswith("cycle 2 follows")
    changed = text.replace("Which way does the mean", "In which direction does the mean")
    sandbox, desk = FakeSandbox(shifted), TextDesk(ledger, [changed])
    with pytest.raises(Pending):
        drive(ledger, [], desk=desk, sandbox=sandbox)
    assert sandbox.submitted == [], "the first cycle's approval is the first cycle's"
    now = status(ledger.entries())
    assert (now.cycle, now.attempt, now.state) == (2, 1, "waiting")
    drive(ledger, ["approve", "accept"], desk=desk)
    assert places(ledger)[-1] == "2.1 report"
    sound(ledger)
    assert replayed(ledger)[0] == ledger.head()
    pages = {cycle: markdown(ledger.entries(), reader(ledger), cycle=cycle) for cycle in (1, 2)}
    assert "more noise next" in pages[1]
    assert [page.split("\n")[4][:8] for page in pages.values()] == ["Cycle 1,", "Cycle 2,"]
    heads = [
        line for line in log_lines(ledger.entries(), full=False, width=100, color=False) if "cycle" in line
    ]
    assert [head[:8] for head in heads if head.startswith("cycle")] == ["cycle 1:", "cycle 2:"]
    assert len(total_lines(ledger.entries(), width=100, color=False)) == 3


def test_a_fork_of_the_first_cycle_knows_nothing_of_the_second(project, fork, sound, replayed, places, text):
    ledger = project("approve", ("follow-up", "more noise next"))
    changed = text.replace("Which way does the mean", "In which direction does the mean")
    drive(ledger, ["approve", "accept"], desk=TextDesk(ledger, [changed]))
    first = next(entry for entry in ledger.entries() if entry.record.kind == "check")
    forked = fork(ledger, first.digest)
    drive(forked, ["accept"])
    assert {place[0] for place in places(forked)} == {"1"}
    sound(forked)
    assert replayed(forked)[0] == forked.head()
