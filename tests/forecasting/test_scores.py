import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from autoresearch.errors import InvalidInput
from autoresearch.forecasting import scores
from autoresearch.forecasting.scores import About, about_of, parse_about, resolve, score
from autoresearch.records import OUTCOMES, ArmSummary, ContrastResult, Forecast

ARMS = ("treated", "plain")


def binary(p, about="contrast > 0"):
    return Forecast(id="F1", forecaster="agent", shape="binary", about=about, p=p)


def quantile(*q, about="contrast"):
    return Forecast(id="F1", forecaster="agent", shape="quantile", about=about, quantiles=q)


def categorical(positive, negative, negligible, inconclusive):
    p = {"positive": positive, "negative": negative, "negligible": negligible, "inconclusive": inconclusive}
    return Forecast(id="F1", forecaster="agent", shape="categorical", about="outcome", categories=p)


def values(forecast, observed):
    return {s.rule: s.value for s in score(forecast, observed)}


# --------------------------------------------------- vectors, to six digits

Z90 = 1.2815515655446004


@pytest.mark.parametrize(
    ("p", "y", "brier", "log"),
    [
        (0.7, 1, 0.09, 0.356675),
        (0.7, 0, 0.49, 1.203973),
        (0.95, 0, 0.9025, 2.995732),
        (0.0, 1, 1.0, 6.907755),
    ],
)
def test_binary_vectors(p, y, brier, log):
    assert values(binary(p), y) == {
        "brier": pytest.approx(brier, abs=5e-7),
        "log": pytest.approx(log, abs=5e-7),
    }


@pytest.mark.parametrize(
    ("q", "y", "pinballs", "interval80", "wis3"),
    [
        ((0.8, 0.86, 0.91), 0.84, (0.004, 0.01, 0.007), 0.11, 0.014),
        ((0.8, 0.86, 0.91), 0.95, (0.015, 0.045, 0.036), 0.51, 0.064),
        ((0.8, 0.86, 0.91), 0.7, (0.09, 0.08, 0.021), 1.11, 0.127333),
        ((10, 20, 50), 20, (1, 0, 3), 40, 2.666667),
        ((-Z90, 0, Z90), 1.0, (0.228155, 0.5, 0.028155), 2.563103, 0.504207),
    ],
)
def test_quantile_vectors(q, y, pinballs, interval80, wis3):
    expected = dict(zip(("pinball10", "pinball50", "pinball90"), pinballs, strict=True))
    expected |= {"interval80": interval80, "wis3": wis3}
    assert values(quantile(*q), y) == {rule: pytest.approx(v, abs=5e-7) for rule, v in expected.items()}


@pytest.mark.parametrize(
    ("observed", "brier", "log", "rps"), [(0, 0.26, 0.510826, 0.17), (2, 1.26, 2.302585, 1.17)]
)
def test_categorical_vectors(observed, brier, log, rps):
    p = (0.6, 0.3, 0.1)
    assert scores.multi_brier(p, observed) == pytest.approx(brier, abs=5e-7)
    assert scores.log_score(p[observed]) == pytest.approx(log, abs=5e-7)
    assert scores.rps(p, observed) == pytest.approx(rps, abs=5e-7)


def test_categorical_forecast_is_scored_along_the_direction():
    # in order: negative .6 | negligible + inconclusive .3 | positive .1, as in the vectors
    forecast = categorical(positive=0.1, negative=0.6, negligible=0.2, inconclusive=0.1)
    assert values(forecast, OUTCOMES.index("negative"))["rps"] == pytest.approx(0.17)
    assert values(forecast, OUTCOMES.index("positive"))["rps"] == pytest.approx(1.17)
    middle = values(forecast, OUTCOMES.index("negligible"))
    assert middle["rps"] == values(forecast, OUTCOMES.index("inconclusive"))["rps"] == pytest.approx(0.37)
    assert middle["log"] == pytest.approx(-math.log(0.2))
    assert middle["brier"] == pytest.approx(0.01 + 0.36 + 0.64 + 0.01)


