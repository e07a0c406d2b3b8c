"""Trying at the approve gate: bounded, recorded whatever is decided, and no value of it kept anywhere."""

import subprocess
from contextlib import closing
from dataclasses import replace

import pytest

from autoresearch.errors import InvalidInput, LedgerError, NotApproved, Pending, SandboxFailed, Stale
from autoresearch.records import MOST_TRIES, digest_of
from autoresearch.steps import ask
from autoresearch.testing import FakeSandbox
from autoresearch.testing_project import (
    ScriptedReviewer,
    TextDesk,
    approval,
    drive,
    make_driver,
    make_project,
    shifted,
)
from autoresearch.tries import _last_traceback

SECRET = "0.987654321"


class Trying:
    """A reviewer who tries some times before deciding; `tries` keeps what they were told."""

    def __init__(self, project, sandbox, times=1, then=("terminate", "")):
        self.sandbox, self.times, self.then, self.tries = sandbox, times, then, []
        self.reviewer = ScriptedReviewer([self._decide])
        self.driver = make_driver(project, self.reviewer, sandbox=sandbox)

    def _decide(self, view):
        for _ in range(self.times):
            self.tries.append(self.reviewer.try_out(digest_of(view.bundle)))
        return approval(view, *self.then, tries=[*view.tries, *self.tries])

    def run(self):
        return self.driver.run()


def broken(arm, seed, config):
    raise KeyError("labels")


