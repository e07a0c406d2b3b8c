"""What a fork is made of: a history up to one record, and the record that lets it go on apart.

Nothing that was decided is decided again, but nothing that was permitted counts: the fork has
a project id of its own, which every later decision binds, and it begins with a record, so that
an approval is never the last one.
"""

from collections.abc import Sequence

from autoresearch.budget import spent_by_cycle, unpriced
from autoresearch.errors import InvalidInput
from autoresearch.ports import Entry
from autoresearch.records import (
    Approval,
    Fork,
    KnownResult,
    Plan,
    PlanDraft,
    Proposal,
    RegisteredReviewer,
    Result,
    Reviewer,
    Run,
    Spend,
    WorkflowRef,
    body_as,
    digest_of,
)
from autoresearch.settings_in_force import project_in_force, settings_in_force
from autoresearch.workflow import Workflow


def fork_at(
    history: Sequence[Entry],
    last: Entry,
    *,
    project: str,
    reviewer: Reviewer,
    reason: str,
    workflow: WorkflowRef | None,
    pending: Spend,
) -> Fork:
    """The fork of a project after its record `last`. `pending`: what its models took since their last record.

    Raises InvalidInput where nothing could go on from there.
    """
    shared, later = _cut(history, last)
    _refuse(shared)
    spent = spent_by_cycle(later)
    if pending != Spend():
        cycle = history[-1].record.cycle
        spent[cycle] = spent.get(cycle, Spend()) + known_part(pending)
    return Fork(
        project=project,
        from_project=project_in_force(shared),
        from_commit=last.commit,
        from_record=last.digest,
        reviewer=reviewer,
        reason=reason,
        settings=settings_in_force(history),
        workflow=workflow,
        spent=spent,
        unpriced=unpriced(later) or pending.cost_usd == "unknown",
        known=_known(history, later),
    )


def known_results(history: Sequence[Entry], cycle: int) -> list[KnownResult]:
    """What the projects that this one was forked from had seen of `cycle`, or beyond, by then."""
    found = {
        known.result: known
        for entry in history
        if isinstance(body := entry.record.body, Fork) and entry.record.cycle <= cycle
        for known in body.known
        if known.cycle >= cycle
    }
    return list(found.values())


def known_line(known: KnownResult, plan: PlanDraft) -> str:
    """`positive, 0.2 [0.1, 0.3], the same comparison; attempt 1 of project 1a2b3c4d`; holds foreign text."""
    alike = "the same" if known.comparison == plan.comparison else "another"
    return f"{known.said}, {alike} comparison; {known.place}"


def _known(history: Sequence[Entry], later: Sequence[Entry]) -> list[KnownResult]:
    """The runs that ended in `later`, and those that a fork there knew of."""
    by_digest = {entry.digest: entry for entry in history}
    checks = {e.record.inputs.get("result"): e.record.body for e in later if e.record.kind == "check"}
    found: list[KnownResult] = []
    for entry in later:
        body, record = entry.record.body, entry.record
        if isinstance(body, Fork):
            found += body.known
        if not isinstance(body, Result):
            continue
        run = body_as(by_digest[body.run].record, Run)
        approval = body_as(by_digest[run.approval].record, Approval)
        plan = body_as(by_digest[approval.bundle.plan].record, Plan)
        check = checks.get(entry.digest)
        found.append(
            KnownResult(
                project=approval.bundle.project,
                cycle=record.cycle,
                attempt=record.attempt,
                result=entry.digest,
                plan=digest_of(plan),
                comparison=plan.comparison,
                completed=body.status == "Completed",
                said=check.headline() if check else body.headline(),
            )
        )
    return found


def signers(history: Sequence[Entry], last: Entry) -> Sequence[RegisteredReviewer]:
    """Whose signature the fork needs: a key that counted after `last` and that counts now.

    A key that was registered later vouches for a fork from before it. Raises InvalidInput if
    keys were exchanged in between, so that there is none.
    """
    then = settings_in_force(_cut(history, last)[0]).reviewers
    now = settings_in_force(history).reviewers
    both = [key for key in now if key in then] if then and now else then or now
    if (then or now) and not both:
        raise InvalidInput(
            "no reviewer's key that counted then counts now; fork a later step: autoresearch log"
        )
    return both


def refuse_workflow(workflow: Workflow, shared: Sequence[Entry]) -> None:
    """Raises InvalidInput if the walk could not find the last cycle's records under its steps."""
    cycle = shared[-1].record.cycle
    for entry in shared:
        record = entry.record
        kind = "result" if record.kind == "run" else record.kind
        step = workflow.steps.get(record.step)
        if (
            record.cycle == cycle
            and kind not in ("proposal", "config", "fork")
            and (step is None or step.kind != kind)
        ):
            raise InvalidInput(
                f"the new workflow has no {kind} step called {record.step}, and one is on record; "
                "fork a step before it, or keep its name"
            )


def _cut(history: Sequence[Entry], last: Entry) -> tuple[Sequence[Entry], Sequence[Entry]]:
    place = next(n for n, entry in enumerate(history) if entry.digest == last.digest) + 1
    return history[:place], history[place:]


def _refuse(shared: Sequence[Entry]) -> None:
    body = shared[-1].record.body
    if body_as(shared[0].record, Proposal).demonstration:
        raise InvalidInput(
            "this project is a demonstration: its gates were answered by a script, so no person can take it over\n"
            "make your own from its proposal: autoresearch start proposal.md DIR"
        )
    ended = {b.run for entry in shared if isinstance(b := entry.record.body, Result)}
    if any(entry.record.kind == "run" and entry.digest not in ended for entry in shared):
        raise InvalidInput(
            "an experiment has begun there and not ended, and it belongs to the project that it was approved in; "
            "fork its result, or the step before: autoresearch fork preflight DIR"
        )
    if isinstance(body, Approval) and body.decision == "terminate":
        raise InvalidInput(
            "the project was stopped there for good; fork the step before: autoresearch fork preflight DIR"
        )


def known_part(spend: Spend) -> Spend:
    """With the money as far as its price was known."""
    return spend.model_copy(update={"cost_usd": "0"}) if spend.cost_usd == "unknown" else spend