def test_scores_carry_who_and_what():
    made = score(quantile(0.8, 0.86, 0.91), 0.84)[0]
    assert (made.forecast, made.forecaster, made.rule, made.observed) == ("F1", "agent", "pinball10", 0.84)


# ------------------------------------------------- proper: truth scores best

probabilities = st.floats(0.01, 0.99)


@given(probabilities, probabilities)
def test_truth_minimises_expected_binary_scores(truth, stated):
    def expected(p):
        happens, not_ = values(binary(p), 1), values(binary(p), 0)
        return {rule: truth * happens[rule] + (1 - truth) * not_[rule] for rule in happens}

    honest, other = expected(truth), expected(stated)
    assert all(honest[rule] <= other[rule] + 1e-12 for rule in honest)


simplex = st.lists(st.floats(0.01, 1), min_size=4, max_size=4).map(lambda w: [x / sum(w) for x in w])


@given(simplex, simplex)
def test_truth_minimises_expected_categorical_scores(truth, stated):
    def expected(p):
        by_outcome = [values(categorical(*p), k) for k in range(4)]
        return {r: sum(t * v[r] for t, v in zip(truth, by_outcome, strict=True)) for r in by_outcome[0]}

    # Forecast's own fields are in the order of OUTCOMES, as is the index observed
    honest, other = expected(truth), expected(stated)
    assert all(honest[rule] <= other[rule] + 1e-12 for rule in honest)


@given(
    st.lists(st.floats(-10, 10), min_size=20, max_size=60),
    st.tuples(st.floats(-12, 12), st.floats(-12, 12), st.floats(-12, 12)).map(sorted),
)
def test_true_quantiles_minimise_the_mean_pinball(sample, stated):
    ordered = sorted(sample)
    for k, tau in enumerate((0.1, 0.5, 0.9)):
        true = ordered[math.ceil(tau * len(ordered)) - 1]
        honest = sum(scores.pinball(true, y, tau) for y in sample)
        assert honest <= sum(scores.pinball(stated[k], y, tau) for y in sample) + 1e-9


@given(
    st.tuples(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)),
    st.floats(-1e4, 1e4),
)
def test_wis3_is_two_thirds_of_the_pinballs(parts, y):
    low, first, second = parts
    got = values(quantile(low, low + first, low + first + second), y)
    total = got["pinball10"] + got["pinball50"] + got["pinball90"]
    assert got["wis3"] == pytest.approx(2 / 3 * total, abs=1e-9)


# ---------------------------------- the definitions, by numerical integration

BELIEFS = [NormalDist(), NormalDist(0.86, 0.05), NormalDist(-3, 2)]


@pytest.mark.parametrize("belief", BELIEFS)
@pytest.mark.parametrize("away", [-2.5, 0.0, 1.0])
def test_pinball_losses_of_all_quantiles_are_the_crps(belief, away):
    """∫ 2ρ_τ dτ = ∫ (F(x) − 1{x ≥ y})² dx: neither side knows of the other's formula."""
    y = belief.mean + away * belief.stdev
    levels = (np.arange(20_000) + 0.5) / 20_000
    losses = np.mean([2 * scores.pinball(belief.inv_cdf(tau), y, tau) for tau in levels])
    below, above = belief.mean - 9 * belief.stdev, belief.mean + 9 * belief.stdev
    left, _ = quad(lambda x: belief.cdf(x) ** 2, below, y)
    right, _ = quad(lambda x: (1 - belief.cdf(x)) ** 2, y, above)
    assert losses == pytest.approx(left + right, rel=1e-4)
    if (belief, away) == (NormalDist(), 1.0):
        assert left + right == pytest.approx(0.602441, abs=5e-7)


