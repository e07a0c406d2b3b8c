"""Forecasts and belief through real histories: two cycles of one project, and an edit."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from autoresearch.forecasting import belief, standing
from autoresearch.forecasting.reference import references
from autoresearch.forecasting.standing import accepted_before, design_of
from autoresearch.forecasting.track import coverage_line, each_result_once, scored_in
from autoresearch.records import (
    Approval,
    Check,
    Conclusion,
    Forecast,
    Monitoring,
    Plan,
    PlanDraft,
    Prediction,
)
from autoresearch.testing import PERSON
from autoresearch.testing_project import TextDesk, approval, drive, make_project

QUICK = (Path(__file__).parents[1] / "data" / "quick.md").read_text()
TEXT = (
    QUICK
    + """
## Target and proxy

```yaml
target: Means of real noisy numbers
proxy: Means of simulated ones
dynamic: Noise averages out
disanalogies: [Real noise has memory]
p_given_target: 0.8
p_given_not: 0.4
prior: 0.3
reference_class: three of ten such simulations carried over
```

## Assumptions

```yaml
- {id: A1, statement: The noise is independent, status: open, breaks_if: neighbours correlate}
```
"""
)
OTHER_QUESTION = TEXT.replace("Which way does the mean", "In which direction does the mean")
OTHER_DESIGN = OTHER_QUESTION.replace("rng.normal(size=50)", "rng.normal(size=60)")


def own(*quantiles):
    return Forecast(
        id="reviewer",
        forecaster="human:Rae Reviewer",
        shape="quantile",
        about="contrast",
        quantiles=quantiles,
    )


def bodies(ledger, kind):
    return [entry.record.body for entry in ledger.entries() if isinstance(entry.record.body, kind)]


def two_cycles(root, second):
    ledger = make_project(root, TEXT)
    desk = TextDesk(ledger, proposals=[second])
    first = lambda view: approval(view, "approve", forecasts=[own(-1.0, -0.5, 0.0)])  # noqa: E731
    drive(ledger, [first, ("follow-up", "once more"), "approve", "accept"], desk=desk)
    return ledger


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    """The same design in two cycles."""
    ledger = two_cycles(tmp_path_factory.mktemp("again") / "p", OTHER_QUESTION)
    yield ledger
    ledger.close()


@pytest.fixture(scope="module")
def replicated(tmp_path_factory):
    """Another design in the second."""
    ledger = two_cycles(tmp_path_factory.mktemp("other") / "p", OTHER_DESIGN)
    yield ledger
    ledger.close()


# ------------------------------------------------------------------- forecasts


def test_forecasts_are_on_record_before_the_run(again):
    kinds = [entry.record.kind for entry in again.entries() if entry.record.cycle == 1]
    assert kinds.index("prediction") < kinds.index("approval") < kinds.index("run") < kinds.index("result")
    approved = bodies(again, Approval)[0]
    assert approved.forecasts == [own(-1.0, -0.5, 0.0)]


def test_the_reference_is_uniform_first_and_then_from_the_earlier_result(again):
    first, second = (body.references for body in bodies(again, Prediction))
    by_about = {f.about: f for f in first}
    assert by_about["outcome"].categories == dict.fromkeys(by_about["outcome"].categories, 0.25)
    assert by_about["contrast > 0.0"].p == 0.5
    assert {f.forecaster for f in first} == {"reference:uniform"}
    assert "contrast" not in by_about  # a mean of anything has no bounds, so nothing is uniform over it
    after = {f.about: f for f in second}
    assert after["contrast > 0.0"].forecaster == "reference:earlier results"
    assert after["contrast > 0.0"].p == pytest.approx(2 / 3)
    assert after["outcome"].categories["positive"] == pytest.approx(2 / 5)
    assert after["outcome"].reasoning.startswith("1 earlier result of this comparison")


def test_earlier_results_that_are_alike_but_for_rounding_give_no_interval(again):
    plan, check = bodies(again, Plan)[0], bodies(again, Check)[0]
    assert check.contrast.estimate != 0

    def about_the_contrast(estimate):
        contrast = check.contrast.model_copy(update={"estimate": estimate})
        earlier = [check, check.model_copy(update={"contrast": contrast})]
        return [f for f in references([own(-1.0, -0.5, 0.0)], plan, earlier) if f.about == "contrast"]

    assert about_the_contrast(math.nextafter(check.contrast.estimate, 9)) == []
    assert about_the_contrast(check.contrast.estimate) == []
    (apart,) = about_the_contrast(check.contrast.estimate + 0.1)
    assert apart.quantiles[1] == pytest.approx(check.contrast.estimate + 0.05)


def test_everybody_is_scored_beside_the_reference(again):
    check = bodies(again, Check)[0]
    names = {score.forecaster for score in check.scores}
    assert names == {f"human:{PERSON.name}", "human:Rae Reviewer", "reference:uniform"}
    items = scored_in(again.entries())
    of_outcome = [item for item in items if item.shape == "categorical"]
    assert len(of_outcome) == 2
    assert of_outcome[0].reference["brier"] == pytest.approx(0.75)
    assert [item.after_results for item in of_outcome] == [0, 1]


def test_a_shared_result_counts_once(again):
    history = again.entries()
    to_the_first = history[: next(i for i, e in enumerate(history) if e.record.cycle == 2)]
    assert len(each_result_once([to_the_first, history])) == len(scored_in(history))
    assert 0 < len(scored_in(to_the_first)) < len(scored_in(history))


def test_the_line_that_the_gates_show(again):
    assert coverage_line(again.entries(), {"Rae Reviewer"}) == "80 % intervals have held 0 of 1 result"
    assert coverage_line(again.entries(), {PERSON.name}).endswith("of 2 results")
    assert coverage_line(again.entries(), {"Nobody"}) == ""


def test_a_forecast_given_before_an_edit_is_scored_after_it(tmp_path):
    ledger = make_project(tmp_path / "p", TEXT)

    def edit(view):
        plan = PlanDraft.model_validate(
            {**view.plan.model_dump(include=set(PlanDraft.model_fields)), "exclusions": "None."}
        )
        return approval(view, "edit", forecasts=[own(0.0, 0.5, 1.0)], edited=plan, edited_files=view.files)

    drive(ledger, [edit, "approve", "accept"])
    assert [len(body.forecasts) for body in bodies(ledger, Approval)] == [1, 0]
    (check,) = bodies(ledger, Check)
    assert "human:Rae Reviewer" in {score.forecaster for score in check.scores}
    found = {finding.check for body in bodies(ledger, Monitoring) for finding in body.findings}
    assert "check.forecast-unscored" not in found
    ledger.close()


# ---------------------------------------------------------------------- belief


def beliefs(ledger):
    """(id, before, after, verdict) of every claim, cycle by cycle."""
    return [
        {c.id: (round(c.p_before, 4), round(c.p_after, 4), c.verdict) for c in body.claims}
        for body in bodies(ledger, Conclusion)
    ]


def test_the_same_design_moves_belief_once(again):
    first, second = beliefs(again)
    assert first["C-H1"] == (0.5, 0.75, "supported")
    assert second["C-H1"] == (0.75, 0.75, "no update")
    # the target starts from the card's prior, and L_T = [.8·.75 + .2·.25] / [.4·.75 + .6·.25] = 13/9
    assert first["C-target"] == (0.3, round(0.3 * 13 / (0.3 * 13 + 0.7 * 9), 4), "supported")
    assert second["C-target"][:2] == (first["C-target"][1],) * 2
    assert second["C-target"][2] == "no update"
    plans = bodies(again, Plan)
    assert design_of(plans[0]) == design_of(plans[1])


def test_another_design_moves_it_again(replicated):
    first, second = beliefs(replicated)
    assert first["C-H1"] == (0.5, 0.75, "supported")
    assert second["C-H1"] == (0.75, 0.9, "supported")
    plans = bodies(replicated, Plan)
    assert design_of(plans[0]) != design_of(plans[1])


def test_only_another_design_replicates(again, replicated):
    def marks(ledger):
        return [{claim.id: claim.evidence for claim in body.claims} for body in bodies(ledger, Conclusion)]

    alone = {"C-H1": "E2", "C-R1": "E2", "C-target": "E2"}
    assert marks(again) == [alone, alone], "more seeds of one design are no replication"
    twice = {"C-H1": "E2+r", "C-R1": "E2+r", "C-target": "E2"}
    assert marks(replicated) == [alone, twice], "nothing here is replicated at the target"


def test_other_designs_that_went_another_way_replicate_nothing(replicated):
    plans, checks, conclusions = (bodies(replicated, kind) for kind in (Plan, Check, Conclusion))
    accepted = accepted_before(replicated.entries(), 2)
    claim = conclusions[1].claims[0]
    assert standing.replicated(claim, plans[1], checks[1], accepted)
    for outcome in ("negative", "inconclusive"):
        contrast = checks[1].contrast.model_copy(update={"outcome": outcome})
        turned = checks[1].model_copy(update={"contrast": contrast})
        assert not standing.replicated(claim, plans[1], turned, accepted)
    rejected = [replace(one, kept=frozenset()) for one in accepted]
    assert not standing.replicated(claim, plans[1], checks[1], rejected)
    weak = [replace(one, conclusion=graded(one.conclusion, "E1")) for one in accepted]
    assert not standing.replicated(claim, plans[1], checks[1], weak)


def graded(conclusion, grade):
    claims = [claim.model_copy(update={"grade": grade}) for claim in conclusion.claims]
    return conclusion.model_copy(update={"claims": claims})


def test_a_replicated_claim_may_move_beyond_what_one_design_may(replicated):
    """ln 10 holds for each design, and two of them add up."""
    first, second = bodies(replicated, Conclusion)
    start, end = first.claims[0].p_before, second.claims[0].p_after
    assert math.log(end / (1 - end)) - math.log(start / (1 - start)) == pytest.approx(2 * math.log(3))
    step = second.claims[0]
    assert belief.step_check(step.p_before, step.p_after, 0.0) == "over", (
        "without the new design it would not fit"
    )


@pytest.mark.parametrize("which", ["again", "replicated"])
def test_the_rules_agree_with_what_the_step_concluded(which, request):
    ledger = request.getfixturevalue(which)
    found = {f.check for body in bodies(ledger, Monitoring) for f in body.findings}
    assert not {name for name in found if name.startswith("conclusion.")}


def test_open_assumptions_and_grades_are_added_to_every_claim(again):
    for body in bodies(again, Conclusion):
        assert {(tuple(claim.assumes), claim.grade) for claim in body.claims} == {(("A1",), "E2")}
        assert all(claim.tested_for.endswith("rests on A1, untested") for claim in body.claims)


def test_a_rejected_conclusion_moves_nothing(tmp_path):
    ledger = make_project(tmp_path / "p", TEXT)
    drive(ledger, ["approve", ("reject", "no")])
    assert accepted_before(ledger.entries(), 2) == []
    ledger.close()
