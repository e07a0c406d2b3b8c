import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch.forecasting.belief import (
    MAX_LOG_RATIO,
    likelihoods,
    log_ratio,
    moved,
    ratio_bounds,
    step_check,
    target_ratio,
)
from autoresearch.records import OUTCOMES, Hypothesis, ProxyCard


@pytest.mark.parametrize(
    ("before", "after", "given_h", "given_not", "ratio", "bayes", "verdict"),
    [
        (0.5, 0.9, 0.8, 0.4, 0.693147, 0.666667, "over"),
        (0.5, 0.66, 0.8, 0.4, 0.693147, 0.666667, "ok"),
        (0.3, 0.2, 0.8, 0.4, 0.693147, 0.461538, "wrong-way"),
        (0.2, 0.6, 0.9, 0.1, 2.197225, 0.692308, "ok"),
        (0.5, 0.52, 0.9, 0.1, 2.197225, 0.9, "under"),
        (0.5, 0.48, 0.9, 0.1, 2.197225, 0.9, "under"),
        (0.5, 0.5, 0.5, 0.5, 0.0, 0.5, "ok"),
        (0.5, 0.6, 0.5, 0.5, 0.0, 0.5, "over"),
        (0.5, 1.0, 0.75, 0.25, 1.098612, 0.75, "over"),
        (1.0, 1.0, 0.5, 0.5, 0.0, 1.0, "ok"),
        (0.0, 0.0, 0.75, 0.25, 1.098612, 0.0, "under"),
    ],
)
def test_update_table(before, after, given_h, given_not, ratio, bayes, verdict):
    assert log_ratio(given_h, given_not) == pytest.approx(ratio, abs=5e-7)
    assert moved(before, log_ratio(given_h, given_not)) == pytest.approx(bayes, abs=5e-7)
    assert step_check(before, after, log_ratio(given_h, given_not)) == verdict


def test_one_design_moves_odds_tenfold_at_most():
    assert log_ratio(0.99, 0.01) == MAX_LOG_RATIO
    assert log_ratio(0.0, 0.5) == -MAX_LOG_RATIO
    assert log_ratio(0.5, 0.0) == MAX_LOG_RATIO
    assert log_ratio(0.0, 0.0) == 0
    assert moved(0.5, log_ratio(0.99, 0.01)) == pytest.approx(10 / 11)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_bayes_own_update_is_ok(prior, given_h, given_not):
    ratio = log_ratio(given_h, given_not)
    assert step_check(prior, moved(prior, ratio), ratio) == "ok"


def card(a, b):
    return ProxyCard(
        target="large models", proxy="a toy", dynamic="selection", disanalogies=["scale"],
        p_given_target=a, p_given_not=b,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given_h", "given_not", "ratio", "belief"),
    [(0.99, 0.01, 1.487562, 0.598), (0.8, 0.4, 1.142857, 0.533333), (0.5, 0.5, 1.0, 0.5)],
)
def test_proxy_vectors(given_h, given_not, ratio, belief):
    assert target_ratio(card(0.6, 0.4), given_h, given_not) == pytest.approx(ratio, abs=5e-7)
    log_odds = math.log(target_ratio(card(0.6, 0.4), given_h, given_not))
    assert moved(0.5, log_odds) == pytest.approx(belief, abs=5e-7)


inside = st.floats(0.01, 0.99)


@given(inside, inside, st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_no_data_pass_the_proxy_bounds(a, b, given_h, given_not):
    least, largest = ratio_bounds(card(a, b))
    ratio = target_ratio(card(a, b), given_h, given_not)
    assert least * (1 - 1e-12) <= ratio <= largest * (1 + 1e-12)
    assert target_ratio(card(a, a), given_h, given_not) == pytest.approx(1)


def test_proxy_bounds_are_reached():
    # the effect is there for certain: a/b; it is not: (1 − a)/(1 − b)
    assert ratio_bounds(card(0.6, 0.4)) == pytest.approx((2 / 3, 1.5))
    assert ratio_bounds(card(0.5, 0.75)) == pytest.approx((2 / 3, 2))
    assert target_ratio(card(0.5, 0.75), 1, 0) == pytest.approx(2 / 3)
    assert target_ratio(card(0.5, 0.75), 0, 1) == pytest.approx(2)


def test_likelihoods():
    hypothesis = Hypothesis(
        id="H1", statement="it helps", expects=["positive"], refuted_by=["negative", "negligible"]
    )
    assert likelihoods("positive", hypothesis) == (0.75, 0.25)
    assert likelihoods("negative", hypothesis) == (0.25, 0.75)
    assert likelihoods("negligible", hypothesis) == (0.25, 0.75)
    assert likelihoods("inconclusive", hypothesis) == (0.5, 0.5)


def test_a_hypothesis_that_expects_and_is_refuted_by_the_same_outcome_learns_nothing():
    vague = Hypothesis(id="H1", statement="perhaps", expects=list(OUTCOMES), refuted_by=list(OUTCOMES))
    assert {likelihoods(outcome, vague) for outcome in OUTCOMES} == {(0.5, 0.5)}


def test_likelihoods_stay_below_the_cap():
    assert abs(math.log(0.75 / 0.25)) < MAX_LOG_RATIO
