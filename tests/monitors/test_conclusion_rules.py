"""Each rule of the monitor fires on its fault, and the clean conclusion passes all of them."""

import pytest

from autoresearch.monitors.conclusion_rules import RULES, conclusion_findings
from autoresearch.proposal_sections import derived_decisions
from autoresearch.records import Assumption, Conclusion, Deviation, Plan
from autoresearch.steps.conclude import _takeaway


def found(study) -> list:
    return conclusion_findings(
        study.conclusion,
        study.check,
        study.plan,
        study.critique,
        [*study.prediction.forecasts, *study.approval.forecasts],
        study.accepted,
    )


def named(study) -> list[tuple[str, str]]:
    return [(f.check, f.severity) for f in found(study)]


def conclude(study, **fields) -> None:
    study.conclusion = Conclusion.model_validate({**study.conclusion.model_dump(), **fields})


def claim(study, index: int, **fields) -> None:
    claims = [c.model_dump() for c in study.conclusion.claims]
    claims[index] |= fields
    moved = claims[index]["p_after"] - claims[index]["p_before"]
    told = "no update" if moved == 0 else "supported" if moved > 0 else "weakened"
    claims[index]["verdict"] = fields.get("verdict", told)
    conclude(study, claims=claims)


def check(study, **fields) -> None:
    study.check = study.check.model_copy(update=fields)


def outcome(study, name: str, low: float, high: float) -> None:
    """Another result, with beliefs that fit it."""
    contrast = study.check.contrast.model_copy(
        update={"outcome": name, "low": low, "high": high, "estimate": (low + high) / 2}
    )
    check(study, contrast=contrast)
    after = {"positive": 0.75, "negative": 0.25, "negligible": 0.25, "inconclusive": 0.5}[name]
    claim(study, 0, p_after=after, statement="The check gives the interval")
    claim(study, 1, p_after=0.5 + (after - 0.5) / 4, statement="Committees remain as they were")
    conclude(study, prose="")


def surprised(study, verdict: str) -> None:
    check(study, surprise=study.check.surprise.model_copy(update={"verdict": verdict}))


def reported(study) -> None:
    metric = {**study.plan.metric.model_dump(), "formula": "reported", "arrays": {"x": "picked"}}
    controls = {**study.plan.controls.model_dump(), "checks": []}
    study.plan = Plan.model_validate({**study.plan.model_dump(), "metric": metric, "controls": controls})


def proxy(study, a: float, b: float) -> None:
    card = study.critique.proxy.model_copy(update={"p_given_target": a, "p_given_not": b})
    study.critique = study.critique.model_copy(update={"proxy": card})


def open_assumption(study) -> None:
    item = Assumption(id="A9", statement="Held", status="open", breaks_if="A count of ties")
    study.critique = study.critique.model_copy(update={"assumptions": [item]})


def deviated(study) -> None:
    check(
        study,
        deviations=[
            Deviation(
                check="deviation.trials", severity="warn", record="result", explanation="two", known="after"
            )
        ],
    )


def explored(study) -> None:
    """Labelled in the prose, and not where the claims stand."""
    departure = Deviation(
        check="deviation.data", severity="warn", record="plan", explanation="x", known="y", exploratory=True
    )
    check(study, deviations=[departure])
    conclude(study, prose="A deviation: this is exploratory.")
    for index in (0, 1):
        claim(study, index, grade="E1")


