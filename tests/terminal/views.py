"""Views of both gates as a project would make them, for tests and driver scripts."""

from dataclasses import replace
from datetime import UTC, datetime

from autoresearch.ports import AcceptanceView, ApprovalView
from autoresearch.records import (
    Approval,
    ArmSummary,
    Assumption,
    Attention,
    Bundle,
    Check,
    Claim,
    Conclusion,
    ContrastResult,
    Critique,
    Finding,
    Forecast,
    HostFacts,
    Isolation,
    Monitoring,
    Objection,
    Person,
    Plan,
    Prediction,
    Preflight,
    ProxyCard,
    RecheckTrial,
    ResourceLimits,
    Result,
    Reviewer,
    Score,
    Subject,
    Surprise,
    TrialSpec,
    digest_of,
    file_ref,
    sha256,
)

ADA = Person(name="Ada Reviewer", email="ada@example.org")
BEN = Person(name="Ben Author", email="ben@example.org")
NOON = datetime(2030, 1, 2, 12, 0, tzinfo=UTC)

CODE = b'''"""Calibration of a small network under label noise."""

import numpy as np


def make_data(seed, config):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(config["n"], 8))
    return {"x": x, "y": (x[:, 0] > 0).astype(int)}


def run_trial(arm, seed, config, data):
    noise = 0.3 if arm == "noisy" else 0.0
    return {"confidence": [0.9], "correct": [1]}
'''
PREVIOUS = CODE.replace(b"0.3 if", b"0.6 if")
FILES = {"experiment/experiment.py": CODE, "experiment/helpers.py": b"def relu(x):\n    return x * (x > 0)\n"}

ISOLATION = Isolation(
    tier="docker",
    image="sha256:" + "4f5e6d7c8b9a0123" * 4,
    policy_sha256="1" * 64,
    harness_sha256="2" * 64,
    engine="Docker 20.10",
)

PLAN = Plan.model_validate(
    {
        "question": "Does light symmetric label noise make a small network over-confident on clean test data?",
        "hypotheses": [
            {
                "id": "noise",
                "statement": "Training on noisy labels raises expected calibration error on clean data.",
                "expects": ["positive"],
                "refuted_by": ["negative", "negligible"],
                "prior": 0.6,
            },
            {
                "id": "length",
                "statement": "Length of training alone sets calibration; noise changes nothing that matters.",
                "expects": ["negligible"],
                "refuted_by": ["positive"],
                "prior": 0.4,
            },
        ],
        "arms": [
            {"name": "noisy", "description": "30 % of the training labels flipped"},
            {"name": "clean", "description": "labels as generated"},
        ],
        "metric": {
            "name": "ece",
            "formula": "ece",
            "arrays": {"confidence": "confidence", "correct": "correct"},
            "low": 0,
            "high": 1,
            "better": "lower",
            "how_gamed": "predicting the base rate everywhere is calibrated and useless",
        },
        "contrast": {
            "form": "paired",
            "treatment": "noisy",
            "control": "clean",
            "smallest_effect": 0.02,
        },
        "trials_per_arm": 20,
        "stopping_rule": "after 20 trials an arm",
        "exclusions": "none",
        "controls": {
            "positive": "temperature 0.2 must raise the error",
            "negative": "a second clean arm must not differ",
        },
        "decision_table": [
            {"outcome": "positive", "conclusion": "noise harms calibration here", "supports": ["noise"]},
            {"outcome": "negligible", "conclusion": "noise does not matter here", "refutes": ["noise"]},
        ],
        "config": {"n": 400, "epochs": 30},
        "limits": {"seconds": 300},
        "experiment": [file_ref(path, data) for path, data in FILES.items()],
    }
)
PREVIOUS_PLAN = PLAN.model_copy(update={"trials_per_arm": 10, "stopping_rule": "after 10 trials an arm"})

