"""What a gate shows and what its answer becomes: views and records, no terminal in sight.

A gate binds content. `bundle_for` and `subject_for` say exactly what a person decides
on; the digest of that is on the screen, is what they type, and is in the record.
"""

from collections.abc import Sequence

from autoresearch.budget import costs_of
from autoresearch.decisions import GATE_INPUTS, blocking, lacking
from autoresearch.errors import NotApproved, Stale
from autoresearch.forecasting.track import called, coverage_line
from autoresearch.fork import known_line, known_results
from autoresearch.layout import file_path
from autoresearch.ports import (
    AcceptanceAnswer,
    AcceptanceView,
    ApprovalAnswer,
    ApprovalView,
    Entropy,
    Entry,
)
from autoresearch.records import (
    HUMAN,
    Acceptance,
    Approval,
    Bundle,
    Check,
    Conclusion,
    Critique,
    Isolation,
    Monitoring,
    Plan,
    Prediction,
    Preflight,
    Record,
    Result,
    Reviewer,
    Run,
    Subject,
    Tryout,
    body_as,
    digest_of,
    file_ref,
)
from autoresearch.settings_in_force import settings_in_force
from autoresearch.steps.check import all_forecasts
from autoresearch.steps.situation import Situation


def bundle_for(at: Situation, isolation: Isolation, head: str) -> Bundle:
    plan = at.body(Plan)
    return Bundle(
        gate=at.step,
        project=at.project_id,
        cycle=at.cycle,
        attempt=at.attempt,
        ledger_head=head,
        plan=at.entry("plan").digest,
        prediction=at.entry("prediction").digest,
        preflight=at.entry("preflight").digest,
        files={ref.path: ref.sha256 for ref in plan.experiment},
        isolation=isolation,
        limits=plan.limits,
        inputs={data.name: data.sha256 for data in plan.inputs},
    )


def environment_lock(at: Situation) -> dict[str, bytes]:
    """The lock that the plan's environment is made from, by its path; empty without one."""
    environment = at.body(Plan).environment
    lock = environment.lock if environment else None
    return {lock.path: at.read(at.entry("plan"), lock.path)} if lock else {}


def subject_for(at: Situation, head: str) -> Subject:
    return Subject(
        gate=at.step,
        project=at.project_id,
        cycle=at.cycle,
        attempt=at.attempt,
        ledger_head=head,
        result=at.entry("result").digest,
        check=at.entry("check").digest,
        conclusion=at.entry("conclusion").digest,
        monitoring=at.entry("monitoring").digest,
    )


def approval_view(at: Situation, bundle: Bundle, reviewer: Reviewer, tries: Sequence[Tryout]) -> ApprovalView:
    plan_entry = at.entry("plan")
    plan = at.body(Plan)
    author = at.proposal_body().author
    by_model = plan_entry.record.made_by.author == "agent"
    previous_plan, previous_files, previous_critique = _previous(at)
    return ApprovalView(
        bundle=bundle,
        title=at.proposal_body().title,
        question=plan.question,
        plan=plan,
        critique=at.body(Critique),
        prediction=at.body(Prediction),
        preflight=at.body(Preflight),
        files={ref.path: at.read(plan_entry, ref.path) for ref in plan.experiment},
        previous_files=previous_files,
        previous_plan=previous_plan,
        history=_decisions(at),
        author=author,
        reviewer=reviewer.person,
        ask_forecast=_ask_forecast(at, reviewer),
        model=plan_entry.record.made_by.model if by_model else "none",
        cost_usd=total_cost(at.history),
        expected_trials=plan.trials_per_arm * len(plan.arms),
        cap_usd=settings_in_force(at.history).budget.project.usd,
        tries=tries,
        lock=environment_lock(at),
        power=power_of(plan, sd_before(at)),
        previous_critique=previous_critique,
        author_record=coverage_line(at.history, {_author_of_forecasts(at)}),
        reviewer_record=coverage_line(at.history, {reviewer.person.name}),
        before=_before(at, bundle),
        known=_known(at),
    )