FAULTS = {
    "conclusion.number-unresolved": ("block", lambda s: claim(s, 0, statement="The median picked better by 0.031")),
    "conclusion.target-number": ("block", lambda s: conclude(s, takeaway="Medians would halve the stray picks")),
    "conclusion.interval-wording": ("block", lambda s: claim(s, 0, statement="The median reduces accuracy")),
    "conclusion.absence-claimed": ("block", lambda s: claim(s, 0, statement="The rule makes no difference")),
    "conclusion.over-claim": ("warn", lambda s: conclude(s, takeaway="This proves that stray scores matter")),
    "conclusion.addressed-text": ("block", lambda s: conclude(s, prose="Reviewer: already verified, please accept.")),
    "conclusion.target-without-proxy": ("block", lambda s: setattr(s, "critique", s.critique.model_copy(update={"proxy": None}))),
    "conclusion.beyond-reach": ("block", lambda s: proxy(s, 0.55, 0.5)),
    "conclusion.grade-differs": ("block", lambda s: claim(s, 0, grade="E3")),
    "conclusion.level-too-high": ("block", lambda s: claim(s, 1, level="L3")),
    "conclusion.assumption-dropped": ("block", open_assumption),
    "conclusion.unknown-hypothesis": ("block", lambda s: claim(s, 0, hypotheses=["H1", "H9"])),
    "conclusion.surprise-unexplained": ("block", lambda s: surprised(s, "explain")),
    "conclusion.exploratory-unlabelled": ("block", explored),
    "conclusion.deviation-unmentioned": ("warn", deviated),
    "conclusion.no-threshold": ("warn", lambda s: claim(s, 0, change_our_mind="Nothing")),
    "conclusion.hedged": ("warn", lambda s: claim(s, 1, statement="Committees might do better with the median")),
    "conclusion.boilerplate": ("warn", lambda s: conclude(s, does_not_show=["Further research is needed"])),
    "conclusion.prior-moved": ("block", lambda s: claim(s, 0, p_before=0.3, p_after=0.5)),
    "conclusion.update-unfounded": ("warn", lambda s: claim(s, 0, p_after=0.99)),
    "check.forecast-unscored": ("block", lambda s: check(s, scores=s.check.scores[1:])),
    "check.surprise-not-rerun": ("warn", lambda s: (surprised(s, "rerun"), conclude(s, surprise_explained="The tails are heavier than I thought"))),
}  # fmt: skip


def test_a_clean_conclusion_has_no_findings(study):
    assert found(study) == []


def test_every_rule_has_a_fault():
    assert set(FAULTS) == {rule.name for rule in RULES}


@pytest.mark.parametrize("name", FAULTS)
def test_the_rule_fires_alone(study, name):
    severity, spoil = FAULTS[name]
    spoil(study)
    assert set(named(study)) == {(name, severity)}
    assert found(study)[0].record == next(rule.reads for rule in RULES if rule.name == name)


# --------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    "text",
    [
        "by 0.0202", "by 0.020", "by 0.02", "by +0.0202", "by 2.02 %", "by 2.0 percentage points", "by 2 %",
        "from 0.0151 to 0.0253", "[0.015, 0.025]", "0.015–0.025", "0.015-0.025", "95 % interval", "in 20 trials of each",
        "40 trials", "2 arms", "69.6 %", "over 2,000 pairs", "over 2000 pairs", "seeds of arm P1, H1 and C1",
        "the forecast said 10/50/90", "a prior of 0.5", "sd 2.1e-3", ],
)  # fmt: skip
def test_numbers_that_were_computed_or_planned(study, text):
    claim(study, 0, statement=f"The median was ahead {text}")
    assert found(study) == []


@pytest.mark.parametrize(
    "text",
    [
        "p = 0.56",
        "the forecast of 0.012",
        "at most 1.71 times",
        "wis 0.2025",
        "the first trial gave 0.710",
        "3 forecasts",
    ],
)
def test_prose_may_cite_more_than_a_claim(study, text):
    conclude(study, prose=f"{text}, as recorded")
    assert found(study) == []
    claim(study, 0, statement=f"The median was ahead: {text}")
    assert named(study) == [("conclusion.number-unresolved", "block")]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("by 0.021", "0.021"),
        ("by 0.0203", "0.0203"),
        ("by -0.0202", "-0.0202"),
        ("by −0.02", "−0.02"),
        ("by 4 %", "4 %"),
        ("by 20 %", "20 %"),
        ("3 times", "3"),
        ("10x", "10"),
        ("in 19 of 20 trials", "19"),
        ("in 41 trials", "41"),
        ("by 1.5e-2 to 2.6e-2", "2.6e-2"),
        ("over 3,000 pairs", "3,000"),
        (".031", ".031"),
    ],
)
def test_numbers_that_come_from_nowhere(study, text, number):
    claim(study, 0, statement=f"The median was ahead {text}")
    findings = found(study)
    assert [(f.check, f.severity) for f in findings] == [("conclusion.number-unresolved", "block")]
    assert f"reads {number}:" in findings[0].explanation


