"""Every way through the graph: which records each decision makes, and which it keeps."""

from dataclasses import replace
from typing import ClassVar

import pytest

from autoresearch.driver import ended_badly
from autoresearch.errors import (
    AuthorNeeded,
    AutoresearchError,
    Pending,
    Rejected,
    exit_code,
)
from autoresearch.recorded import Silent
from autoresearch.records import Plan, Prediction, body_as
from autoresearch.testing import FakeSandbox
from autoresearch.testing_project import ScriptedReviewer, TextDesk, approval, drive, make_driver, shifted

TO_GATE = ["ideas", "critique", "plan", "prediction", "preflight"]
TO_ACCEPT = ["run", "result", "check", "conclusion", "monitoring"]


def first(*kinds):
    return [f"{kind} 1.1" for kind in kinds]


def second(*kinds):
    return [f"{kind} 1.2" for kind in kinds]


def to_gate(ledger, decisions, **doubles):
    """Drive until the script is used up, and say what stopped it."""
    with pytest.raises(AutoresearchError) as caught:
        drive(ledger, decisions, **doubles)
    return caught.value


# ------------------------------------------------------------------ straight


def test_approve_and_accept(project, story):
    ending = drive(project, ["approve", "accept"])
    expected = ["proposal", *TO_GATE, "approval", *TO_ACCEPT, "acceptance", "report"]
    assert story(project) == first(*expected)
    assert (ending.standing, ended_badly(ending)) == ("accepted", None)


def test_an_open_gate_stops_and_makes_nothing(project, story):
    stopped = to_gate(project, [])
    assert isinstance(stopped, Pending)
    assert story(project) == first("proposal", *TO_GATE)
    head = project.head()
    to_gate(project, [])
    assert project.head() == head


# ------------------------------------------------------------------- approve


def test_reject_needs_a_changed_proposal_and_runs_again_what_it_touches(project, story, texts):
    desk = TextDesk(project)
    stopped = to_gate(project, [("reject", "the question is vague")], desk=desk)
    assert (type(stopped), exit_code(stopped)) == (AuthorNeeded, 5)
    assert "the question is vague" in str(stopped)
    assert "nothing has changed since the rejection" in str(stopped)
    before = first("proposal", *TO_GATE, "approval")
    assert story(project) == before

    desk.proposals = [texts.other_question]
    assert isinstance(to_gate(project, [], desk=desk), Pending)
    # the question is read by ideate and plan; what follows from them is made again
    assert story(project) == before + second("proposal", *TO_GATE)


def test_what_a_change_does_not_touch_is_kept(project, story, texts):
    desk = TextDesk(project, [texts.other_predictions])
    to_gate(project, [("reject", "too sure of itself")], desk=desk)
    assert story(project)[7:] == second("proposal", "prediction", "preflight")
    gate = ScriptedReviewer()
    with pytest.raises(Pending):
        make_driver(project, gate).run()
    plans = [e.digest for e in project.entries() if e.record.kind == "plan"]
    assert gate.views[0].bundle.plan == plans[0]


def test_revise_goes_back_to_the_plan(project, story, texts):
    to_gate(project, [("revise", "say when it stops")], desk=TextDesk(project, [texts.other_plan]))
    assert story(project)[7:] == second("proposal", "plan", "prediction", "preflight")


def test_a_revision_that_changes_the_question_thinks_again_from_there(project, story, texts):
    to_gate(project, [("revise", "say when it stops")], desk=TextDesk(project, [texts.other_question]))
    assert "ideas 1.2" in story(project)


def edit(**changes):
    def decide(view):
        fields = {
            name: getattr(view.plan, name)
            for name in type(view.plan).model_fields
            if name not in ("experiment", "environment", "inputs")
        }
        edited = type(view.plan).__mro__[1](**{**fields, **changes})
        return approval(view, "edit", "mended by hand", edited=edited, edited_files=dict(view.files))

    return decide


def test_an_edit_is_the_persons_plan_at_the_same_gate_and_keeps_the_forecasts(project, story):
    gate = ScriptedReviewer([edit(stopping_rule="after all trials, whatever they say")])
    with pytest.raises(Pending):
        make_driver(project, gate).run()
    assert story(project)[7:] == second("plan", "prediction", "preflight")
    plan, prediction = (e.record for e in project.entries()[7:9])
    assert plan.made_by.author == "person"
    assert body_as(prediction, Prediction).carried_from == project.entries()[4].digest
    assert gate.views[1].plan.stopping_rule == "after all trials, whatever they say"
    assert gate.views[1].previous_files == gate.views[0].files


def test_a_hand_edit_that_a_changed_proposal_replaces_is_named(project, texts):
    class Heard(Silent):
        lines: ClassVar[list[str]] = []

        def say(self, line):
            self.lines.append(line)

    answers = ScriptedReviewer([edit(trials_per_arm=4), ("revise", "say when it stops")])
    driver = make_driver(project, answers, desk=TextDesk(project, [texts.other_plan]))
    with pytest.raises(Pending):
        replace(driver, progress=Heard()).run()
    assert [line for line in Heard.lines if "edited by hand (attempt 2) is not kept" in line]
    assert body_as(project.entries()[-3].record, Plan).trials_per_arm != 4


def test_an_edit_of_the_contrast_asks_for_forecasts_again(project):
    contrast = {"form": "unpaired", "treatment": "shifted", "control": "plain", "smallest_effect": 0.1}
    to_gate(project, [edit(contrast=contrast)])
    prediction = next(e.record for e in reversed(project.entries()) if e.record.kind == "prediction")
    assert body_as(prediction, Prediction).carried_from is None


