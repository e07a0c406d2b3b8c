"""A try is admitted for the bytes that were shown, one trial an arm, at most a minute; nothing else."""

from dataclasses import replace

import pytest

from autoresearch import door
from autoresearch.analysis.trials import parse_trials
from autoresearch.contents import bytes_of
from autoresearch.errors import InvalidInput, NotApproved
from autoresearch.ports import TryWarrant
from autoresearch.records import ResourceLimits, Reviewer, TrialSpec, digest_of, sha256
from autoresearch.testing import FAKE_ISOLATION, PERSON, FakeSandbox, approved_job, await_end

FILES = {"experiment/experiment.py": b"def run_trial(a, s, c, d): return {}\n"}
NONCE = sha256(b"a try")
SHIPPED = frozenset({door.manifest_digest(FILES)})


def shown(seconds=60, **changes):
    """A job to try and its warrant, for a plan whose run may take `seconds`; and the approved run of it."""
    limits = ResourceLimits(seconds=seconds, memory_mb=256, cpus=2, processes=64, output_mb=8)
    run, approved = approved_job(FILES, FAKE_ISOLATION, config={"n": 3}, limits=limits, **changes)
    bundle = approved.approval.record.body.bundle
    trials = door.try_trials(NONCE, approved.plan.digest, approved.plan.body)
    job = replace(run, run_id="p0-try-1", trials=trials, limits=door.try_limits(limits))
    warrant = TryWarrant(
        approved.project,
        approved.plan,
        bundle,
        digest_of(bundle),
        NONCE,
        approved.earlier,
        Reviewer(person=PERSON),
    )
    return job, warrant, (run, approved)


def refusal(job, warrant, isolation=FAKE_ISOLATION, shipped=frozenset()):
    with pytest.raises(NotApproved) as caught:
        door.admit(job, warrant, isolation, shipped)
    return str(caught.value)


def with_bundle(warrant, **fields):
    bundle = warrant.bundle.model_copy(update=fields)
    return replace(warrant, bundle=bundle, confirmed=digest_of(bundle))


@pytest.mark.parametrize(("seconds", "tried"), [(5, 5), (60, 60), (86_400, 60)])
def test_what_was_shown_is_admitted_for_a_minute_at_most(seconds, tried):
    job, warrant, _ = shown(seconds)
    assert job.limits.seconds == tried
    assert [spec.arm for spec in job.trials] == ["control", "treatment"]
    door.admit(job, warrant, FAKE_ISOLATION, frozenset())


def test_a_byte_flipped_between_shown_and_tried():
    job, warrant, _ = shown()
    flipped = {"experiment/experiment.py": b"D" + FILES["experiment/experiment.py"][1:]}
    assert "experiment/experiment.py differs" in refusal(replace(job, files=flipped), warrant)
    assert "differs" in refusal(replace(job, files={**FILES, "experiment/more.py": b""}), warrant)


def test_another_digest_than_that_of_what_is_shown():
    job, warrant, _ = shown()
    assert "confirmed" in refusal(job, replace(warrant, confirmed=sha256(b"another")))
    other = warrant.bundle.model_copy(update={"prediction": sha256(b"another")})
    assert "confirmed" in refusal(job, replace(warrant, bundle=other))


def test_more_trials_or_others():
    job, warrant, _ = shown()
    one, two = job.trials
    for trials in ([one], [one, two, two], [two, one], [one, TrialSpec(index=2, arm="treatment", seed=7)]):
        assert "one trial an arm" in refusal(replace(job, trials=trials), warrant)


@pytest.mark.parametrize("field", ["seconds", "memory_mb", "cpus", "processes", "output_mb"])
def test_longer_or_larger(field):
    job, warrant, _ = shown(300)
    more = job.limits.model_copy(update={field: getattr(job.limits, field) + 1})
    assert "limits" in refusal(replace(job, limits=more), warrant)
    assert "limits" in refusal(replace(job, limits=warrant.bundle.limits), warrant)


@pytest.mark.parametrize("field", ["image", "policy_sha256", "harness_sha256"])
def test_another_sandbox(field):
    job, warrant, _ = shown()
    value = "sha256:" + "1" * 64 if field == "image" else sha256(b"other")
    assert field in refusal(job, warrant, FAKE_ISOLATION.model_copy(update={field: value}))


def test_another_plan_configuration_or_project():
    job, warrant, _ = shown()
    assert "plan" in refusal(job, with_bundle(warrant, plan=sha256(b"another")))
    assert "configuration" in refusal(replace(job, config={"n": 4}), warrant)
    assert "another project" in refusal(job, with_bundle(warrant, project="1" * 32))


def test_another_history_or_one_cut_short():
    job, warrant, _ = shown()
    project, plan = warrant.earlier
    for earlier in ([], [plan], [plan, project], [project]):
        assert "history" in refusal(job, replace(warrant, earlier=earlier))


def test_a_try_warrant_starts_no_run_and_an_approval_no_try():
    job, warrant, (run, approved) = shown()
    assert "by the name of a run" in refusal(run, warrant)
    named = replace(run, run_id=job.run_id)
    assert "one trial an arm" in refusal(named, warrant), "as many trials as a run has"
    assert "by the name of a try" in refusal(named, approved)
    assert "trials" in refusal(replace(job, run_id=run.run_id), approved)


def test_a_nonce_of_ones_own_gives_no_seed_of_the_run():
    """Even with the nonce of the run, no try has a seed that a run or a recheck has."""
    _, warrant, (run, approved) = shown()
    approval = approved.approval.record.body
    tried = door.try_trials(approval.nonce, warrant.plan.digest, warrant.plan.body)
    rechecked = door.recheck_trials(approval, warrant.plan.digest, warrant.plan.body)
    assert all(spec.seed >= 2**31 for spec in tried)
    assert all(spec.seed < 2**31 for spec in [*run.trials, *rechecked])
    assert all(seed < 2**31 for seed in door.issue_seeds(NONCE, warrant.plan.digest, 1000))


def test_what_a_try_left_is_no_result(tmp_path):
    job, warrant, (run, _) = shown()
    sandbox = FakeSandbox(lambda arm, seed, config: {"many": [1.0, 2.0]})
    sandbox.submit(job, warrant)
    await_end(sandbox, job.run_id)
    (part,) = sandbox.collect(job.run_id, job.limits, tmp_path)
    left = {path: bytes_of(content) for path, content in part.files.items()}
    assert len(parse_trials(left, job.trials).trials) == 2
    with pytest.raises(InvalidInput, match=r"trials\.jsonl line 1"):
        parse_trials(left, run.trials)


def test_demonstrations_and_no_isolation_stay_fenced():
    job, warrant, _ = shown(demonstration=True)
    assert "demonstration" in refusal(job, warrant)
    door.admit(job, warrant, FAKE_ISOLATION, SHIPPED)
    bare = FAKE_ISOLATION.model_copy(update={"tier": "none: shipped code only", "image": "-"})
    job, warrant, _ = shown()
    assert "tier" in refusal(job, warrant, bare)
    assert "only from: autoresearch demo" in refusal(job, with_bundle(warrant, isolation=bare), bare, SHIPPED)


def test_refused_at_the_door_nothing_is_created():
    job, warrant, _ = shown()
    sandbox = FakeSandbox(lambda arm, seed, config: {})
    with pytest.raises(NotApproved):
        sandbox.submit(replace(job, config={}), warrant)
    assert sandbox.submitted == []
