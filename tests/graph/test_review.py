"""Settings changed on the way: what is on record keeps the settings of its time."""

import os
import subprocess
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime

import pytest

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.scratch_ledger import ScratchLedger
from autoresearch.cli.desk import refuse_foreign_changes
from autoresearch.cli.wiring import model_for as model_for_step
from autoresearch.cli.wiring import project_workflow, writes_by_model
from autoresearch.errors import (
    AutoresearchError,
    BackEndMissing,
    InvalidInput,
    LedgerError,
    ModelFailed,
    Pending,
    SandboxFailed,
    Stale,
)
from autoresearch.ports import Request
from autoresearch.records import Settings
from autoresearch.replay import replay
from autoresearch.settings_in_force import settings_in_force
from autoresearch.testing import FAKE_ISOLATION, FakeSandbox
from autoresearch.testing_project import (
    STILL,
    ScriptedReviewer,
    TextDesk,
    drive,
    make_driver,
    make_project,
    shifted,
)
from autoresearch.verify import verify


class Mute:
    """A model that never answers."""

    name = "mute"

    def ask(self, request, account):
        raise ModelFailed(f"asked at {request.step}")


class Faulty(FakeSandbox):
    """An engine that cannot remove a run while it is `away`."""

    away = True

    def remove(self, run_id):
        if self.away:
            raise SandboxFailed("the engine is away")
        super().remove(run_id)

    def left(self):
        return [job.run_id for job in self.submitted if self.poll(job.run_id).phase != "absent"]


def model_for(spec):
    return None if spec == "none" else Mute()


def change(ledger, *texts, **settings):
    return TextDesk(ledger, list(texts), changed=Settings(**settings))


def test_another_model_leaves_what_is_on_record(project, story):
    with pytest.raises(Pending):
        drive(project, [], model_for=model_for)
    with pytest.raises(Pending):
        drive(project, [], desk=change(project, model={"use": "anthropic:mute"}), model_for=model_for)
    assert story(project)[1:] == [
        "ideas 1.1", "critique 1.1", "plan 1.1", "prediction 1.1", "preflight 1.1", "config 1.1",
    ]  # fmt: skip
    with pytest.raises(ModelFailed, match="asked at ideate"):
        drive(project, [("reject", "no")], model_for=model_for)


def test_back_to_no_model_leaves_what_is_on_record_too(project, story, texts):
    with pytest.raises(ModelFailed):
        drive(project, [], desk=change(project, model={"use": "anthropic:mute"}), model_for=model_for)
    with pytest.raises(Pending):
        drive(project, [], desk=change(project, model={"use": "none"}), model_for=model_for)
    drive(
        project, [("reject", "no"), "approve", "accept"], desk=TextDesk(project, [texts.other_plan]),
        model_for=model_for,
    )  # fmt: skip
    before = story(project)
    drive(project, [], desk=change(project, model={"use": "anthropic:mute"}), model_for=model_for)
    assert story(project) == [*before, "config 1.2"]


def test_a_lower_bound_does_not_undo_what_was_done_before(project, story, texts):
    drive(project, [("reject", "no"), "approve", "accept"], desk=TextDesk(project, [texts.other_plan]))
    before = story(project)
    assert drive(project, [], desk=change(project, max_attempts=1)).standing == "accepted"
    assert story(project) == [*before, "config 1.2"]


def test_the_bound_on_cycles_holds_when_run_is_typed_again(tmp_path, texts, story):
    ledger = make_project(tmp_path / "bounded", texts.whole, settings=Settings(max_cycles=1))
    with pytest.raises(AutoresearchError, match="raise max_cycles"):
        drive(ledger, ["approve", ("follow-up", "more")])
    with pytest.raises(AutoresearchError, match="raise max_cycles"):
        drive(ledger, [], desk=TextDesk(ledger, [texts.other_plan]))
    assert story(ledger)[-1] == "report 1.1"


def test_settings_changed_after_the_result_leave_no_container(project):
    engine = Faulty(shifted)
    with pytest.raises(SandboxFailed):
        drive(project, ["approve"], sandbox=engine)
    assert project.entries()[-1].record.kind == "result"
    engine.away = False
    drive(project, ["accept"], sandbox=engine, desk=change(project, max_attempts=5))
    assert engine.submitted
    assert engine.left() == []


# ----------------------------------------------------- who may change what


@pytest.mark.parametrize(
    ("settings", "fixed"),
    [
        ({}, False),
        ({"model": {"use": "anthropic:a"}}, True),
        ({"models": {"critique": {"use": "anthropic:a"}}}, False),
        ({"model": {"use": "anthropic:a"}, "models": {"plan": {"use": "none"}}}, False),
        ({"model": {"use": "anthropic:a"}, "models": {"critique": {"use": "none"}}}, True),
    ],
)
def test_the_proposal_is_fixed_only_if_no_step_can_ask_for_another(tmp_path, texts, settings, fixed):
    ledger = make_project(tmp_path / "mixed", texts.whole, settings=Settings(**settings))
    assert writes_by_model(ledger) is fixed
    (ledger.root / "proposal.md").write_text(texts.other_plan)
    with pytest.raises(LedgerError, match=r"proposal\.md is modified") if fixed else nullcontext():
        refuse_foreign_changes(ledger, by_model=writes_by_model(ledger))


