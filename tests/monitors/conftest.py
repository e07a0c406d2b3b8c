"""A clean study, in which no rule finds anything; tests spoil one thing at a time."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from autoresearch.proposal import parse_proposal
from autoresearch.records import (
    Approval,
    ArmSummary,
    Attention,
    Bundle,
    Check,
    Claim,
    Conclusion,
    ContrastResult,
    Critique,
    Idea,
    Ideas,
    Isolation,
    Objection,
    Person,
    Plan,
    Prediction,
    RecheckTrial,
    Reviewer,
    Score,
    Surprise,
    TrialSpec,
    digest_of,
    file_ref,
)
from autoresearch.template import template

ZERO = "0" * 64


@pytest.fixture
def study():
    """The template's records, and a positive result with its conclusion."""
    parsed = parse_proposal(template(), forecaster="human:Ada")
    plan = Plan(
        **parsed.plan.model_dump(),
        experiment=[file_ref(path, data) for path, data in parsed.files.items()],
    )
    critique = Critique(
        assumptions=parsed.assumptions,
        objections=[Objection(id="O1", objection="Five is small", answer="It is the usual size")],
        proxy=parsed.proxy,
    )
    reviewers = parsed.predictions[0].model_copy(
        update={"forecaster": "human:Bob", "quantiles": (-0.02, 0.0, 0.02)}
    )
    return SimpleNamespace(
        parsed=parsed,
        hypotheses=list(plan.hypotheses),
        missing=[],
        files=dict(parsed.files),
        accepted=[],
        plan=plan,
        critique=critique,
        prediction=Prediction(forecasts=parsed.predictions),
        ideas=Ideas(
            question=plan.question,
            candidates=[Idea(**h.model_dump()) for h in plan.hypotheses],
            chosen="H1",
            why="It says most",
            why_not={"H2": "rival", "H3": "rival"},
        ),
        approval=approval(plan, [reviewers]),
        check=check([*parsed.predictions, reviewers]),
        conclusion=conclusion(),
    )


def approval(plan, forecasts):
    bundle = Bundle(
        gate="approve", project="0" * 32, cycle=1, attempt=1, ledger_head="0" * 40, plan=ZERO,
        prediction=ZERO, preflight=ZERO, files={},
        isolation=Isolation(tier="docker", image="sha256:0", policy_sha256=ZERO, harness_sha256=ZERO, engine="docker"),
        limits=plan.limits,
    )  # fmt: skip
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Approval(
        decision="approve",
        reviewer=Reviewer(person=Person(name="Bob", email="bob@example.org")),
        bundle=bundle,
        shown=digest_of(bundle),
        forecasts=forecasts,
        attention=Attention(opened_at=now, decided_at=now),
        nonce=ZERO,
    )


def check(forecasts):
    mean, median = [0.694, 0.698], [0.71, 0.722]
    return Check(
        arms=[
            ArmSummary(arm="mean", n=20, mean=0.6961, sd=0.0021, values=mean),
            ArmSummary(arm="median", n=20, mean=0.7163, sd=0.0034, values=median),
        ],
        contrast=ContrastResult(
            estimate=0.0202, low=0.0151, high=0.0253, method="paired t", n=20, outcome="positive"
        ),
        scores=[
            Score(forecast=f.id, forecaster=f.forecaster, rule="brier", value=0.2025, observed=1)
            for f in forecasts
        ],
        surprise=Surprise(forecast="P1", z=0.58, p=0.5619, verdict="expected"),
        rechecks=[
            RecheckTrial(
                trial=TrialSpec(index=0, arm="mean", seed=7), fresh=False, same_bytes=True, value=0.694
            )
        ],
    )


def conclusion():
    return Conclusion(
        claims=[
            Claim(
                id="C1",
                statement="The median picked the better answer more often, by 0.020 [0.015, 0.025] over 20 trials",
                about="proxy",
                level="L1",
                scope="5 graders, a common part of 0.5",
                grade="E2",
                hypotheses=["H1"],
                verdict="supported",
                p_before=0.5,
                p_after=0.75,
                change_our_mind="A negative interval at 7 graders or more",
            ),
            Claim(
                id="C2",
                statement="Committees of graders do better with the median",
                about="target",
                level="L2",
                scope="Independent-looking graders",
                grade="E2",
                hypotheses=["H1"],
                verdict="supported",
                p_before=0.5,
                p_after=0.56,
                change_our_mind="Logged scores of real graders in which the mean wins",
            ),
        ],
        takeaway="Stray scores matter more than what a median wastes",
        does_not_show=["How real graders err"],
        prose="The median was right in 71.6 % of pairs and the mean in 69.6 %, a difference of 0.0202 (95 % interval).",
    )
