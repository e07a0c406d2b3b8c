"""What stops a walk: bounds, void approvals, other inputs, and somebody who was faster."""

import subprocess
import threading
from dataclasses import replace

import pytest

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.errors import AutoresearchError, NotApproved, Pending, Rejected, Stale, exit_code
from autoresearch.nodes import InputsDiffer
from autoresearch.records import HUMAN, Config, Person, Record, Reviewer, Settings
from autoresearch.settings_in_force import settings_in_force
from autoresearch.testing import PERSON, FakeSandbox
from autoresearch.testing_project import (
    STILL,
    ScriptedReviewer,
    TextDesk,
    approval,
    drive,
    make_driver,
    make_project,
    shifted,
)

GRACE = Person(name="Grace Reviewer", email="grace@example.org")


def change_settings(ledger, settings):
    """A config record, as another process would commit it."""
    last = ledger.entries()[-1]
    record = Record(
        kind="config",
        cycle=last.record.cycle,
        attempt=last.record.attempt,
        step=f"config-{sum(e.record.kind == 'config' for e in ledger.entries()) + 1}",
        parent=last.digest,
        inputs={},
        made_by=HUMAN,
        body=Config(settings=settings, diff="by hand", reviewer=Reviewer(person=PERSON)),
    )
    return ledger.append(record, {}, after=ledger.head(), author=PERSON)


# -------------------------------------------------------------------- bounds


@pytest.fixture
def bounded(tmp_path, texts):
    def make(**settings):
        return make_project(tmp_path / "bounded", texts.whole, settings=Settings(**settings))

    return make


def test_attempts_are_bounded_and_the_bound_can_be_raised(bounded, story, texts):
    ledger = bounded(max_attempts=1)
    with pytest.raises(Rejected, match="1 attempts; raise max_attempts"):
        drive(ledger, [("reject", "no")])
    desk = TextDesk(ledger, [texts.other_plan], changed=Settings(max_attempts=2))
    with pytest.raises(Pending):
        drive(ledger, [], desk=desk)
    assert story(ledger)[6:9] == ["approval 1.1", "config 1.1", "proposal 1.2"]
    assert settings_in_force(ledger.entries()).max_attempts == 2


def test_a_crash_at_the_bound_is_an_error_and_no_rejection(bounded):
    ledger = bounded(max_attempts=1)
    with pytest.raises(AutoresearchError, match="raise max_attempts") as caught:
        drive(ledger, ["approve"], sandbox=FakeSandbox(shifted, ending="crashed"))
    assert exit_code(caught.value) == 1


def test_cycles_are_bounded_and_the_bound_can_be_raised(bounded, story, texts):
    ledger = bounded(max_cycles=1)
    with pytest.raises(AutoresearchError, match="its 1 cycles; raise max_cycles"):
        drive(ledger, ["approve", ("follow-up", "more")])
    assert story(ledger)[-1] == "report 1.1"
    desk = TextDesk(ledger, [texts.other_plan], changed=Settings(max_cycles=2))
    with pytest.raises(Pending):
        drive(ledger, [], desk=desk)
    assert story(ledger)[14:16] == ["config 1.1", "proposal 2.1"]


@pytest.mark.timeout(60)
def test_settings_changed_between_two_cycles_do_not_reopen_the_first(project, story):
    with pytest.raises(Pending, match="cycle 2"):
        drive(project, ["approve", ("follow-up", "more")])
    change_settings(project, Settings(max_attempts=3))
    with pytest.raises(Pending, match="cycle 2"):
        drive(project, [])
    assert story(project)[-2:] == ["report 1.1", "config 1.1"]


# ------------------------------------------------------------ void approvals


def approved_only(ledger):
    """Stop right after the approval is on record, as a crash would."""

    assert make_driver(ledger, ScriptedReviewer(["approve"])).decide_once()
    assert ledger.entries()[-1].record.kind == "approval"


def test_an_approval_that_is_no_longer_the_last_record_is_asked_again(project, story):
    approved_only(project)
    change_settings(project, Settings(max_attempts=9))
    gate = ScriptedReviewer()
    with pytest.raises(Pending):
        make_driver(project, gate).run()
    assert [view.bundle.attempt for view in gate.views] == [2]
    assert "run 1.1" not in story(project)
    drive(project, ["approve", "accept"])
    assert story(project)[6:10] == ["approval 1.1", "config 1.1", "approval 1.2", "run 1.2"]