def test_no_credential_is_needed_to_pass_what_is_on_record(tmp_path, texts, monkeypatch):
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    ledger = make_project(tmp_path / "keyless", texts.whole, settings=Settings(model={"use": "anthropic:a"}))
    step = project_workflow(ledger).steps["ideate"]
    model = model_for_step("ideate", step, Settings(model={"use": "anthropic:a"}))
    assert model is not None
    with pytest.raises(BackEndMissing, match="ANTHROPIC_API_KEY"):
        model.ask(Request("ideate", "system", "prompt", Settings), account=None)


def test_a_revised_conclusion_changes_nothing_that_was_run(project, story, texts):
    desk = TextDesk(project, [texts.other_plan])
    with pytest.raises(InvalidInput, match="section plan has changed"):
        drive(project, ["approve", ("revise", "other words")], desk=desk)
    assert story(project)[-1] == "acceptance 1.1"
    drive(project, ["accept"], desk=TextDesk(project, [texts.other_wording]))
    assert story(project)[-5:] == [
        "proposal 1.2", "conclusion 1.2", "monitoring 1.2", "acceptance 1.2", "report 1.2",
    ]  # fmt: skip


def test_a_decision_made_between_walk_and_screen_is_not_made_twice(project, story):
    driver = make_driver(project, ScriptedReviewer(["approve"]))
    colleague = ["approve", "accept"]

    @contextmanager
    def lock():
        with project.lock():
            yield
        decisions, colleague[:] = colleague[:], []
        if decisions:
            drive(GitLedger(project.root, STILL), decisions)

    with pytest.raises(Stale):
        replace(driver, lock=lock).run()
    assert story(project).count("approval 1.1") == 1


def test_a_note_may_begin_with_the_word_record(project):
    (project.root / "notes").mkdir()
    (project.root / "notes" / "talk.md").write_text("said so")
    git = ["git", "-C", str(project.root), "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run([*git, "add", "notes"], check=True)
    subprocess.run([*git, "commit", "-qm", "Record: what was said"], check=True)
    assert drive(project, ["approve", "accept"]).standing == "accepted"
    assert verify(project).sound


def test_locks_that_a_killed_git_left_are_removed(project):
    for name in ("index.lock", "refs/heads/main.lock"):
        lock = project.root / ".git" / name
        lock.touch()
        os.utime(lock, (0, 0))
    with pytest.raises(LedgerError, match="lock"):
        drive(project, [])
    project.mend()
    assert drive(project, ["approve", "accept"]).standing == "accepted"


# ------------------------------------------------------------ made again


@dataclass
class TapeClock:
    now: Callable[[], datetime]


def make_again(ledger, folder):
    workflow = project_workflow(ledger)
    made = []
    replay(ledger, lambda time: ScratchLedger.create(folder, TapeClock(time)), workflow, made.append)
    return len(made)


def test_settings_changed_after_the_end_are_made_again(project, tmp_path):
    drive(project, ["approve", "accept"])
    drive(project, [], desk=change(project, max_attempts=5))
    drive(project, [], desk=change(project, max_attempts=6))
    (tmp_path / "again").mkdir()
    assert make_again(project, tmp_path / "again") == len(project.entries())


class Upgraded(FakeSandbox):
    """Dies before the recheck starts; then comes back as another image."""

    def submit(self, job, warrant):
        if job.run_id.endswith("-recheck"):
            raise SandboxFailed("the engine is away")
        super().submit(job, warrant)


def test_another_image_after_the_result_costs_the_recheck_and_not_the_project(project, tmp_path):
    with pytest.raises(SandboxFailed):
        drive(project, ["approve"], sandbox=Upgraded(shifted))
    other = FAKE_ISOLATION.model_copy(update={"image": "sha256:" + "1" * 64})
    engine = FakeSandbox(shifted, isolation=other)
    drive(project, ["accept"], sandbox=engine)
    assert engine.submitted == []
    check = next(entry.record.body for entry in project.entries() if entry.record.kind == "check")
    assert [(f.check, f.severity) for f in check.findings] == [("check.recheck-refused", "warn")]
    assert "image" in check.findings[0].evidence
    assert check.rechecks == []
    assert verify(project).sound
    (tmp_path / "again").mkdir()
    assert make_again(project, tmp_path / "again") == len(project.entries())


def test_models_that_may_still_be_asked_are_looked_for_before_a_step_runs(project):
    seen = []

    def look(settings, steps):
        seen.append(set(steps))

    def refuse(settings, steps):
        raise BackEndMissing("no key")

    with pytest.raises(BackEndMissing, match="no key"):
        drive(project, [], require_models=refuse)
    assert len(project.entries()) == 1, "nothing was started"
    drive(project, ["approve", "accept"], require_models=look)
    everything = set(project_workflow(project).steps)
    assert seen == [everything, everything, {"writeup"}], (
        "a crash leads back to the plan, a rejection to the start"
    )
    drive(project, [], require_models=look)
    assert seen[3:] == [set()], "who reads a finished project needs no key"


def test_review_asks_for_changed_settings_before_it_opens_the_gate(project):
    with pytest.raises(Pending):
        make_driver(project, ScriptedReviewer()).run()
    driver = make_driver(project, ScriptedReviewer(["approve"]), desk=change(project, max_attempts=3))
    assert driver.decide_once()
    assert [entry.record.kind for entry in project.entries()[-2:]] == ["config", "approval"]
    assert settings_in_force(project.entries()).max_attempts == 3