CRITIQUE = Critique(
    assumptions=[
        Assumption(
            id="a1",
            statement="Generated data are as hard as the real task.",
            status="open",
            breaks_if="the task is learnt perfectly",
        ),
        Assumption(
            id="a2",
            statement="Thirty epochs are enough for both arms.",
            status="accepted",
            breaks_if="loss still falls",
        ),
    ],
    objections=[Objection(id="o1", objection="The binning of ECE is arbitrary.", answer="Ten bins, stated.")],
    proxy=ProxyCard(
        target="calibration of large models trained on crowd labels",
        proxy="a two-layer network on generated data",
        dynamic="fitting wrong labels with high confidence",
        disanalogies=["no pre-training", "noise is symmetric"],
        p_given_target=0.8,
        p_given_not=0.25,
    ),
    findings=[
        Finding(
            check="proxy.gap",
            severity="warn",
            record="critique",
            explanation="two disanalogies are stated and neither is tested",
        )
    ],
)
PREDICTION = Prediction(
    forecasts=[
        Forecast(
            id="f1",
            forecaster="human:Ben Author",
            shape="quantile",
            about="contrast",
            quantiles=(0.01, 0.03, 0.06),
            primary=True,
            reasoning="AUTHOR-REASONING pilots at other sizes.",
        ),
        Forecast(id="f2", forecaster="human:Ben Author", shape="binary", about="contrast > 0.02", p=0.7),
    ]
)
PREFLIGHT = Preflight(
    findings=[
        Finding(
            check="plan.small-n",
            severity="warn",
            record="plan",
            explanation="20 trials an arm detect 0.02 with a power of about 0.6",
        )
    ],
    rules=["plan.small-n", "plan.no-control", "code.seed"],
)
BLOCK = Finding(
    check="plan.no-control", severity="block", record="plan", explanation="no positive control is named"
)
BUNDLE = Bundle(
    gate="approve",
    project="ab" * 16,
    cycle=1,
    attempt=2,
    ledger_head="c" * 40,
    plan="3" * 64,
    prediction="4" * 64,
    preflight="5" * 64,
    files={path: sha256(data) for path, data in FILES.items()},
    isolation=ISOLATION,
    limits=ResourceLimits(seconds=300),
)


def approval_view(**changes) -> ApprovalView:
    view = ApprovalView(
        bundle=BUNDLE,
        title="Label noise and calibration",
        question=PLAN.question,
        plan=PLAN,
        critique=CRITIQUE,
        prediction=PREDICTION,
        preflight=PREFLIGHT,
        files=FILES,
        previous_files={"experiment/experiment.py": PREVIOUS},
        previous_plan=PREVIOUS_PLAN,
        history=["attempt 1: revise by Ada Reviewer, too much noise to tell the two apart"],
        author=BEN,
        reviewer=ADA,
        ask_forecast=False,
        model="none",
        cost_usd="0",
        expected_trials=40,
        power="20 seeds see 0.66 sd 4 times in 5: 0.02 only if the sd is under 0.03",
    )
    return replace(view, **changes)


def blocked_view() -> ApprovalView:
    return approval_view(preflight=Preflight(findings=[BLOCK, *PREFLIGHT.findings], rules=PREFLIGHT.rules))


def weak_view() -> ApprovalView:
    """A proxy that tells next to nothing of its target."""
    assert CRITIQUE.proxy is not None
    card = CRITIQUE.proxy.model_copy(update={"p_given_target": 0.55, "p_given_not": 0.5})
    return approval_view(critique=CRITIQUE.model_copy(update={"proxy": card}))


def deceiving_view() -> ApprovalView:
    """Code with a name that mixes alphabets, far down."""
    files = {"experiment/experiment.py": b"x = 1\n" * 40 + "pаth = x\n".encode()}
    bundle = BUNDLE.model_copy(update={"files": {path: sha256(data) for path, data in files.items()}})
    return approval_view(files=files, bundle=bundle)