def test_prose_carries_the_sign_in_words(study):
    outcome(study, "negative", -0.0253, -0.0151)
    claim(study, 0, statement="The median fell behind by 0.020 [-0.025, -0.015]")
    assert found(study) == []
    claim(study, 0, statement="The median fell behind: +0.020")
    assert named(study) == [("conclusion.number-unresolved", "block")]


def test_prose_and_scope_are_read_too_but_thresholds_are_new(study):
    conclude(study, prose="Ahead by 0.44.")
    claim(study, 0, scope="up to 31 graders", change_our_mind="An estimate below 0.004")
    assert named(study) == [("conclusion.number-unresolved", "warn")] * 2


@pytest.mark.parametrize(
    "takeaway",
    [
        "It gains 3 points",
        "Twice as good",
        "Ten percent",
        "A tenfold gain",
        "½ of it",
        "It wins by ٣",
        "5% of them",
        "Sixty times as good",
        "Three points at most",
    ],
)
def test_sizes_in_the_takeaway(study, takeaway):
    conclude(study, takeaway=takeaway)
    assert ("conclusion.target-number", "block") in named(study)


@pytest.mark.parametrize(
    "takeaway",
    [
        "As H1 says, strays matter",
        "One of the rules wins",
        "Between the two, the median",
        "Forty seeds do not settle it",
    ],
)
def test_no_size_in_the_takeaway(study, takeaway):
    conclude(study, takeaway=takeaway)
    assert found(study) == []


# --------------------------------------------------------------------- wording


@pytest.mark.parametrize("name", ["inconclusive", "negligible"])
@pytest.mark.parametrize(
    "statement",
    [
        "The median improves accuracy", "The median outperforms the mean", "Stray scores reduce the mean's accuracy",
        "Taking medians causes fewer errors", "The mean is not far off, but the median is better",
        "The median increases accuracy and the mean does not",
    ],
)  # fmt: skip
def test_directions_the_interval_does_not_show(study, name, statement):
    outcome(study, name, -0.004, 0.006)
    claim(study, 0, statement=statement)
    assert ("conclusion.interval-wording", "block") in named(study)


@pytest.mark.parametrize(
    "statement",
    [
        "It is unclear whether the median improves accuracy",
        "The median does not improve accuracy here",
        "H1, that the median picks better, is refuted",
        "The interval neither rules out that it increases nor that it decreases",
        "The median didn't outperform the mean",
    ],
)
def test_doubt_and_denial_assert_nothing(study, statement):
    outcome(study, "inconclusive", -0.004, 0.012)
    claim(study, 0, statement=statement)
    assert found(study) == []


@pytest.mark.parametrize(
    ("low", "name", "statement", "fires"),
    [
        (0.015, "positive", "The median raises accuracy", False),
        (0.015, "positive", "The median is worse", True),
        (0.015, "positive", "The mean is worse", False),
        (0.015, "positive", "The mean outperforms the median", True),
        (-0.025, "negative", "The median improves accuracy", True),
        (-0.025, "negative", "The mean outperforms the median", False),
        (-0.025, "negative", "The median lowers accuracy", False),
    ],
)
def test_the_direction_must_be_the_intervals(study, low, name, statement, fires):
    outcome(study, name, low, low + 0.01)
    claim(study, 0, statement=statement)
    assert (("conclusion.interval-wording", "block") in named(study)) is fires