def test_an_approval_that_is_the_last_record_is_used(project, story):
    approved_only(project)
    drive(project, ["accept"])
    assert story(project)[6:8] == ["approval 1.1", "run 1.1"]


def test_changed_settings_wait_until_the_run_is_over(project, story):
    approved_only(project)
    drive(project, ["accept"], desk=TextDesk(project, changed=Settings(max_attempts=9)))
    assert story(project)[6:10] == ["approval 1.1", "run 1.1", "result 1.1", "check 1.1"]
    assert "config 1.1" in story(project)


def test_an_approval_of_other_bytes_starts_nothing(project):
    """The gate's answer carries the digest that was on the screen; another one counts for nothing."""

    def other_digest(view):
        return approval(replace(view, bundle=view.bundle.model_copy(update={"attempt": 7})), "approve")

    with pytest.raises(Stale, match="something else than what is pending"):
        drive(project, [other_digest])
    assert project.entries()[-1].record.kind == "preflight"


def test_another_image_than_the_approved_one_is_refused_at_the_door(project):
    approved_only(project)
    other = FakeSandbox(shifted).isolation().model_copy(update={"image": "sha256:" + "1" * 64})
    sandbox = FakeSandbox(shifted, isolation=other)
    with pytest.raises(NotApproved, match="image"):
        drive(project, [], sandbox=sandbox)
    assert sandbox.submitted == []


# -------------------------------------------------------------- other inputs


def test_a_step_on_record_with_other_inputs_stops_and_names_both(project):
    with pytest.raises(Pending):
        drive(project, [])
    entries = project.entries()
    ideas, critique = entries[1], entries[2]
    stray = Record(
        kind="approval",
        cycle=1,
        attempt=1,
        step="approve",
        parent=entries[-1].digest,
        inputs={"critique": ideas.digest, **{k: e.digest for k, e in _named(entries).items()}},
        made_by=HUMAN,
        body=_pending_approval(project).body,
    )
    project.append(stray, {}, after=project.head(), author=PERSON)
    with pytest.raises(InputsDiffer) as caught:
        drive(project, ["approve"])
    assert f"critique was {ideas.digest[:12]} and is {critique.digest[:12]}" in str(caught.value)
    assert exit_code(caught.value) == 1


def _named(entries):
    return {e.record.kind: e for e in entries if e.record.kind in ("plan", "prediction", "preflight")}


def _pending_approval(ledger):
    """The record that approving now would make; it is not appended."""
    driver = make_driver(ledger, ScriptedReviewer(["approve"]))
    stop = driver._walk()
    at = driver.nodes.situation(stop.step, stop.state)
    return driver._ask_approval(at, ledger.head(), Reviewer(person=PERSON))[0]


# ------------------------------------------------------------- two reviewers


def test_of_two_reviewers_at_one_gate_one_counts_and_the_other_is_told(project, story):
    def while_another_decides(view):
        other = make_driver(project, ScriptedReviewer([("reject", "Grace was faster")], person=GRACE))
        assert other.decide_once()
        return "approve"

    with pytest.raises(Stale, match="somebody else decided meanwhile") as caught:
        drive(project, [while_another_decides])
    assert exit_code(caught.value) == 6
    decided = [e.record.body for e in project.entries() if e.record.kind == "approval"]
    assert [(a.decision, a.reviewer.person.name) for a in decided] == [("reject", "Grace Reviewer")]


def test_nobody_holds_the_lock_while_a_person_reads(project):
    held = []

    def try_the_lock(view):
        def take():
            with project.lock():
                held.append("free")

        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
        return "terminate"

    drive(project, [try_the_lock])
    assert held == ["free"]


def test_work_is_refused_while_somebody_else_works(project):
    other = GitLedger(project.root, STILL)
    with project.lock(), pytest.raises(Stale, match="another autoresearch process"):
        drive(other, [])
    other.close()


def test_an_approval_that_was_used_is_not_used_again_after_a_rollback(project, story):
    """Otherwise cutting the history back would draw new seeds until the result pleases."""
    drive(project, ["approve", "accept"])
    approval = next(e for e in project.entries() if e.record.kind == "approval")
    subprocess.run(["git", "-C", str(project.root), "reset", "-q", "--hard", approval.commit], check=True)
    with pytest.raises(Pending):
        drive(project, [])
    assert story(project)[-1] == "approval 1.1"
    drive(project, ["approve", "accept"])
    assert [line for line in story(project) if line.startswith(("approval", "run"))] == [
        "approval 1.1",
        "approval 1.2",
        "run 1.2",
    ]
