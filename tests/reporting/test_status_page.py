"""Where a project stands, and the exact next command."""

import json
import unicodedata

import pytest

from autoresearch.reporting.status import status
from autoresearch.reporting.status_page import status_json, status_lines

EDIT = "edit proposal.md, then: autoresearch run"
MODEL = "anthropic:claude-test"


def done(new):
    return new.to_gate().approve().to_accept()


@pytest.mark.parametrize(
    ("story", "state", "where", "command"),
    [
        (lambda new: new().start(), "under way", "the next step is ideate", "autoresearch run"),
        (lambda new: new().to_gate(), "waiting", "at the approve gate", "autoresearch review"),
        (
            lambda new: new().to_gate().config(max_attempts=4),
            "waiting",
            "at the approve gate",
            "autoresearch review",
        ),
        (lambda new: new().to_gate().approve(), "under way", "has not begun", "autoresearch run"),
        (lambda new: new().to_gate().approve("reject", "No."), "author needed", "Rejected by Ada", EDIT),
        (lambda new: new().to_gate().fork(), "waiting", "at the approve gate", "autoresearch review"),
        (lambda new: new().to_gate().approve().fork(), "waiting", "does not count", "autoresearch review"),
        (
            lambda new: new().to_gate().approve("reject", "No.").fork(),
            "author needed",
            "Rejected by Ada",
            EDIT,
        ),
        (lambda new: done(new()).accept().report().fork(), "author needed", "cycle 2 follows", EDIT),
        (
            lambda new: new(model=MODEL).to_gate().approve("reject", "No."),
            "under way",
            "next step is ideate",
            "autoresearch run",
        ),
        (
            lambda new: new(models={"ideate": {"use": MODEL}}).to_gate().approve("reject", "No."),
            "under way",
            "ideate",
            "autoresearch run",
        ),
        (
            lambda new: new().to_gate().approve("revise", "No."),
            "author needed",
            "Sent back for revision by Ada",
            EDIT,
        ),
        (
            lambda new: new().to_gate().approve("edit", "So."),
            "under way",
            "Edited by Ada",
            "autoresearch run",
        ),
        (
            lambda new: new().to_gate().approve("terminate"),
            "stopped",
            "Stopped by Ada",
            "autoresearch report",
        ),
        (
            lambda new: new(max_attempts=1).to_gate().approve("reject", "No."),
            "stopped",
            "all 1 attempt of the cycle are used",
            "raise max_attempts in autoresearch.toml, then: autoresearch run",
        ),
        (
            lambda new: new().to_gate().approve().run(),
            "under way",
            "its end is not recorded",
            "autoresearch run",
        ),
        (
            lambda new: new().to_gate().approve().result("Crashed"),
            "author needed",
            "no evidence either way",
            EDIT,
        ),
        (
            lambda new: new().to_gate().approve().result("Lost"),
            "waiting",
            "asks again for the same bytes",
            "autoresearch review",
        ),
        (
            lambda new: new().to_gate().approve().result(),
            "under way",
            "the next step is check",
            "autoresearch run",
        ),
        (lambda new: done(new()), "waiting", "at the accept gate", "autoresearch review"),
        (lambda new: done(new()).accept(), "under way", "the report is not written", "autoresearch run"),
        (lambda new: done(new()).accept("revise", "No."), "author needed", "at the accept gate", EDIT),
        (
            lambda new: done(new()).accept("redo", "No."),
            "author needed",
            "Sent back for a new experiment",
            EDIT,
        ),
        (
            lambda new: done(new()).accept("reject", "No.").report(),
            "finished",
            "0 of 3 claims",
            "autoresearch report",
        ),
        (lambda new: done(new()).accept().report(), "finished", "Accepted by Ada", "autoresearch report"),
        (lambda new: done(new()).accept("follow-up").report(), "author needed", "cycle 2 follows", EDIT),
        (
            lambda new: done(new(model=MODEL)).accept("follow-up").report(),
            "finished",
            "cycle 2 follows",
            "autoresearch run",
        ),
        (
            lambda new: done(new(max_cycles=1)).accept("follow-up").report(),
            "stopped",
            "cycle 2 follows",
            "raise max_cycles in autoresearch.toml, then: autoresearch run",
        ),
    ],
)
def test_where_it_stands_and_what_to_type(tale, story, state, where, command):
    now = status(story(tale).entries)
    assert (now.state, now.next_command) == (state, command)
    assert where in now.where
    assert status_lines(now, width=80, color=False)[-1] == f"next        {command}"


@pytest.mark.parametrize(
    ("alive", "where"),
    [
        (True, "The experiment is running"),
        (False, "its container is gone"),
        (None, "its end is not recorded"),
    ],
)
def test_a_run_is_alive_or_not(tale, alive, where):
    assert status(tale().to_gate().approve().run().entries, alive=alive).where.endswith(where)


def test_the_page(accepted):
    assert status_lines(status(accepted.entries), width=80, color=False) == [
        "Does it matter in which direction raters err?",
        "stands      Accepted by Ada Lovelace on 1 March 2026; 2 of 3 claims",
        "at          cycle 1, attempt 1, 14 records",
        "model       no model: the steps read your proposal; 0 USD so far",
        "decision    Accepted by Ada Lovelace on 1 March 2026 (cycle 1, attempt 1;",
        "            unsigned): The target claim says more than one proxy can.",
        "attention   approve after 3 min; opened plan, code (not to its end)",
        "            accept after 3 min; opened plan, code (not to its end)",
        "open        A3: Equal epochs are equal training.",
        "next        autoresearch report",
    ]


def test_json_has_the_same_fields(accepted):
    row = json.loads(json.dumps(status_json(status(accepted.entries))))
    assert row["state"] == "finished"
    assert row["open_assumptions"] == ["A3: Equal epochs are equal training."]
    assert row["demonstration"] is False


def test_hostile_text_moves_nothing(tale):
    told = tale(foreign="\x1b[2J\u202e\u200b\nnext        rm -rf ~\r").to_gate().approve("reject", "x")
    lines = status_lines(status(told.entries), width=60, color=False)
    assert not [c for line in lines for c in line if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]
    # What a reason says can only stand beside our labels, never at the margin.
    assert sum(line.startswith("next") for line in lines) == 1


def test_a_demonstration_says_so(tale, accepted):
    told = tale(demonstration=True, is_person=False).to_gate()
    assert "demonstration: no person decided anything here" in status_lines(
        status(told.entries), width=80, color=False
    )
    assert not any(
        "demonstration" in line for line in status_lines(status(accepted.entries), width=80, color=False)
    )


def test_attention_is_told(tale):
    def text(told):
        return "\n".join(status_lines(status(told.entries), width=120, color=False))

    read = text(tale().to_gate().approve().to_accept().accept())
    assert "attention   approve after 3 min; opened plan, code (not to its end)" in read
    assert "            accept after 3 min; opened plan, code (not to its end)" in read
    hasty = text(tale(reading=5).to_gate().approve())
    assert "approve after 5 s; opened nothing beyond the first screen. Approved after 5 s without" in hasty
    assert "attention" not in text(tale().to_gate())
    assert "attention" not in text(tale(is_person=False).to_gate().approve())
