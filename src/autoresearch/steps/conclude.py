"""Claims, each with its level, scope, grade and belief before and after."""

from collections.abc import Sequence

from autoresearch.forecasting.belief import moved, target_log_ratio, tells_nothing
from autoresearch.forecasting.evidence import grade_of
from autoresearch.forecasting.standing import (
    Accepted,
    accepted_before,
    prior_of,
    replicated,
    step_of,
    target_prior_of,
)
from autoresearch.monitors.wording import sizes, without_names
from autoresearch.records import (
    RULES,
    SAME_BELIEF,
    BeliefVerdict,
    Check,
    Claim,
    ClaimDraft,
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
    "positive": "Where this was tested the effect had a positive sign",
    "negative": "Where this was tested the effect had a negative sign",
    "negligible": "Where this was tested there was no effect large enough to matter",
    "inconclusive": "This does not move the question in either direction",
}


def inputs(at: Situation, *, by_model: bool) -> dict[str, str]:
    records = at.digests("critique", "plan", "prediction", "check") | _earlier(at)
    if by_model:
        return records | at.feedback_digest()
    return records | at.sections("decision-table")


def _earlier(at: Situation) -> dict[str, str]:
    """What was accepted in earlier cycles, which beliefs start from."""
    return {f"accepted-{before.cycle}": before.decision for before in accepted_before(at.history, at.cycle)}


def run(at: Situation, ports: StepPorts) -> Draft:
    if ports.model is not None:
        reply, made_by, files = ask(at, ports, ConclusionReply)
        return Draft(reply.to_body(lambda claim: completed(claim, at)), made_by, files)
    return Draft(conclusion_from(at), RULES)


def completed(claim: ClaimDraft, at: Situation) -> Claim:
    """The claim with its grade, whether it was replicated, and the assumptions that nobody tested."""
    grade, _ = grade_of(claim, at.body(Plan), at.body(Check))
    untested = [a.id for a in at.body(Critique).assumptions if a.status == "open"]
    accepted = accepted_before(at.history, at.cycle)
    again = replicated(claim, at.body(Plan), at.body(Check), accepted)
    return Claim(**claim.model_dump(), grade=grade, replicated=again, assumes=untested)


def conclusion_from(at: Situation) -> Conclusion:
    """The decision table applied to the outcome; the wording is the table's now in force."""
    plan, check, critique = at.body(Plan), at.body(Check), at.body(Critique)
    outcome = check.contrast.outcome
    accepted = accepted_before(at.history, at.cycle)
    row = _row(at, plan, outcome)
    named = [h for h in plan.hypotheses if _named(h, row)] or plan.hypotheses[:1]
    claims = [_claim(hypothesis, row, plan, check, accepted) for hypothesis in named]
    if critique.proxy is not None:
        claims.append(_target_claim(plan.hypotheses[0], critique.proxy, plan, check, accepted))
    return Conclusion(
        claims=[completed(claim, at) for claim in claims],
        takeaway=_takeaway(row, plan, claims),
        does_not_show=_limits(critique.proxy),
        prose=f"The plan's decision table says for {outcome}: {row.conclusion}",
    )


def _takeaway(row: Decision, plan: Plan, claims: Sequence[ClaimDraft]) -> str:
    """The table's words, or ours where it has none or gives sizes. Only a claim on the target carries over."""
    ids = [hypothesis.id for hypothesis in plan.hypotheses]
    if not row.unworded and not any(sizes(without_names(row.conclusion, ids))):
        return clip(row.conclusion, 500)
    if row.outcome not in ("positive", "negative"):
        return f"{TAKEAWAYS[row.outcome]}."
    carries = any(claim.about == "target" and claim.verdict != "no update" for claim in claims)
    what = "expect the sign, not the size, to carry over" if carries else "nothing follows beyond it"
    return f"{TAKEAWAYS[row.outcome]}; {what}."


def _row(at: Situation, plan: Plan, outcome: Outcome) -> Decision:
    """What the outcome means was fixed before; only the wording may come from a later proposal."""
    fixed = next(row for row in plan.decision_table if row.outcome == outcome)
    reworded = next((row for row in at.parsed().plan.decision_table if row.outcome == outcome), fixed)
    return fixed.model_copy(update={"conclusion": reworded.conclusion})


def _named(hypothesis: Hypothesis, row: Decision) -> bool:
    return hypothesis.id in row.supports or hypothesis.id in row.refutes


def _claim(
    hypothesis: Hypothesis, row: Decision, plan: Plan, check: Check, accepted: Sequence[Accepted]
) -> ClaimDraft:
    ratio = step_of(hypothesis, plan, check, accepted) if _named(hypothesis, row) else 0.0
    before = prior_of(hypothesis, accepted)
    after = moved(before, ratio)
    return ClaimDraft(
        id=f"C-{hypothesis.id}"[:64],
        statement=row.says_of(hypothesis),
        about="proxy",
        level="L1",
        scope=_scope(plan, check),
        hypotheses=[hypothesis.id],
        verdict=_verdict(before, after),
        p_before=before,
        p_after=after,
        change_our_mind=_mind(hypothesis, row, check),
    )


def _target_claim(
    hypothesis: Hypothesis, proxy: ProxyCard, plan: Plan, check: Check, accepted: Sequence[Accepted]
) -> ClaimDraft:
    """What the result says of the target. Where that is nothing, the claim is that it is nothing.

    `hypothesis` is the plan's first: that the proxy shows the effect which the card speaks of.
    """
    outcome = check.contrast.outcome
    before = target_prior_of(proxy, accepted)
    ratio = target_log_ratio(proxy, step_of(hypothesis, plan, check, accepted))
    after = before if tells_nothing(proxy) else moved(before, ratio)
    verdict = _verdict(before, after)
    toward = "more" if after > before else "less"
    statement = (
        f"No update on the target: {_why_nothing(proxy, outcome)}."
        if verdict == "no update"
        else f"A {outcome} outcome here makes what was asked of the target a little {toward} likely; nothing follows about size."
    )
    return ClaimDraft(
        id="C-target",
        statement=statement,
        about="target",
        level="L1",
        scope=_scope(plan, check),
        hypotheses=[hypothesis.id],
        verdict=verdict,
        p_before=before,
        p_after=before if verdict == "no update" else after,
        change_our_mind="the opposite sign in the real system, or in a proxy that shares more of its dynamic",
    )


def _why_nothing(proxy: ProxyCard, outcome: Outcome) -> str:
    if tells_nothing(proxy):
        return "the proxy would come out like this about as often whether or not the claim holds there"
    return f"a {outcome} outcome, or one more run of the same design, does not bear on it"


def _verdict(before: float, after: float) -> BeliefVerdict:
    if abs(after - before) < SAME_BELIEF:
        return "no update"
    return "supported" if after > before else "weakened"


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
    article = "an" if wanted[0] in "aei" else "a"
    return f"{article} {wanted} outcome at {check.contrast.n} or more fresh seeds of the same plan"


def _limits(proxy: ProxyCard | None) -> list[str]:
    if proxy is None:
        return [
            "Anything beyond the proxy: the proposal states no figures for how well it stands for its target."
        ]
    return [*proxy.disanalogies, clip(f"How large the effect is in the target ({proxy.target}).", 500)]