@given(st.tuples(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3)), st.floats(-3e3, 3e3))
def test_the_interval_score_is_ten_times_its_two_pinballs(parts, y):
    low, width = parts
    both = scores.pinball(low, y, 0.1) + scores.pinball(low + width, y, 0.9)
    assert scores.interval80(low, low + width, y) == pytest.approx(10 * both, abs=1e-8)


@given(simplex, st.integers(0, 3))
def test_the_ranked_probability_score_is_the_crps_of_the_ranks(p, observed):
    cumulative = np.cumsum(p)
    steps = [(cumulative[int(x)] - (x >= observed)) ** 2 for x in (0.5, 1.5, 2.5)]
    assert scores.rps(p, observed) == pytest.approx(sum(steps), abs=1e-9)


def test_wis3_ranks_a_normal_forecast_below_a_shifted_one():
    normal = NormalDist()
    draws = [normal.inv_cdf((k + 0.5) / 200) for k in range(200)]
    honest = sum(scores.wis3((-Z90, 0, Z90), y) for y in draws)
    assert honest < sum(scores.wis3((-Z90 + 0.5, 0.5, Z90 + 0.5), y) for y in draws)


# ------------------------------------------------------------- what it is about


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("contrast", About("contrast")),
        ("outcome", About("outcome")),
        ("metric:plain", About("metric", arm="plain")),
        ("metric: plain", About("metric", arm="plain")),
        ("contrast > 0.02", About("event", direction=">", threshold=0.02)),
        ("contrast<-1e-3", About("event", direction="<", threshold=-0.001)),
    ],
)
def test_parse_about(text, expected):
    assert parse_about(text, ARMS) == expected


@pytest.mark.parametrize(
    "text", ["", "contrasts", "contrast >", "contrast > much", "contrast > nan", "contrast >= 0", "metric"]
)
def test_parse_about_names_the_known_forms(text):
    with pytest.raises(InvalidInput, match="known forms: contrast, metric:<arm>, outcome"):
        parse_about(text, ARMS)


def test_parse_about_names_the_arms():
    with pytest.raises(InvalidInput, match="metric:other, but the arms are treated, plain"):
        parse_about("metric:other", ARMS)


@pytest.mark.parametrize(
    ("forecast", "message"),
    [
        (binary(0.5, about="contrast"), "takes quantiles, not p"),
        (quantile(1, 2, 3, about="contrast > 0"), "takes p, not quantiles"),
        (quantile(1, 2, 3, about="outcome"), "takes categories, not quantiles"),
    ],
)
def test_shape_must_fit(forecast, message):
    with pytest.raises(InvalidInput, match=message):
        about_of(forecast, ARMS)


@dataclass(frozen=True)
class Numbers:
    arms: list
    contrast: ContrastResult


OBSERVED = Numbers(
    arms=[
        ArmSummary(arm="treated", n=2, mean=0.9, sd=0.1, values=[0.8, 1.0]),
        ArmSummary(arm="plain", n=2, mean=0.7, sd=0.0, values=[0.7, 0.7]),
    ],
    contrast=ContrastResult(
        estimate=0.2, low=-0.1, high=0.5, method="t interval", n=2, outcome="inconclusive"
    ),
)


@pytest.mark.parametrize(
    ("forecast", "expected"),
    [
        (quantile(0, 1, 2), 0.2),
        (quantile(0, 1, 2, about="metric:plain"), 0.7),
        (binary(0.5, about="contrast > 0.1"), 1),
        (binary(0.5, about="contrast > 0.2"), 0),
        (binary(0.5, about="contrast < 0.2"), 0),
        (binary(0.5, about="contrast < 0.3"), 1),
        (categorical(0.25, 0.25, 0.25, 0.25), OUTCOMES.index("inconclusive")),
    ],
)
def test_resolve(forecast, expected):
    assert resolve(forecast, OBSERVED) == expected


def test_resolve_refuses_an_unknown_arm():
    with pytest.raises(InvalidInput, match="the arms are treated, plain"):
        resolve(quantile(0, 1, 2, about="metric:other"), OBSERVED)