REVIEWER_FORECAST = Forecast(
    id="reviewer",
    forecaster="human:Ada Reviewer",
    shape="quantile",
    about="contrast",
    quantiles=(-0.02, 0.0, 0.02),
)
APPROVAL = Approval(
    decision="approve",
    reviewer=Reviewer(person=ADA),
    bundle=BUNDLE,
    shown=digest_of(BUNDLE),
    forecasts=[REVIEWER_FORECAST],
    attention=Attention(opened_at=NOON, decided_at=NOON),
    nonce="7" * 64,
)
RESULT = Result(
    status="Completed",
    why="every issued trial ended well",
    run="3" * 64,
    isolation=ISOLATION,
    probe=None,
    facts=HostFacts(
        exit_code=0,
        wall_seconds=31.4,
        cpu_seconds=50.0,
        peak_memory_mb=84.0,
        out_of_memory=False,
        timed_out=False,
        output_truncated=False,
        started_at=NOON,
        ended_at=NOON,
    ),
    trials_issued=40,
    trials_completed=40,
    trials=None,
)
CHECK = Check(
    arms=[
        ArmSummary(arm="noisy", n=20, mean=0.081, sd=0.02, values=[0.08]),
        ArmSummary(arm="clean", n=20, mean=0.044, sd=0.01, values=[0.04]),
    ],
    contrast=ContrastResult(
        estimate=0.037,
        low=0.029,
        high=0.045,
        method="t interval of paired differences",
        n=20,
        outcome="positive",
    ),
    scores=[Score(forecast="f1", forecaster="human:Ben Author", rule="wis3", value=0.004, observed=0.037)],
    surprise=Surprise(forecast="f1", z=0.4, p=0.69, bits=0.5, verdict="expected"),
    rechecks=[
        RecheckTrial(trial=TrialSpec(index=0, arm="noisy", seed=7), fresh=False, same_bytes=True, value=0.08),
        RecheckTrial(trial=TrialSpec(index=1, arm="clean", seed=9), fresh=True, same_bytes=None, value=0.05),
    ],
    findings=[],
)
CLAIMS = [
    Claim(
        id="c1",
        statement="Thirty per cent symmetric label noise raises ECE of this network by 0.037 [0.029, 0.045].",
        about="proxy",
        level="L1",
        scope="two-layer network, 400 generated examples, 30 epochs",
        grade="E2",
        hypotheses=["noise"],
        verdict="supported",
        p_before=0.6,
        p_after=0.93,
        change_our_mind="a difference below 0.02 over 20 new seeds",
    ),
    Claim(
        id="c2",
        statement="Noise in labels worsens the calibration of models trained on crowd labels.",
        about="target",
        level="L3",
        scope="direction only",
        grade="E2",
        hypotheses=["noise"],
        verdict="supported",
        p_before=0.5,
        p_after=0.6,
        change_our_mind="no change of ECE at two noise rates in one fine-tuned language model",
    ),
]
CONCLUSION = Conclusion(
    claims=CLAIMS,
    takeaway="A network that fits wrong labels becomes sure of wrong answers.",
    does_not_show=["that the effect survives early stopping"],
    prose="The paired differences are all positive.",
)
MONITORING = Monitoring(
    findings=[
        Finding(
            check="claims.reach",
            severity="warn",
            record="conclusion",
            explanation="c2 speaks of the target with a proxy ceiling of 3.2",
        )
    ],
    rules=["claims.reach", "claims.numbers"],
)
SUBJECT = Subject(
    gate="accept",
    project="ab" * 16,
    cycle=1,
    attempt=2,
    ledger_head="d" * 40,
    result="6" * 64,
    check="7" * 64,
    conclusion="8" * 64,
    monitoring="9" * 64,
)


def acceptance_view(**changes) -> AcceptanceView:
    view = AcceptanceView(
        subject=SUBJECT,
        title="Label noise and calibration",
        plan=PLAN,
        forecasts=[*PREDICTION.forecasts, REVIEWER_FORECAST],
        approval=APPROVAL,
        result=RESULT,
        check=CHECK,
        conclusion=CONCLUSION,
        monitoring=MONITORING,
        critique=CRITIQUE,
        log="trial 1\ntrial 2\n",
        history=["attempt 1: revise by Ada Reviewer, too much noise to tell the two apart"],
        reviewer=ADA,
    )
    return replace(view, **changes)


def blocked_acceptance() -> AcceptanceView:
    found = Finding(
        check="claims.numbers",
        severity="block",
        record="conclusion",
        explanation="0.037 is not a computed number",
    )
    return acceptance_view(monitoring=Monitoring(findings=[found], rules=["claims.numbers"]))


def surprised(verdict="rerun", *, fresh=True) -> AcceptanceView:
    """A result that its forecast called all but impossible."""
    surprise = CHECK.surprise.model_copy(update={"verdict": verdict, "z": 4.0, "p": 0.00006})
    rechecks = [recheck for recheck in CHECK.rechecks if fresh or not recheck.fresh]
    changes = {"surprise": surprise, "rechecks": rechecks, "fresh_contrast": 0.04 if fresh else None}
    return acceptance_view(check=CHECK.model_copy(update=changes))


def long_acceptance() -> AcceptanceView:
    """A first claim that takes more lines than a screen of 24 gives it."""
    long = CLAIMS[0].model_copy(update={"statement": "Noise " + "very " * 40 + "much. LAST"})
    return acceptance_view(conclusion=CONCLUSION.model_copy(update={"claims": [long, *CLAIMS[1:]]}))


def long_takeaway() -> AcceptanceView:
    """A takeaway that takes more lines than a screen of 24 gives it."""
    long = "What was seen is " + "very " * 40 + "likely to carry over. LAST"
    return acceptance_view(conclusion=CONCLUSION.model_copy(update={"takeaway": long}))