def everything(project):
    """All that the project keeps anywhere: every object of its history, and the journal."""
    out = subprocess.run(
        ["git", "-C", str(project.root), "log", "-p", "--text", "--all", "--format=%B"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    kept = project.root / ".git" / "autoresearch"
    return out + b"".join(path.read_bytes() for path in kept.rglob("*") if path.is_file())


def journal(project):
    folder = project.root / ".git" / "autoresearch" / "journal"
    return [path.name for path in folder.glob("tries-*")]


def only_approval(project):
    return next(e.record.body for e in project.entries() if e.record.kind == "approval")


def test_what_ran_is_recorded_as_that_and_nothing_more(project):
    sandbox = FakeSandbox(shifted)
    trying = Trying(project, sandbox)
    trying.run()
    (tried,) = only_approval(project).tries
    assert (tried.outcome, tried.seconds, tried.peak_memory_mb, tried.crash) == ("ran", 1.0, 32, "")
    assert [tried] == trying.tries
    assert [spec.arm for spec in sandbox.submitted[0].trials] == ["plain", "shifted"]
    assert journal(project) == []
    assert "Tried before the decision: ran." in project.commits()[-1].message


def test_no_value_of_a_try_is_kept_anywhere(project):
    def tells(arm, seed, config):
        return {"numbers": [float(SECRET)] * 20}

    class Talkative(FakeSandbox):
        def collect(self, run_id, limits, into):
            (found,) = super().collect(run_id, limits, into)
            return [
                replace(found, log=b"accuracy " + SECRET.encode(), files={**found.files, "artifacts/x": b"y"})
            ]

    trying = Trying(project, Talkative(tells), times=2)
    trying.run()
    assert SECRET not in str(trying.tries)
    assert SECRET.encode() not in everything(project)


def test_a_crash_keeps_its_traceback_and_not_what_was_printed(project):
    class Talkative(FakeSandbox):
        def collect(self, run_id, limits, into):
            (found,) = super().collect(run_id, limits, into)
            return [replace(found, log=b"accuracy " + SECRET.encode())]

    trying = Trying(project, Talkative(broken), then=("revise", "mend it"))
    assert trying.driver.decide_once()
    (tried,) = only_approval(project).tries
    assert (tried.outcome, tried.crash) == ("crashed", "KeyError: 'labels'")
    assert SECRET.encode() not in everything(project)


def test_what_is_printed_behind_a_traceback_is_not_part_of_it():
    """Python flushes what a module printed at its end, behind the traceback."""
    frames = 'Traceback (most recent call last):\n  File "x", line 1\n    import y\nImportError: no y'
    assert _last_traceback(f"before {SECRET}\n{frames}\naccuracy {SECRET}\n") == frames
    assert _last_traceback(f"{frames}\n\nDuring it:\n\n{frames}") == frames
    assert _last_traceback("Traceback (most recent call last):\n") == "Traceback (most recent call last):\n"


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [("timed-out", "timed out"), ("out-of-memory", "out of memory"), ("crashed", "crashed")],
)
def test_how_it_ended(project, ending, outcome):
    trying = Trying(project, FakeSandbox(shifted, ending=ending))
    trying.run()
    assert only_approval(project).tries[0].outcome == outcome


@pytest.mark.parametrize("decision", ["approve", "reject", "revise"])
def test_it_is_recorded_whatever_is_decided(project, decision):
    trying = Trying(project, FakeSandbox(shifted), then=(decision, "because"))
    assert trying.driver.decide_once()
    body = only_approval(project)
    assert (body.decision, [t.outcome for t in body.tries]) == (decision, ["ran"])


def test_a_try_gives_no_run_its_seed(project):
    sandbox = FakeSandbox(shifted)
    with pytest.raises(Pending):
        Trying(project, sandbox, times=2, then=("approve", "")).run()
    first, second, run, recheck = (job.trials for job in sandbox.submitted)
    tried = {spec.seed for spec in [*first, *second]}
    assert len({spec.seed for spec in first}) == 1
    assert tried.isdisjoint({spec.seed for spec in [*run, *recheck]})


def test_a_gate_that_is_left_shows_what_was_tried(project):
    def leaves(view):
        trying.reviewer.try_out(digest_of(view.bundle))
        raise Pending("you quit")

    trying = Trying(project, FakeSandbox(shifted))
    trying.reviewer.decisions = [leaves]
    with pytest.raises(Pending):
        trying.run()
    seen = []

    def looks(view):
        seen.extend(view.tries)
        return approval(view, "terminate", tries=view.tries)

    drive(project, [looks])
    assert [one.outcome for one in seen] == ["ran"]
    assert only_approval(project).tries == seen


def test_a_supervisor_that_died_leaves_a_trace_and_no_container(project):
    class Dies(FakeSandbox):
        def poll(self, run_id):
            raise SystemExit

        def remove(self, run_id):
            if died:
                super().remove(run_id)

    died, sandbox = [], Dies(shifted)
    with pytest.raises(SystemExit):
        Trying(project, sandbox).run()
    died.append(True)
    assert list(sandbox._runs), "the try still stands"
    with pytest.raises(Pending):
        drive(project, [], sandbox=sandbox)
    assert not sandbox._runs, "and is gone once the gate opens again"
    seen = []

    def looks(view):
        seen.extend(view.tries)
        return approval(view, "terminate", tries=view.tries)

    drive(project, [looks])
    assert [(one.outcome, one.seconds) for one in seen] == [("interrupted", None)]


def test_more_tries_than_a_gate_allows(project):
    sandbox = FakeSandbox(shifted)
    trying = Trying(project, sandbox, times=MOST_TRIES + 1)
    with pytest.raises(InvalidInput, match=f"{MOST_TRIES} times"):
        trying.run()
    with pytest.raises(InvalidInput, match=f"{MOST_TRIES} times"):
        Trying(project, sandbox).run()
    assert len(sandbox.submitted) == MOST_TRIES


def test_a_file_changed_between_shown_and_tried_starts_nothing(project):
    sandbox = FakeSandbox(shifted)
    trying = Trying(project, sandbox)
    read = trying.driver.nodes._read
    trying.driver.nodes._read = lambda entry, path: (
        read(entry, path) + (b"#" if seen and path.endswith(".py") else b"")
    )
    seen = []

    def decides(view):
        seen.append(view)
        return trying.reviewer.try_out(digest_of(view.bundle))

    trying.reviewer.decisions = [decides]
    with pytest.raises(NotApproved, match=r"experiment\.py differs"):
        trying.run()
    assert sandbox.submitted == []
    assert journal(project) == [], "what never started is no look"


def test_the_digest_of_something_else_starts_nothing(project):
    sandbox = FakeSandbox(shifted)
    trying = Trying(project, sandbox)
    trying.reviewer.decisions = [lambda view: trying.reviewer.try_out("0" * 64)]
    with pytest.raises(NotApproved, match="confirmed"):
        trying.run()
    assert sandbox.submitted == []


def test_what_a_finding_blocks_is_not_tried(tmp_path, texts):
    text = texts.whole.replace("Which way does", "After [@nobody]: which way does")
    sandbox = FakeSandbox(shifted)
    with closing(make_project(tmp_path / "blocked", text)) as project:
        with pytest.raises(NotApproved, match="a finding blocks the experiment"):
            Trying(project, sandbox).run()
        assert sandbox.submitted == []
        assert journal(project) == []


def test_an_engine_that_fails_is_no_outcome(project):
    class Gone(FakeSandbox):
        def submit(self, job, warrant):
            raise SandboxFailed("no engine")

    with pytest.raises(SandboxFailed):
        Trying(project, Gone(shifted)).run()
    assert journal(project) == []


def test_nobody_tries_behind_a_decision_or_beside_another_try(project):
    def while_another_decides(view):
        assert make_driver(project, ScriptedReviewer(["terminate"])).decide_once()
        return trying.reviewer.try_out(digest_of(view.bundle))

    def while_another_works(view):
        with project.lock():
            return trying.reviewer.try_out(digest_of(view.bundle))

    sandbox = FakeSandbox(shifted)
    for decision in (while_another_works, while_another_decides):
        trying = Trying(project, sandbox)
        trying.reviewer.decisions = [decision]
        with pytest.raises(Stale):
            trying.run()
    assert sandbox.submitted == []


def test_a_decision_made_without_seeing_a_try_is_told(project):
    def while_another_tries(view):
        other = Trying(project, FakeSandbox(shifted))
        other.reviewer.decisions = [lambda v: other.reviewer.try_out(digest_of(v.bundle)) and leave()]
        with pytest.raises(Pending):
            other.run()
        return "approve"

    def leave():
        raise Pending("you quit")

    with pytest.raises(Stale, match="somebody else tried"):
        drive(project, [while_another_tries])
    assert not [e for e in project.entries() if e.record.kind == "approval"]


def test_a_note_that_cannot_be_read_is_named(project):
    with pytest.raises(Pending):
        drive(project, [])
    plan = next(e for e in project.entries() if e.record.kind == "plan")
    project.note(f"tries-1-1-approve-{plan.digest[:12]}", b'[{"outcome": "ran, with accuracy 0.9"}]')
    with pytest.raises(LedgerError, match="journal/tries-1-1-approve"):
        drive(project, [])


def test_a_model_that_plans_again_is_given_the_traceback_as_data(project):
    trying = Trying(project, FakeSandbox(broken), then=("revise", "mend it"))
    assert trying.driver.decide_once()
    revised = project.entries()[-1]
    state = {"cycle": 1, "attempt": 2, "passed": {}, "feedback": revised.digest}
    at = trying.driver.nodes.situation("plan", state)
    assert ask._feedback(at) == [
        {"from": "approve", "decision": "revise", "reason": "mend it"},
        {"from": "a try before the decision", "decision": "crashed", "reason": "KeyError: 'labels'"},
    ]


def test_the_next_gate_does_not_call_files_new_that_were_tried(project, texts):
    """Another plan of the same files, in the next attempt."""
    trying = Trying(project, FakeSandbox(shifted), then=("revise", "state the rule"))
    assert trying.driver.decide_once()
    gate = ScriptedReviewer([])
    with pytest.raises(Pending):
        make_driver(project, gate, desk=TextDesk(project, [texts.other_plan])).run()
    (view,) = gate.views
    assert (view.bundle.attempt, list(view.tries)) == (2, [])
    assert view.before == "It was tried before, and what came out is unknown."
