"""The grade of a claim's evidence, computed from plan and check. The author is not asked."""

from autoresearch.records import Check, ClaimDraft, Grade, PlanDraft


def grade_of(claim: ClaimDraft, plan: PlanDraft, check: Check) -> tuple[Grade, str]:
    """The grade, and what holds it there.

    E3 and E4 need the real system or one near it, which nothing in a sandbox without a network is.
    """
    if not set(claim.hypotheses) & {hypothesis.id for hypothesis in plan.hypotheses}:
        return "E0", "it rests on no hypothesis of the plan, so nothing was run to test it"
    weaknesses = _weaknesses(plan, check)
    return ("E1", weaknesses[0]) if weaknesses else ("E2", "the experiment stands in for its target")


def _weaknesses(plan: PlanDraft, check: Check) -> list[str]:
    """What leaves the numbers themselves in doubt, the gravest first."""
    unlike = [
        f"{r.trial.arm} seed {r.trial.seed}"
        for r in check.rechecks
        if not r.fresh and (not r.same_bytes or r.same_data is False)
    ]
    failed = [f"{c.control.role} control {c.control.of}" for c in check.controls if not c.passed]
    found = {
        f"{', '.join(failed)} failed, so the numbers are about the apparatus": bool(failed),
        f"{', '.join(unlike)} did not come out the same when run again": bool(unlike),
        "what it tests was formed after a result had been seen": check.exploratory,
        "the code states the metric of itself": plan.metric.formula == "reported",
        "the experiment is a command, which few rules can read": bool(plan.command),
    }
    return [why for why, holds in found.items() if holds]