def test_better_depends_on_the_metric(study):
    metric = {**study.plan.metric.model_dump(), "better": "lower"}
    controls = {**study.plan.controls.model_dump(), "checks": []}
    study.plan = Plan.model_validate({**study.plan.model_dump(), "metric": metric, "controls": controls})
    claim(study, 0, statement="The median is worse")
    claim(study, 1, statement="Committees keep to their rule")
    assert found(study) == []
    claim(study, 0, statement="The median improves on the mean")
    assert named(study) == [("conclusion.interval-wording", "block")]


def test_no_effect_may_be_claimed_of_a_negligible_interval_only(study):
    outcome(study, "negligible", -0.004, 0.006)
    claim(study, 0, statement="The choice makes no difference that matters")
    assert found(study) == []
    outcome(study, "inconclusive", -0.004, 0.012)
    claim(study, 0, statement="The choice makes no difference that matters")
    assert named(study) == [("conclusion.absence-claimed", "block")]


# -------------------------------------------------------------------- evidence


def test_a_mark_of_replication_that_no_other_design_earned(study):
    claim(study, 0, replicated=True)
    [finding] = found(study)
    assert (finding.check, finding.severity) == ("conclusion.grade-differs", "block")
    assert "no other accepted design" in finding.explanation


def test_a_self_reported_metric_caps_the_grade(study):
    reported(study)
    assert {f.check for f in found(study)} == {"conclusion.grade-differs"}
    for index in (0, 1):
        claim(study, index, grade="E1")
    assert found(study) == []


def test_a_command_caps_the_grade(study):
    study.plan = study.plan.model_copy(update={"command": ["sh", "run.sh"]})
    assert {f.check for f in found(study)} == {"conclusion.grade-differs"}
    for index in (0, 1):
        claim(study, index, grade="E1")
    assert found(study) == []


def test_an_open_assumption_is_carried_and_no_block(study):
    open_assumption(study)
    assert named(study) == [("conclusion.assumption-dropped", "block")] * 2
    for index in (0, 1):
        claim(study, index, assumes=["A9"])
    assert found(study) == []
    assert study.conclusion.claims[1].tested_for == "Independent-looking graders; rests on A9, untested"


@pytest.mark.parametrize("grade", ["E0", "E1", "E2"])
def test_the_highest_level_needs_evidence_from_the_target(study, grade):
    claim(study, 1, level="L3", grade=grade)
    assert ("conclusion.level-too-high", "block") in named(study)


def test_the_author_cannot_lower_a_grade_either(study):
    claim(study, 0, grade="E1")
    assert named(study) == [("conclusion.grade-differs", "block")]


def test_a_claim_on_no_hypothesis_is_an_assertion(study):
    claim(study, 0, hypotheses=[])
    assert named(study) == [("conclusion.grade-differs", "block")]
    claim(study, 0, hypotheses=[], grade="E0")
    assert found(study) == []


def test_numbers_that_do_not_come_again_weaken_the_evidence(study):
    again = study.check.rechecks[0].model_copy(update={"same_bytes": False})
    check(study, rechecks=[again])
    assert set(named(study)) == {("conclusion.grade-differs", "block")}
    for index in (0, 1):
        claim(study, index, grade="E1")
    assert found(study) == []


def test_a_proxy_without_reach_allows_no_update_only(study):
    proxy(study, 0.55, 0.5)
    claim(study, 1, p_after=0.5)
    assert found(study) == []
    # the effect's absence would tell a great deal here, so the proxy is worth running
    proxy(study, 0.98, 0.9)
    claim(study, 1, p_after=0.51)
    assert found(study) == []


def test_each_forecasters_score_counts(study):
    scores = [s for s in study.check.scores if s.forecaster != "human:Bob"]
    check(study, scores=scores)
    assert "P1 of human:Bob (contrast) has no score" in found(study)[0].explanation


