"""Claims, each with its level, scope, grade and belief before and after."""

from autoresearch.forecasting.belief import likelihoods, p_after, target_p_after
from autoresearch.monitors.wording import sizes
from autoresearch.records import (
    RULES,
    Check,
    Claim,
    Conclusion,
    Critique,
    Decision,
    Hypothesis,
    Outcome,
    Plan,
    ProxyCard,
    clip,
)
from autoresearch.replies import ConclusionReply
from autoresearch.steps.ask import ask
from autoresearch.steps.situation import Draft, Situation, StepPorts

TAKEAWAYS: dict[Outcome, str] = {
    "positive": "Where this was tested the effect had a positive sign; expect the sign, not the size, to carry over.",
    "negative": "Where this was tested the effect had a negative sign; expect the sign, not the size, to carry over.",
    "negligible": "Where this was tested there was no effect large enough to matter.",
    "inconclusive": "This does not move the question in either direction.",
}


def inputs(at: Situation, *, by_model: bool) -> dict[str, str]:
    records = at.digests("critique", "plan", "prediction", "check")
    if by_model:
        return records | at.feedback_digest()
    return records | at.sections("decision-table")


def run(at: Situation, ports: StepPorts) -> Draft:
    if ports.model is not None:
        reply, made_by, files = ask(at, ports, ConclusionReply)
        return Draft(reply.to_body(), made_by, files)
    return Draft(conclusion_from(at), RULES)


def conclusion_from(at: Situation) -> Conclusion:
    """The decision table applied to the outcome; the wording is the table's now in force."""
    plan, check, critique = at.body(Plan), at.body(Check), at.body(Critique)
    outcome = check.contrast.outcome
    row = _row(at, plan, outcome)
    claims = [
        _claim(hypothesis, row, plan, check) for hypothesis in plan.hypotheses if _named(hypothesis, row)
    ]
    if not claims:
        claims = [_claim(plan.hypotheses[0], row, plan, check)]
    if critique.proxy is not None and outcome in ("positive", "negative") and row.supports:
        chosen = next(h for h in plan.hypotheses if h.id == row.supports[0])
        claims.append(_target_claim(chosen, critique.proxy, plan, check))
    takeaway = TAKEAWAYS[outcome] if any(sizes(row.conclusion)) else clip(row.conclusion, 500)
    return Conclusion(
        claims=claims,
        takeaway=takeaway,
        does_not_show=_limits(critique.proxy),
        prose=f"The plan's decision table says for {outcome}: {row.conclusion}",
    )


def _row(at: Situation, plan: Plan, outcome: Outcome) -> Decision:
    """What the outcome means was fixed before; only the wording may come from a later proposal."""
    fixed = next(row for row in plan.decision_table if row.outcome == outcome)
    reworded = next((row for row in at.parsed().plan.decision_table if row.outcome == outcome), fixed)
    return fixed.model_copy(update={"conclusion": reworded.conclusion})


def _named(hypothesis: Hypothesis, row: Decision) -> bool:
    return hypothesis.id in row.supports or hypothesis.id in row.refutes


def _claim(hypothesis: Hypothesis, row: Decision, plan: Plan, check: Check) -> Claim:
    verdict = (
        "supported"
        if hypothesis.id in row.supports
        else "refuted"
        if hypothesis.id in row.refutes
        else "left open"
    )
    given, otherwise = likelihoods(row.outcome, hypothesis) if verdict != "left open" else (0.5, 0.5)
    return Claim(
        id=f"C-{hypothesis.id}"[:64],
        statement=clip(f"{hypothesis.id} is {verdict} here ({row.outcome}): {row.conclusion}", 500),
        about="proxy",
        level="L1",
        scope=_scope(plan, check),
        grade=plan.highest_grade,
        hypotheses=[hypothesis.id],
        p_before=hypothesis.prior,
        p_after=p_after(hypothesis.prior, given, otherwise),
        change_our_mind=_mind(hypothesis, row, check),
    )


def _target_claim(hypothesis: Hypothesis, proxy: ProxyCard, plan: Plan, check: Check) -> Claim:
    outcome = check.contrast.outcome
    given, otherwise = likelihoods(outcome, hypothesis)
    return Claim(
        id="C-target",
        statement=f"For the target, expect the same sign ({outcome}) rather than its opposite; nothing follows about size.",
        about="target",
        level="L1",
        scope=_scope(plan, check),
        grade=plan.highest_grade,
        hypotheses=[hypothesis.id],
        p_before=hypothesis.prior,
        p_after=target_p_after(hypothesis.prior, proxy, given, otherwise),
        change_our_mind="the opposite sign in the real system, or in a proxy that shares more of its dynamic",
    )


def _scope(plan: Plan, check: Check) -> str:
    explores = "exploratory, formed after a result was seen; " if check.exploratory else ""
    arms = ", ".join(arm.name for arm in plan.arms)
    return clip(
        f"{explores}arms {arms}; {plan.trials_per_arm} seeds an arm; the configuration of the plan, and nothing outside it",
        500,
    )


def _mind(hypothesis: Hypothesis, row: Decision, check: Check) -> str:
    against = hypothesis.refuted_by if row.outcome in hypothesis.expects else hypothesis.expects
    wanted = " or ".join(against) or "any other"
    return f"a {wanted} outcome at {check.contrast.n} or more fresh seeds of the same plan"


def _limits(proxy: ProxyCard | None) -> list[str]:
    if proxy is None:
        return [
            "Anything beyond the proxy: the proposal states no figures for how well it stands for its target."
        ]
    return [*proxy.disanalogies, clip(f"How large the effect is in the target ({proxy.target}).", 500)]