def _before(at: Situation, bundle: Bundle) -> str:
    """Why nobody may call these files new; empty if they are."""
    begun = {run.approval for entry in at.history if isinstance(run := entry.record.body, Run)}
    ran, tried = [], False
    for entry in at.history:
        body = entry.record.body
        if isinstance(body, Approval) and body.bundle.files == bundle.files:
            tried = tried or bool(body.tries)
            here = entry.record.cycle == at.cycle
            place = f"attempt {entry.record.attempt}" + ("" if here else f" of cycle {entry.record.cycle}")
            ran += [place] if entry.digest in begun else []
    if any(
        k.completed and k.comparison == at.body(Plan).comparison for k in known_results(at.history, at.cycle)
    ):
        return "Its result is known: see Seen."
    if ran:
        return f"These files ran before, in {', '.join(ran)}."
    return "It was tried before, and what came out is unknown." if tried else ""


def _known(at: Situation) -> list[str]:
    return [known_line(known, at.body(Plan)) for known in known_results(at.history, at.cycle)]


def _author_of_forecasts(at: Situation) -> str:
    entry = at.entry("prediction")
    return called(body_as(entry.record, Prediction).forecasts[0].forecaster, entry.record.made_by.model)


def acceptance_view(at: Situation, subject: Subject, reviewer: Reviewer) -> AcceptanceView:
    result = at.body(Result)
    log = at.read(at.entry("result"), result.log.path).decode(errors="replace") if result.log else ""
    return AcceptanceView(
        subject=subject,
        title=at.proposal_body().title,
        plan=at.body(Plan),
        forecasts=all_forecasts(at),
        approval=at.body(Approval),
        result=result,
        check=at.body(Check),
        conclusion=at.body(Conclusion),
        monitoring=at.body(Monitoring),
        critique=at.body(Critique),
        log=log,
        history=_decisions(at),
        reviewer=reviewer.person,
        forecast_records=_forecast_records(at),
        known=_known(at),
    )


def _forecast_records(at: Situation) -> list[str]:
    """Of those who forecast this result, it included."""
    model = at.entry("prediction").record.made_by.model
    names = dict.fromkeys(called(forecast.forecaster, model) for forecast in all_forecasts(at))
    lines = [(name, coverage_line(at.history, {name})) for name in names]
    return [f"{name}: {line}, this one included" for name, line in lines if line]


def approval_record(
    at: Situation, bundle: Bundle, answer: ApprovalAnswer, reviewer: Reviewer, entropy: Entropy
) -> tuple[Record, dict[str, bytes]]:
    """The record of an answer, and the edited files it vouches for.

    Nobody knows the seeds before this; and one approval has one set of them, however often it is copied.
    """
    _require_shown(answer.shown, digest_of(bundle))
    if answer.decision == "approve" and (stopping := blocking(at.body(Preflight), at.body(Critique))):
        raise NotApproved(
            f"this cannot be approved: a finding blocks it, {stopping[0].check}: {stopping[0].explanation}"
        )
    edited = {f"edited/{path}": data for path, data in answer.edited_files.items()}
    body = Approval(
        decision=answer.decision,
        reviewer=reviewer,
        bundle=bundle,
        shown=answer.shown,
        reason=answer.reason,
        forecasts=list(answer.forecasts),
        forecasts_skipped=answer.forecasts_skipped,
        attention=answer.attention,
        edited=answer.edited,
        edited_files=[file_ref(path, data) for path, data in sorted(edited.items())],
        tries=list(answer.tries),
        nonce=entropy.token_hex(32) if answer.decision == "approve" else None,
    )
    record = _record(at, body)
    return record, {file_path(record, ref): edited[ref.path] for ref in body.edited_files}


def acceptance_record(
    at: Situation, subject: Subject, answer: AcceptanceAnswer, reviewer: Reviewer
) -> Record:
    _require_shown(answer.shown, digest_of(subject))
    claims = [claim.id for claim in at.body(Conclusion).claims]
    sends_back = answer.decision in ("revise", "redo")
    verdicts = {} if sends_back else {name: answer.claims[name] for name in claims}
    body = Acceptance(
        decision=answer.decision,
        reviewer=reviewer,
        subject=subject,
        shown=answer.shown,
        claims=verdicts,
        reason=answer.reason,
        attention=answer.attention,
        second_look=answer.second_look,
    )
    if owed := lacking(body, at.body(Check), at.body(Conclusion), at.body(Monitoring)):
        raise NotApproved(owed)
    return _record(at, body)


def total_cost(history: Sequence[Entry]) -> str:
    """The sum of all recorded costs in USD; `unknown` as soon as one is."""
    from decimal import Decimal

    costs = costs_of(history)
    return "unknown" if "unknown" in costs else str(sum((Decimal(cost) for cost in costs), Decimal(0)))


