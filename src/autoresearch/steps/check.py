"""Recompute everything from raw outputs, score the forecasts, rerun what the approval lists."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autoresearch.analysis.worker import TrialValue, compute, recompute_values
from autoresearch.contents import Content
from autoresearch.door import recheck_trials
from autoresearch.errors import InvalidInput, NotApproved, SandboxFailed
from autoresearch.forecasting.scores import resolve, score
from autoresearch.forecasting.surprise import surprise
from autoresearch.ports import Collected, Entry, Job, Needs, Sandbox, Sleep, Warrant
from autoresearch.records import (
    RULES,
    Approval,
    Check,
    Finding,
    Forecast,
    Plan,
    Prediction,
    RecheckTrial,
    Run,
    TrialSpec,
    body_as,
)
from autoresearch.steps.experiment import POLL_SECONDS, artifact_ref, before, experiment_files, needs_of
from autoresearch.steps.situation import Draft, Situation, StepPorts
from autoresearch.steps.workers import collect

RECHECKS = "rechecks/"
REFUSED_RULE = "check.recheck-refused"


def inputs(at: Situation) -> dict[str, str]:
    return at.digests("plan", "prediction", "approval", "result")


def run(at: Situation, ports: StepPorts) -> Draft:
    plan, issued = at.body(Plan), at.body(Run)
    files = result_files(at)
    computed = compute(plan, issued.trials, files)
    primary = next(f for f in at.body(Prediction).forecasts if f.primary)
    job, warrant = recheck_job(
        at.history,
        at.entry("plan"),
        at.entry("approval"),
        at.entry("run"),
        experiment_files(at),
        needs=needs_of(at),
        suffix="recheck",
    )
    again: Mapping[str, Content] = {}
    refused: list[Finding] = []
    if job.trials:
        try:
            again = run_recheck(ports.sandbox, job, warrant, ports.sleep, ports.outputs_dir).files
        except NotApproved as error:
            # The sandbox is no longer the approved one: the result stands, but nothing can run again.
            refused = [_not_again(error)]
    kept = {f"{RECHECKS}{path}": data for path, data in again.items() if not path.startswith("artifacts/")}
    rechecks = [] if refused else compare_rechecks(plan, issued.trials, files, job.trials, again)
    body = Check(
        arms=computed.arms,
        contrast=computed.contrast,
        scores=[s for forecast in all_forecasts(at) for s in score(forecast, resolve(forecast, computed))],
        surprise=surprise(primary, resolve(primary, computed)),
        rechecks=rechecks,
        recheck_files=[artifact_ref(path, data, at.settings) for path, data in sorted(kept.items())],
        findings=refused + _findings(rechecks),
    )
    return Draft(body, RULES, kept)


def result_files(at: Situation) -> dict[str, Content]:
    entry = at.entry("result")
    return {ref.path: at.find(entry, ref.path) for ref in entry.record.body.files()}


def all_forecasts(at: Situation) -> Sequence[Forecast]:
    """The author's and, where they gave any, the reviewer's."""
    return [*at.body(Prediction).forecasts, *at.body(Approval).forecasts]


def recheck_job(
    history: Sequence[Entry],
    plan: Entry,
    approval: Entry,
    run: Entry,
    files: Mapping[str, bytes],
    *,
    needs: Needs,
    suffix: str,
) -> tuple[Job, Warrant]:
    """The trials that an approval lets run again, and why they may."""
    design, issued = body_as(plan.record, Plan), body_as(run.record, Run)
    bundle = body_as(approval.record, Approval).bundle
    job = Job(
        run_id=f"{issued.run_id}-{suffix}",
        files=files,
        trials=recheck_trials(issued.nonce, plan.digest, design, bundle),
        config=design.config,
        limits=design.limits,
        command=design.command,
        needs=needs,
    )
    earlier = before(history, approval)
    return job, Warrant(history[0].record, plan.record, approval, run, earlier, purpose="recheck")


def run_recheck(
    sandbox: Sandbox, job: Job, warrant: Warrant, sleep: Sleep, outputs_dir: Callable[[str], Path]
) -> Collected:
    """In containers of its own. What a crash left behind is joined. Raises SandboxFailed."""
    if sandbox.poll(job.run_id).phase == "absent":
        sandbox.remove(job.run_id)
        sandbox.submit(job, warrant)
    while sandbox.poll(job.run_id).phase == "running":
        sleep(POLL_SECONDS)
    collected = collect(sandbox, job, outputs_dir(job.run_id))
    sandbox.remove(job.run_id)
    if collected.workers_lost:
        # Trials that nobody ran are no trials that failed.
        raise SandboxFailed("a worker of the recheck is gone; run it again with: autoresearch run")
    return collected


def compare_rechecks(
    plan: Plan,
    issued: Sequence[TrialSpec],
    recorded: Mapping[str, Content],
    specs: Sequence[TrialSpec],
    again: Mapping[str, Content],
) -> list[RecheckTrial]:
    """`recorded` and `again` are the raw outputs of the run and of its recheck."""
    if not specs:
        return []
    first = {value.index: value.raw_sha256 for value in recompute_values(plan.metric, issued, recorded)}
    try:
        values = {value.index: value for value in recompute_values(plan.metric, specs, again)}
    except InvalidInput:
        values = {}  # unreadable outputs are trials that did not end well
    return [_recheck(spec, values.get(spec.index), first) for spec in specs]


def _recheck(spec: TrialSpec, value: TrialValue | None, first: Mapping[int, str | None]) -> RecheckTrial:
    fresh = spec.index not in first
    raw = value.raw_sha256 if value else None
    return RecheckTrial(
        trial=spec,
        fresh=fresh,
        same_bytes=None if fresh else raw is not None and raw == first[spec.index],
        value=value.value if value else None,
    )


def _not_again(error: NotApproved) -> Finding:
    return Finding(
        check=REFUSED_RULE,
        severity="warn",
        record="result",
        explanation="no trial was run again: the sandbox is not the one that was approved",
        evidence=str(error),
    )


def _findings(rechecks: Sequence[RecheckTrial]) -> list[Finding]:
    differing = [r.trial for r in rechecks if r.same_bytes is False and r.value is not None]
    unfinished = [r.trial for r in rechecks if r.value is None]
    found = []
    if differing:
        named = ", ".join(f"{spec.arm} seed {spec.seed}" for spec in differing)
        found.append(
            Finding(
                check="check.recheck-differs",
                severity="block",
                record="result",
                explanation=f"run again with the same seed, {named} gave other raw values: the code is not deterministic"[
                    :500
                ],
            )
        )
    if unfinished:
        named = ", ".join(f"{spec.arm} seed {spec.seed}" for spec in unfinished)
        found.append(
            Finding(
                check="check.recheck-failed",
                severity="block",
                record="result",
                explanation=f"run again, {named} did not end well"[:500],
            )
        )
    return found