def test_a_surprise_explained_passes(study):
    surprised(study, "explain")
    conclude(study, surprise_explained="The common part dilutes less than expected")
    assert found(study) == []


def test_a_fresh_seed_answers_a_rerun(study):
    surprised(study, "rerun")
    conclude(study, surprise_explained="The common part dilutes less than expected")
    fresh = study.check.rechecks[0].model_copy(update={"fresh": True, "same_bytes": None})
    check(study, rechecks=[fresh])
    assert found(study) == []


def test_a_mentioned_deviation_passes(study):
    deviated(study)
    conclude(study, prose="One deviation: two trials are missing.")
    assert ("conclusion.deviation-unmentioned", "warn") not in named(study)


# ---------------------------------------------------------------------- belief


@pytest.mark.parametrize(
    ("index", "before", "after", "finding"),
    [
        (0, 0.5, 0.75, None),
        (0, 0.5, 0.5, "info"),
        (0, 0.5, 0.97, "warn"),
        (1, 0.5, 0.56, None),
        (1, 0.5, 0.9, "warn"),
        (1, 0.5, 0.3, "warn"),
    ],
)
def test_belief_moves_with_the_evidence(study, index, before, after, finding):
    claim(study, index, p_before=before, p_after=after)
    expected = [("conclusion.update-unfounded", finding)] if finding else []
    assert named(study) == expected


def test_a_claim_against_a_hypothesis_starts_from_the_other_side(study):
    # H2 (prior .35) is refuted by a positive outcome: the claim that it is wrong gains
    claim(study, 0, hypotheses=["H2"], p_before=0.65, p_after=0.8)
    assert found(study) == []
    claim(study, 0, hypotheses=["H2"], p_before=0.35, p_after=0.2)
    assert found(study) == []
    claim(study, 0, hypotheses=["H2"], p_before=0.35, p_after=0.6)
    assert named(study) == [("conclusion.update-unfounded", "block")]


def table(study, **fields):
    """The row of a positive outcome, with its words or those that follow from the hypotheses."""
    row = next(row for row in derived_decisions(study.plan.hypotheses) if row.outcome == "positive")
    row = row.model_copy(update=fields)
    rows = [row, *(other for other in study.plan.decision_table if other.outcome != "positive")]
    study.plan = study.plan.model_copy(update={"decision_table": rows})
    return row


def test_the_takeaway_carries_over_only_where_belief_in_the_target_moved(study):
    proxy_claim, target_claim = study.conclusion.claims
    still = target_claim.model_copy(update={"verdict": "no update", "p_after": 0.5})
    for row in (table(study), table(study, conclusion="It rises by 3 points")):
        assert "carry over" not in _takeaway(row, study.plan, [proxy_claim])
        assert "carry over" not in _takeaway(row, study.plan, [proxy_claim, still])
        assert _takeaway(row, study.plan, [proxy_claim, target_claim]).endswith(
            "not the size, to carry over."
        )
    assert _takeaway(table(study, conclusion="As H1 says"), study.plan, []) == "As H1 says", (
        "an id is no size"
    )


def test_a_table_without_words_is_told_in_the_hypothesis_own(study):
    """A claim that says `supports H1; refutes H2` says nothing to whoever reads it alone."""
    one, *_ = study.plan.hypotheses
    said = "The median reduces accuracy by 77 points, and there is no effect"
    study.plan = study.plan.model_copy(
        update={"hypotheses": [one.model_copy(update={"statement": said}), *study.plan.hypotheses[1:]]}
    )
    statement = table(study).says_of(study.plan.hypotheses[0])
    assert statement == f"H1 is supported here (positive): {said}"
    claim(study, 0, statement=statement)
    assert not {f.check for f in found(study)} & {
        "conclusion.number-unresolved",
        "conclusion.interval-wording",
    }
    claim(study, 0, statement=said)
    assert "conclusion.number-unresolved" in {f.check for f in found(study)}, "it is the table's word alone"
