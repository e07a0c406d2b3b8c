"""What a project already believes: results that a person accepted, design by design.

A hypothesis is the same in another cycle if it has the same words; a design is the same if it
makes and compares its numbers alike, however many seeds it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch.forecasting.belief import design_step, likelihoods, log_ratio
from autoresearch.forecasting.evidence import grade_of
from autoresearch.ports import Entry
from autoresearch.records import (
    Acceptance,
    Check,
    Claim,
    ClaimDraft,
    Conclusion,
    Critique,
    Digest,
    Grade,
    Hypothesis,
    Kind,
    Plan,
    ProxyCard,
    body_as,
    digest_of,
)

REPLICABLE: tuple[Grade, ...] = ("E2", "E3", "E4")
"""Below these the numbers themselves are in doubt, and nothing is there to be replicated."""


@dataclass(frozen=True)
class Accepted:
    """A cycle whose conclusions a person accepted, with the claims that stand."""

    cycle: int
    plan: Plan
    check: Check
    conclusion: Conclusion
    critique: Critique
    kept: frozenset[str]
    """Ids of the claims accepted, downgraded ones included."""
    decision: Digest
    """Of the acceptance."""


def design_of(plan: Plan) -> str:
    """Digest of what makes a design: arms, measure, comparison, configuration, code and data."""
    fields = plan.model_dump(
        mode="json", include={"arms", "metric", "contrast", "config", "command", "environment", "inputs"}
    )
    return digest_of({**fields, "files": {ref.path: ref.sha256 for ref in plan.experiment}})


def accepted_before(history: Sequence[Entry], cycle: int) -> list[Accepted]:
    """What earlier cycles ended with, oldest first."""
    by_digest = {entry.digest: entry for entry in history}
    found = []
    for entry in history:
        body = entry.record.body
        if not isinstance(body, Acceptance) or entry.record.cycle >= cycle or body.sends_back:
            continue
        kept = frozenset(name for name, verdict in body.claims.items() if verdict != "reject")
        check, conclusion = by_digest.get(body.subject.check), by_digest.get(body.subject.conclusion)
        if not kept or check is None or conclusion is None:
            continue
        made_from = {
            kind: by_digest[digest]
            for kind, digest in conclusion.record.inputs.items()
            if digest in by_digest
        }
        found.append(_accepted(entry, made_from, check, conclusion, kept))
    return found


def _accepted(
    decision: Entry, made_from: dict[str, Entry], check: Entry, conclusion: Entry, kept: frozenset[str]
) -> Accepted:
    def of(kind: Kind) -> Entry:
        return made_from[kind]

    return Accepted(
        cycle=decision.record.cycle,
        plan=body_as(of("plan").record, Plan),
        check=body_as(check.record, Check),
        conclusion=body_as(conclusion.record, Conclusion),
        critique=body_as(of("critique").record, Critique),
        kept=kept,
        decision=decision.digest,
    )


def prior_of(hypothesis: Hypothesis, accepted: Sequence[Accepted]) -> float:
    """The belief that a run starts from: the plan's, unless earlier accepted results moved it."""
    for cycle in reversed(accepted):
        for known in cycle.plan.hypotheses:
            for claim in cycle.conclusion.claims if known.statement == hypothesis.statement else ():
                if claim.id in cycle.kept and claim.about == "proxy" and claim.hypotheses == [known.id]:
                    return 1 - claim.p_after if _denies(claim, known, cycle.check) else claim.p_after
    return hypothesis.prior


def _denies(claim: Claim, hypothesis: Hypothesis, check: Check) -> bool:
    """Whether the claim is that the hypothesis is wrong: it moved, or else began, from the other side."""
    moved = (claim.p_after - claim.p_before) * _ratio(hypothesis, check)
    began_there = abs(claim.p_before - (1 - hypothesis.prior)) < abs(claim.p_before - hypothesis.prior)
    return moved < 0 or (moved == 0 and began_there)


def target_prior_of(card: ProxyCard, accepted: Sequence[Accepted]) -> float:
    """The same for the claim about the target."""
    for cycle in reversed(accepted):
        if cycle.critique.proxy is None or cycle.critique.proxy.target != card.target:
            continue
        for claim in cycle.conclusion.claims:
            if claim.id in cycle.kept and claim.about == "target":
                return claim.p_after
    return card.prior


def step_of(hypothesis: Hypothesis, plan: Plan, check: Check, accepted: Sequence[Accepted]) -> float:
    """L that this result adds to belief in the hypothesis. Runs of one design count once."""
    design = design_of(plan)
    earlier = [
        _ratio(known, cycle.check)
        for cycle in accepted
        if design_of(cycle.plan) == design
        for known in cycle.plan.hypotheses
        if known.statement == hypothesis.statement
    ]
    return design_step(earlier, _ratio(hypothesis, check))


def replicated(claim: ClaimDraft, plan: Plan, check: Check, accepted: Sequence[Accepted]) -> bool:
    """Whether another design moved each of the claim's hypotheses the same way, and that was accepted.

    Of the same design more seeds are no replication; nor is a result whose evidence is below E2. A
    claim about the target is replicated at the target, which nothing here is.
    """
    own = [h for h in plan.hypotheses if h.id in claim.hypotheses]
    if claim.about != "proxy" or not own or grade_of(claim, plan, check)[0] not in REPLICABLE:
        return False
    others = [cycle for cycle in accepted if design_of(cycle.plan) != design_of(plan)]
    return all(any(_bore_alike(h, check, cycle) for cycle in others) for h in own)


def _bore_alike(hypothesis: Hypothesis, check: Check, other: Accepted) -> bool:
    """An accepted claim of `other`, on good evidence, rests on the hypothesis and went the same way."""
    for known in other.plan.hypotheses:
        if known.statement != hypothesis.statement:
            continue
        stands = any(
            claim.id in other.kept and known.id in claim.hypotheses and claim.grade in REPLICABLE
            for claim in other.conclusion.claims
        )
        if stands and _ratio(known, other.check) * _ratio(hypothesis, check) > 0:
            return True
    return False


def _ratio(hypothesis: Hypothesis, check: Check) -> float:
    return log_ratio(*likelihoods(check.contrast.outcome, hypothesis))