def test_terminate_ends_without_a_report(project, story):
    ending = drive(project, ["terminate"])
    assert ending.standing == "terminated"
    assert isinstance(ended_badly(ending), Rejected)
    assert story(project) == first("proposal", *TO_GATE, "approval")


# ---------------------------------------------------------------- experiment


@pytest.mark.parametrize(
    ("sandbox_ending", "status"),
    [("crashed", "Crashed"), ("timed-out", "TimedOut"), ("out-of-memory", "OutOfMemory")],
)
def test_a_run_that_fails_goes_back_to_the_plan_and_refutes_nothing(
    project, story, texts, sandbox_ending, status
):
    desk = TextDesk(project)
    sandbox = FakeSandbox(shifted, ending=sandbox_ending, trials_before_end=5)
    stopped = to_gate(project, ["approve"], sandbox=sandbox, desk=desk)
    assert (type(stopped), exit_code(stopped)) == (AuthorNeeded, 1)
    assert status in str(stopped)
    before = first("proposal", *TO_GATE, "approval", "run", "result")
    assert story(project) == before
    assert project.entries()[-1].record.body.status == status

    desk.proposals = [texts.other_plan]
    gate = ScriptedReviewer()
    with pytest.raises(Pending):
        make_driver(project, gate, desk=desk, sandbox=sandbox).run()
    assert story(project) == before + second("proposal", "plan", "prediction", "preflight")
    assert any(status in line and "5 of 12" in line for line in gate.views[0].history)


def test_a_trial_that_raises_is_a_crash(project):
    def broken(arm, seed, config):
        raise ValueError("no such thing")

    stopped = to_gate(project, ["approve"], sandbox=FakeSandbox(broken))
    assert exit_code(stopped) == 1
    assert project.entries()[-1].record.body.status == "Crashed"


def test_a_lost_run_asks_for_the_same_bytes_again(project, story):
    lost = FakeSandbox(shifted, ending="absent")
    gate = ScriptedReviewer(["approve"])
    with pytest.raises(Pending):
        make_driver(project, gate, sandbox=lost).run()
    assert story(project)[6:] == first("approval", "run", "result")
    assert project.entries()[-1].record.body.status == "Lost"
    first_bundle, second_bundle = (view.bundle for view in gate.views)
    assert (second_bundle.plan, second_bundle.files) == (first_bundle.plan, first_bundle.files)
    assert (second_bundle.attempt, first_bundle.attempt) == (2, 1)
    assert any("Lost after 0 of 12" in line for line in gate.views[1].history)
    assert [view.before for view in gate.views] == ["", "These files ran before, in attempt 1."]

    drive(project, ["approve", "accept"])
    check = next(e.record.body for e in project.entries() if e.record.kind == "check")
    assert [(d.check, d.explanation.partition(" and left")[0]) for d in check.deviations] == [
        ("deviation.reruns", "attempt 1 ended Lost"),
    ]  # fmt: skip
    assert story(project)[9:] == second("approval", *TO_ACCEPT, "acceptance", "report")


# -------------------------------------------------------------------- accept


def test_revise_at_accept_words_the_conclusion_again_and_runs_nothing(project, story, texts):
    desk = TextDesk(project, [texts.other_wording])
    drive(project, ["approve", ("revise", "say what moved"), "accept"], desk=desk)
    assert story(project)[13:] == second("proposal", "conclusion", "monitoring", "acceptance", "report")
    conclusion = next(e.record.body for e in reversed(project.entries()) if e.record.kind == "conclusion")
    assert any("The mean moves upwards." in claim.statement for claim in conclusion.claims)


def test_redo_is_a_new_experiment_under_a_new_approval(project, story, texts):
    desk = TextDesk(project, [texts.other_plan])
    drive(
        project,
        ["approve", ("redo", "once more"), "approve", ("accept", "a second look, and called one")],
        desk=desk,
    )
    assert story(project)[13:] == second(
        "proposal", "plan", "prediction", "preflight", "approval", *TO_ACCEPT, "acceptance", "report"
    )
    runs = [e.record.body for e in project.entries() if e.record.kind == "run"]
    assert runs[0].run_id != runs[1].run_id
    approvals = [e.record.body for e in project.entries() if e.record.kind == "approval"]
    assert approvals[0].nonce != approvals[1].nonce


def test_rejected_claims_are_written_up_as_rejected(project, story):
    ending = drive(project, ["approve", ("reject", "the proxy is too far off")])
    assert ending.standing == "rejected"
    assert exit_code(ended_badly(ending)) == 5
    assert story(project)[-2:] == first("acceptance", "report")
    report = project.read("cycles/01/report.md", project.head()).decode()
    assert "rejected" in report
    assert "the proxy is too far off" in report


def test_a_follow_up_is_written_up_and_opens_a_cycle_from_a_changed_proposal(project, story, texts):
    desk = TextDesk(project)
    stopped = to_gate(project, ["approve", ("follow-up", "more noise next")], desk=desk)
    assert isinstance(stopped, Pending)
    assert "cycle 2" in str(stopped)
    assert story(project)[-2:] == first("acceptance", "report")

    desk.proposals = [texts.other_plan]
    ending = drive(project, ["approve", "accept"], desk=desk)
    assert ending.standing == "accepted"
    assert story(project)[14:] == [
        f"{kind} 2.1" for kind in ["proposal", *TO_GATE, "approval", *TO_ACCEPT, "acceptance", "report"]
    ]