def _record(at: Situation, body: Approval | Acceptance) -> Record:
    return Record(
        kind=body.kind, cycle=at.cycle, attempt=at.attempt, step=at.step, parent=at.history[-1].digest,
        inputs=at.digests(*GATE_INPUTS[body.kind]), made_by=HUMAN, body=body,
    )  # fmt: skip


def _require_shown(shown: str, digest: str) -> None:
    if shown != digest:
        raise Stale(
            "the decision was made on something else than what is pending now; look again with: autoresearch review"
        )


def _ask_forecast(at: Situation, reviewer: Reviewer) -> bool:
    """Nobody is asked for what they have already predicted, nor again for the same comparison.

    Nor in `demo`, which is to be seen with few answers; its forecasts are the example's.
    """
    made_by = at.entry("prediction").record.made_by
    proposal = at.proposal_body()
    own = made_by.author == "person" and (reviewer.person == proposal.author or proposal.example is not None)
    carried = at.body(Prediction).carried_from is not None
    return reviewer.is_person and not own and not carried and not _forecast_before(at, reviewer)


def _forecast_before(at: Situation, reviewer: Reviewer) -> bool:
    """Asked at an earlier gate of this cycle on the same prediction, e.g. before a run was lost."""
    prediction = at.entry("prediction").digest
    return any(
        isinstance(body := entry.record.body, Approval)
        and entry.record.cycle == at.cycle
        and body.bundle.prediction == prediction
        and body.reviewer.person == reviewer.person
        for entry in at.history
    )


def power_of(plan: Plan, before: float | None = None) -> str:
    """What effect this many trials show with 80 % power. `before`: an earlier result's sd of the contrast."""
    from autoresearch.analysis.inference import detectable_sd

    n, wanted = plan.trials_per_arm, plan.contrast.smallest_effect
    least = detectable_sd(plan.contrast.form, n)
    if least is None:
        return ""
    sd, source = (plan.expected_sd, "the plan") if plan.expected_sd else (before, "an earlier result")
    if sd is None:
        return f"{n} seeds see {least:.3g} sd 4 times in 5: {wanted:.3g} only if the sd is under {wanted / least:.2g}"
    verdict = "enough" if least * sd <= wanted else "NOT ENOUGH"
    return f"{n} seeds see {least * sd:.3g} 4 times in 5 (sd {sd:.3g}, {source}): {verdict} for {wanted:.3g}"


def sd_before(at: Situation) -> float | None:
    """From seed to seed, in the latest result of the same comparison."""
    from statistics import stdev

    plans = {entry.digest: entry.record.body for entry in at.history}
    for entry in reversed(at.history):
        body, plan = entry.record.body, plans.get(entry.record.inputs.get("plan", ""))
        if isinstance(body, Check) and isinstance(plan, Plan) and len(body.contrast.per_seed) > 1:
            now = at.body(Plan)
            if (plan.metric, plan.contrast, plan.arms) == (now.metric, now.contrast, now.arms):
                return stdev(body.contrast.per_seed) or None
    return None


def _previous(at: Situation) -> tuple[Plan | None, dict[str, bytes], Critique | None]:
    """Plan, experiment and critique as they stood at the last decision of this cycle."""
    decided = [e for e in at.history if e.record.kind == "approval" and e.record.cycle == at.cycle]
    if not decided:
        return None, {}, None
    shown = body_as(decided[-1].record, Approval).bundle.plan
    entry = next(e for e in at.history if e.digest == shown)
    plan = body_as(entry.record, Plan)
    critique = next(e for e in at.history if e.digest == decided[-1].record.inputs["critique"])
    files = {ref.path: at.read(entry, ref.path) for ref in plan.experiment}
    return plan, files, body_as(critique.record, Critique)


def _decisions(at: Situation) -> list[str]:
    """What happened in this cycle so far that a reviewer should know, a line each."""
    lines = []
    for entry in at.history:
        body = entry.record.body
        if entry.record.cycle != at.cycle or not isinstance(body, Approval | Acceptance | Result):
            continue
        where = f"attempt {entry.record.attempt}"
        if isinstance(body, Result):
            lines.append(
                f"{where}: {body.status} after {body.trials_completed} of {body.trials_issued} trials: {body.why}"
            )
        elif body.decision not in ("approve", "accept"):
            why = f": {body.reason}" if body.reason else ""
            lines.append(f"{where}: {body.decision} by {body.reviewer.person.name}{why}")
    return lines
