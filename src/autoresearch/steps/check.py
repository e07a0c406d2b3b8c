"""Recompute everything from raw outputs, score the forecasts, rerun what the approval lists."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autoresearch.analysis.contrasts import estimate
from autoresearch.analysis.worker import TrialValue, compute, recompute_values
from autoresearch.contents import Content
from autoresearch.door import recheck_trials
from autoresearch.errors import InvalidInput, NotApproved, SandboxFailed
from autoresearch.forecasting.scores import resolve, score
from autoresearch.forecasting.sealed import forecasts_on
from autoresearch.forecasting.surprise import surprise
from autoresearch.fork import known_results
from autoresearch.monitors.check_rules import check_findings
from autoresearch.monitors.deviation_rules import (
    DeviationInputs,
    Earlier,
    Elsewhere,
    Unfinished,
    deviations,
    made_data,
)
from autoresearch.ports import Collected, Entry, Job, Needs, Sandbox, Sleep, Warrant
from autoresearch.records import (
    RULES,
    Approval,
    Check,
    Deviation,
    Finding,
    Forecast,
    Plan,
    PlanDraft,
    Prediction,
    RecheckTrial,
    Result,
    Run,
    TrialSpec,
    body_as,
    digest_of,
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
    surprised = surprise(primary, resolve(primary, computed))
    surprises = [*(check.surprise for check in earlier_checks(at)), surprised]
    scored = [*all_forecasts(at), *at.body(Prediction).references]
    body = Check(
        arms=computed.arms,
        contrast=computed.contrast,
        secondary=computed.secondary,
        controls=computed.controls,
        scores=[s for forecast in scored for s in score(forecast, resolve(forecast, computed))],
        surprise=surprised,
        data=made_data(issued.trials, computed.trials),
        rechecks=rechecks,
        fresh_contrast=fresh_contrast(plan, rechecks),
        recheck_files=[artifact_ref(path, data, at.settings) for path, data in sorted(kept.items())],
        deviations=departures(at, computed.trials),
        findings=refused + check_findings(plan, computed.arms, computed.controls, rechecks, surprises),
    )
    return Draft(body, RULES, kept)


def result_files(at: Situation) -> dict[str, Content]:
    entry = at.entry("result")
    return {ref.path: at.find(entry, ref.path) for ref in entry.record.body.files()}


def all_forecasts(at: Situation) -> Sequence[Forecast]:
    """The author's and, where they gave any, the reviewers'."""
    return forecasts_on(at.history, at.entry("prediction"))


def earlier_checks(at: Situation) -> list[Check]:
    return [entry.record.body for entry in at.history if isinstance(entry.record.body, Check)]


def departures(at: Situation, trials: Sequence[TrialValue]) -> list[Deviation]:
    """How plan and run differ, and the plan from those of which a result had been seen."""
    plan = at.entry("plan")
    earlier, unfinished = [], []
    for entry in before(at.history, at.entry("run")):
        if entry.record.cycle != at.cycle or not isinstance(entry.record.body, Result):
            continue
        body, attempt = entry.record.body, entry.record.attempt
        if body.status == "Completed":
            then = _plan_of(at, body)
            files = {ref.path: at.read(then, ref.path) for ref in body_as(then.record, Plan).experiment}
            checks = [e.record.body for e in at.history if entry.digest in e.record.inputs.values()]
            made = next((check.data for check in checks if isinstance(check, Check)), None)
            earlier.append(Earlier(attempt, body_as(then.record, Plan), files, made))
        else:
            unfinished.append(Unfinished(attempt, body.status, body.trials_completed))
    given = DeviationInputs(
        plan=at.body(Plan),
        plan_digest=plan.digest,
        files=experiment_files(at),
        run=at.body(Run),
        approval=at.body(Approval),
        result=at.body(Result),
        trials=trials,
        earlier=earlier,
        unfinished=unfinished,
        elsewhere=_elsewhere(at),
    )
    return deviations(given)


def _elsewhere(at: Situation) -> list[Elsewhere]:
    """Results that were known in the project that this one was forked from."""
    plan = at.body(Plan)
    seen = {known.result for known in known_results(before(at.history, at.entry("plan")), at.cycle)}
    return [
        Elsewhere(
            known.place,
            same=known.comparison == plan.comparison,
            changed=known.result in seen and known.plan != digest_of(plan),
        )
        for known in known_results(at.history, at.cycle)
        if known.completed
    ]


def _plan_of(at: Situation, result: Result) -> Entry:
    """The plan that a result of this project came of."""
    by_digest = {entry.digest: entry for entry in at.history}
    run = body_as(by_digest[result.run].record, Run)
    return by_digest[body_as(by_digest[run.approval].record, Approval).bundle.plan]


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
    job = Job(
        run_id=f"{issued.run_id}-{suffix}",
        files=files,
        trials=recheck_trials(body_as(approval.record, Approval), plan.digest, design),
        config=design.config,
        limits=design.limits,
        command=design.command,
        needs=needs,
    )
    earlier, later = before(history, approval), history[len(before(history, run)) + 1 :]
    warrant = Warrant(history[0].record, plan.record, approval, run, earlier, purpose="recheck", later=later)
    return job, warrant


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
    first = {value.index: value for value in recompute_values(plan.metric, issued, recorded)}
    try:
        values = {value.index: value for value in recompute_values(plan.metric, specs, again)}
    except InvalidInput:
        values = {}  # unreadable outputs are trials that did not end well
    return [_recheck(spec, values.get(spec.index), first) for spec in specs]


def _recheck(spec: TrialSpec, again: TrialValue | None, run: Mapping[int, TrialValue]) -> RecheckTrial:
    first = run.get(spec.index)
    raw, made = (again.raw_sha256, again.data_sha256) if again else (None, None)
    return RecheckTrial(
        trial=spec,
        fresh=first is None,
        same_bytes=None if first is None else raw is not None and raw == first.raw_sha256,
        same_data=made == first.data_sha256 if first and made and first.data_sha256 else None,
        value=again.value if again else None,
    )


def fresh_contrast(plan: PlanDraft, rechecks: Sequence[RecheckTrial]) -> float | None:
    """The primary contrast over the fresh seeds alone; None unless every arm that it needs has ended."""
    values: dict[str, list[float]] = {arm.name: [] for arm in plan.arms}
    fresh = [recheck for recheck in rechecks if recheck.fresh]
    for recheck in fresh:
        if recheck.value is None:
            return None
        values[recheck.trial.arm].append(recheck.value)
    return estimate(plan.contrast, plan.arms, values) if fresh else None


def _not_again(error: NotApproved) -> Finding:
    return Finding(
        check=REFUSED_RULE,
        severity="warn",
        record="result",
        explanation="no trial was run again: the sandbox is not the one that was approved",
        evidence=str(error),
    )
