"""`diff --with`: where two projects part, and how what followed differs."""

import json

import pytest

from autoresearch.errors import InvalidInput
from autoresearch.reporting.parting import parting, parting_json, parting_lines
from autoresearch.testing_project import TextDesk, drive, make_project


def test_two_that_part_are_told_record_by_record(accepted, fork, text):
    forked = fork(accepted, "preflight")
    changed = text.replace("trials_per_arm: 6", "trials_per_arm: 7")
    drive(forked, ["approve", ("reject", "not enough")], desk=TextDesk(forked, [changed]))
    found = parting(accepted.entries(), forked.entries())
    lines = parting_lines(found, width=200, color=False)
    assert lines[2].startswith("shared 6 records, the last preflight (cycle 1, attempt 1), commit ")
    assert "fork-1, fork: only there" in lines
    assert "start, proposal: only there" in lines
    assert "plan, plan: only there" in lines, "the plan of the other side is older than the parting"
    at = lines.index("accept, acceptance: differs")
    assert lines[at + 1 :][:2] == [
        "  here attempt 1: accept by Ada Reviewer, 2 of 2 claims",
        "  there attempt 2: reject by Ada Reviewer, 0 of 2 claims",
    ]
    assert "    decision: accept here, reject there" in lines
    page = json.loads(json.dumps(parting_json(found)))
    assert page["shared"]["records"] == 6
    kinds = [(row["there"] or row["here"])["kind"] for row in page["followed"]]
    assert kinds[:3] == ["fork", "proposal", "plan"]


def test_the_order_of_the_two_is_the_askers(accepted, fork):
    forked = fork(accepted, "monitor")
    lines = parting_lines(parting(forked.entries(), accepted.entries()), width=100, color=False)
    assert "fork-1, fork: only here" in lines
    assert "accept, acceptance: only there" in lines


def test_one_that_has_nothing_of_its_own_does_not_part(accepted):
    lines = parting_lines(parting(accepted.entries(), accepted.entries()), width=100, color=False)
    assert lines[-1] == "they do not part: neither has a record that the other lacks"


def test_strangers_share_nothing(accepted, opened, tmp_path, text):
    other = opened(make_project(tmp_path / "other", text, title="Another study"))
    with pytest.raises(InvalidInput, match="share no history"):
        parting(accepted.entries(), other.entries())
