"""Each way round an approval is refused with a message that names the difference."""

from dataclasses import replace

import pytest

from autoresearch import door
from autoresearch.errors import NotApproved
from autoresearch.records import HUMAN, Fork, Rechecks, Record, Reviewer, TrialSpec, digest_of, sha256
from autoresearch.testing import FAKE_ISOLATION, PERSON, FakeSandbox, approved_job, entry_of

FILES = {
    "experiment/experiment.py": b"def run_trial(a, s, c, d): return {}\n",
    "experiment/lib.py": b"x = 1\n",
}
NO_ISOLATION = FAKE_ISOLATION.model_copy(update={"tier": "none: shipped code only", "image": "-"})
SHIPPED = frozenset({door.manifest_digest(FILES)})


def approved(**changes):
    return approved_job(FILES, FAKE_ISOLATION, config={"n": 3}, **changes)


def with_approval(warrant, **body):
    """The warrant with another approval body, the run record made to follow it."""
    record = warrant.approval.record
    changed = record.model_copy(update={"body": record.body.model_copy(update=body)})
    return after(warrant, entry_of(changed))


def with_bundle(warrant, *, keep_shown=False, **fields):
    body = warrant.approval.record.body
    bundle = body.bundle.model_copy(update=fields)
    return with_approval(warrant, bundle=bundle, shown=body.shown if keep_shown else digest_of(bundle))


def after(warrant, approval):
    run = warrant.run.record
    body = run.body.model_copy(update={"approval": approval.digest})
    follows = run.model_copy(update={"body": body, "parent": approval.digest})
    return replace(warrant, approval=approval, run=entry_of(follows))


def with_run(warrant, *, body=None, **header):
    run = warrant.run.record
    changed = run.model_copy(update={**header, "body": run.body.model_copy(update=body or {})})
    return replace(warrant, run=entry_of(changed))


def refusal(job, warrant, isolation=FAKE_ISOLATION, shipped=frozenset()):
    with pytest.raises(NotApproved) as caught:
        door.admit(job, warrant, isolation, shipped)
    return str(caught.value)


def test_another_command_is_refused():
    job, warrant = approved()
    assert "command" in refusal(replace(job, command=["sh", "other.sh"]), warrant)


def test_admits_what_was_approved():
    door.admit(*approved(), FAKE_ISOLATION, frozenset())


def test_rebuilding_a_warrant_unchanged_is_still_admitted():
    job, warrant = approved()
    door.admit(job, with_bundle(warrant), FAKE_ISOLATION, frozenset())
    door.admit(job, with_run(warrant), FAKE_ISOLATION, frozenset())


@pytest.mark.parametrize("path", sorted(FILES))
def test_one_flipped_bit(path):
    job, warrant = approved()
    flipped = bytes([job.files[path][0] ^ 1]) + job.files[path][1:]
    assert path in refusal(replace(job, files={**job.files, path: flipped}), warrant)


def test_a_file_more_or_less():
    job, warrant = approved()
    assert "experiment/more.py" in refusal(
        replace(job, files={**job.files, "experiment/more.py": b""}), warrant
    )
    assert "experiment/lib.py" in refusal(
        replace(job, files={"experiment/experiment.py": FILES["experiment/experiment.py"]}), warrant
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image", "sha256:" + "1" * 64),
        ("policy_sha256", sha256(b"laxer")),
        ("harness_sha256", sha256(b"other harness")),
        ("tier", "none: shipped code only"),
    ],
)
def test_another_sandbox(field, value):
    job, warrant = approved()
    message = refusal(job, warrant, FAKE_ISOLATION.model_copy(update={field: value}))
    assert field in message
    assert value in message


def test_another_engine_version_is_admitted():
    job, warrant = approved()
    door.admit(job, warrant, FAKE_ISOLATION.model_copy(update={"engine": "Docker 99"}), frozenset())


@pytest.mark.parametrize("field", ["seconds", "memory_mb", "cpus", "processes", "output_mb"])
def test_another_limit(field):
    job, warrant = approved()
    more = job.limits.model_copy(update={field: getattr(job.limits, field) + 1})
    assert "limits" in refusal(replace(job, limits=more), warrant)


@pytest.mark.parametrize("decision", ["reject", "revise", "terminate"])
def test_not_approved(decision):
    job, warrant = approved()
    assert decision in refusal(job, with_approval(warrant, decision=decision, reason="no"))


def test_bundle_swapped_after_the_decision():
    job, warrant = approved()
    other = with_bundle(warrant, keep_shown=True, prediction=sha256(b"another prediction"))
    assert "another bundle" in refusal(job, other)


def test_run_record_not_directly_after_the_approval():
    job, warrant = approved()
    assert "void" in refusal(job, with_run(warrant, parent=sha256(b"a fork record")))


def test_run_record_of_another_approval():
    job, warrant = approved()
    assert "another approval" in refusal(job, with_run(warrant, body={"approval": sha256(b"other")}))


def test_approval_of_another_project_and_another_attempt():
    job, warrant = approved()
    assert "another project" in refusal(job, with_bundle(warrant, project="1" * 32))
    assert "attempt" in refusal(job, with_bundle(warrant, attempt=2))
    assert "attempt" in refusal(job, with_run(warrant, cycle=2))


def test_approval_of_another_plan():
    job, warrant = approved()
    assert "plan" in refusal(job, with_bundle(warrant, plan=sha256(b"another plan")))


