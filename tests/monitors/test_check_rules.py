"""Rules on computed numbers: each fires on its fault and lets the clean result pass."""

import pytest

from autoresearch.monitors.check_rules import RULES, check_findings
from autoresearch.records import ArmSummary, ControlCheck, ControlResult, RecheckTrial, Surprise, TrialSpec


@pytest.fixture
def numbers(study):
    """What `check_findings` reads, in which nothing is wrong."""
    values = [0.70, 0.71, 0.69, 0.72]
    return {
        "plan": study.plan,
        "arms": [ArmSummary(arm="mean", n=4, mean=0.705, sd=0.0129, values=values)],
        "controls": [control(passed=True)],
        "rechecks": [recheck(), recheck(fresh=True, same=None, value=0.715)],
        "surprises": [Surprise(forecast="P1", z=z, p=0.5, verdict="expected") for z in (0.1, -0.2, 0.3, 1.1, 0.2)],
    }  # fmt: skip


def control(*, passed):
    return ControlResult(
        control=ControlCheck(role="negative", arm="mean", low=0.45, high=0.55), n=4, mean=0.6, passed=passed
    )


def recheck(*, fresh=False, same=True, value=0.70, data=None):
    spec = TrialSpec(index=9 if fresh else 0, arm="mean", seed=7)
    return RecheckTrial(trial=spec, fresh=fresh, same_bytes=same, same_data=data, value=value)


def near(sd):
    return [Surprise(forecast="P1", z=sd, p=0.9, verdict="expected")] * 5


FAULTS = {
    "check.out-of-range": (
        "block",
        lambda n: n.update(arms=[n["arms"][0].model_copy(update={"values": [0.7, 1.2]})]),
    ),
    "check.control-failed": ("block", lambda n: n.update(controls=[control(passed=False)])),
    "check.recheck-differs": ("block", lambda n: n.update(rechecks=[recheck(same=False)])),
    "check.recheck-failed": ("block", lambda n: n.update(rechecks=[recheck(same=False, value=None)])),
    "check.fresh-seed-outlier": (
        "warn",
        lambda n: n.update(rechecks=[recheck(fresh=True, same=None, value=0.2)]),
    ),
    "check.too-good": ("warn", lambda n: n.update(surprises=near(0.1))),
}


def test_a_clean_result_has_no_findings(numbers):
    assert check_findings(**numbers) == []


def test_every_rule_has_a_fault():
    assert set(FAULTS) == {rule.name for rule in RULES}


@pytest.mark.parametrize("name", FAULTS)
def test_the_rule_fires_alone(numbers, name):
    severity, spoil = FAULTS[name]
    spoil(numbers)
    assert [(f.check, f.severity) for f in check_findings(**numbers)] == [(name, severity)]


def test_other_data_under_the_same_seed_block_even_behind_the_same_values(numbers):
    numbers["rechecks"] = [recheck(data=True)]
    assert check_findings(**numbers) == []
    numbers["rechecks"] = [recheck(data=False)]
    [found] = check_findings(**numbers)
    assert (found.check, found.severity) == ("check.recheck-differs", "block")
    assert "other data" in found.explanation


def test_a_value_at_the_bound_is_in_range(numbers):
    numbers["arms"] = [numbers["arms"][0].model_copy(update={"values": [0.0, 1.0, 1.0 + 1e-12]})]
    assert check_findings(**numbers) == []


def test_without_a_declared_range_nothing_is_out_of_it(numbers, study):
    metric = study.plan.metric.model_copy(update={"low": None, "high": None})
    numbers["plan"] = study.plan.model_copy(update={"metric": metric})
    numbers["arms"] = [numbers["arms"][0].model_copy(update={"values": [-7.0, 9.0]})]
    assert check_findings(**numbers) == []


@pytest.mark.parametrize(("number", "sd"), [(4, 0.01), (5, 0.6)])
def test_four_good_forecasts_or_five_fair_ones_are_no_wonder(numbers, number, sd):
    numbers["surprises"] = near(sd)[:number]
    assert check_findings(**numbers) == []