def test_another_configuration():
    job, warrant = approved()
    assert "configuration" in refusal(replace(job, config={"n": 4}), warrant)


def test_chosen_seeds():
    job, warrant = approved()
    chosen = [spec.model_copy(update={"seed": 42}) for spec in job.trials]
    assert "trials" in refusal(replace(job, trials=chosen), warrant)
    assert "trials" in refusal(replace(job, trials=chosen), with_run(warrant, body={"trials": chosen}))


def test_chosen_nonce_gives_other_trials():
    job, warrant = approved()
    assert "trials" in refusal(job, with_approval(warrant, nonce=sha256(b"mine")))


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + t[:1], lambda t: t[::-1]])
def test_trials_left_out_added_or_reordered(change):
    job, warrant = approved()
    assert "trials" in refusal(replace(job, trials=change(list(job.trials))), warrant)


def recheck(**changes):
    job, warrant = approved()
    if changes:
        warrant = with_bundle(warrant, **changes)
    listed = door.recheck_trials(warrant.approval.record.body, warrant.plan.digest, warrant.plan.body)
    return replace(job, trials=listed), replace(warrant, purpose="recheck", later=[ended(warrant)])


def ended(warrant):
    """The record after the run's; what it holds is not the door's business."""
    run = warrant.run.record
    return entry_of(run.model_copy(update={"kind": "result", "parent": run.digest}))


def test_listed_recheck_is_admitted():
    job, warrant = recheck()
    assert [spec.index for spec in job.trials] == [0, 1, 4, 5]
    door.admit(job, warrant, FAKE_ISOLATION, frozenset())


def test_recheck_that_the_approval_does_not_list():
    job, warrant = recheck()
    more = [*job.trials, TrialSpec(index=6, arm="control", seed=1)]
    assert "rechecks" in refusal(replace(job, trials=more), warrant)
    _, none = recheck(rechecks=Rechecks(repeated_trials=0, fresh_seeds=0))
    assert "rechecks" in refusal(job, none)


def test_recheck_trials_are_no_run_and_a_run_is_no_recheck():
    job, warrant = recheck()
    assert "trials" in refusal(job, replace(warrant, purpose="run"))
    first, ran = approved()
    assert "rechecks" in refusal(first, replace(ran, purpose="recheck"))


def test_no_recheck_without_the_records_since_the_run():
    job, warrant = recheck()
    assert "none is given" in refusal(job, replace(warrant, later=[]))
    later = warrant.later[0]
    elsewhere = entry_of(later.record.model_copy(update={"parent": "0" * 64}))
    assert "history after the run" in refusal(job, replace(warrant, later=[elsewhere]))


def test_no_recheck_in_a_fork():
    job, warrant = recheck()
    project = warrant.project.body
    fork = Fork(
        project="f" * 32, from_project=project.project, from_commit="0" * 40, from_record=warrant.later[0].digest,
        reviewer=Reviewer(person=PERSON), settings=project.settings,
    )  # fmt: skip
    record = Record(
        kind="fork", cycle=1, attempt=1, step="fork-1", parent=warrant.later[0].digest, inputs={}, made_by=HUMAN,
        body=fork,
    )  # fmt: skip
    forked = replace(warrant, later=[*warrant.later, entry_of(record)])
    assert "forked from" in refusal(job, forked)


def test_demonstration_runs_shipped_code_only():
    job, warrant = approved(demonstration=True)
    assert "demonstration" in refusal(job, warrant)
    door.admit(job, warrant, FAKE_ISOLATION, SHIPPED)


def test_script_cannot_approve_for_a_person():
    job, warrant = approved()
    script = warrant.approval.record.body.reviewer.model_copy(update={"is_person": False})
    assert "demonstration" in refusal(job, with_approval(warrant, reviewer=script))


@pytest.mark.parametrize("demonstration", [True, False])
def test_without_isolation_no_code_but_what_is_shipped(demonstration):
    job, warrant = approved_job(FILES, NO_ISOLATION, demonstration=demonstration)
    assert "that ship" in refusal(job, warrant, NO_ISOLATION)


def test_without_isolation_shipped_code_runs_only_in_a_demo():
    """A person's own project, started from a shipped proposal, needs an engine all the same."""
    job, warrant = approved_job(FILES, NO_ISOLATION)
    with pytest.raises(NotApproved, match="only from: autoresearch demo"):
        door.admit(job, warrant, NO_ISOLATION, SHIPPED)


def test_script_cannot_approve_shipped_code_in_a_persons_project():
    job, warrant = approved()
    script = warrant.approval.record.body.reviewer.model_copy(update={"is_person": False})
    with pytest.raises(NotApproved, match="not marked as a demonstration"):
        door.admit(job, with_approval(warrant, reviewer=script), FAKE_ISOLATION, SHIPPED)


def test_without_isolation_a_demonstration_of_shipped_code_is_admitted():
    job, warrant = approved_job(FILES, NO_ISOLATION, demonstration=True)
    door.admit(job, warrant, NO_ISOLATION, SHIPPED)


def test_sandbox_behind_the_door_creates_nothing():
    sandbox = FakeSandbox(lambda arm, seed, config: {})
    job, warrant = approved()
    with pytest.raises(NotApproved):
        sandbox.submit(replace(job, config={}), warrant)
    assert sandbox.submitted == []
    sandbox.submit(job, warrant)
    assert sandbox.submitted == [job]
