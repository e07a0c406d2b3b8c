import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autoresearch.analysis.metrics import FORMULAS, metric_value
from autoresearch.errors import InvalidInput
from autoresearch.records import METRIC_ROLES, MetricCard


def card(formula, q=None):
    needed, optional = METRIC_ROLES[formula]
    arrays = {role: role for role in needed | optional}
    return MetricCard(name="m", formula=formula, arrays=arrays, q=q, how_gamed="not at all")


def value(formula, q=None, **values):
    made = card(formula, q)
    if formula == "argmax" and "x" not in values:
        made = made.model_copy(update={"arrays": {"y": "y"}})
    return metric_value(made, values, "trial 0")


def test_every_formula_of_the_records_is_here():
    assert set(FORMULAS) | {"reported"} == set(METRIC_ROLES)


# Worked out by hand.
@pytest.mark.parametrize(
    ("formula", "values", "expected"),
    [
        ("mean", {"x": [1, 2, 6]}, 3.0),
        ("mean", {"x": [[1, 2], [3, 6]]}, 3.0),
        ("accuracy", {"prediction": [1, 0, 2, 2], "label": [1, 1, 2, 0]}, 0.5),
        ("brier", {"probability": [0.7, 0.2], "label": [1, 0]}, (0.09 + 0.04) / 2),
        # pairs (1 against 0): .9>.5, .9>.1, .5=.5 half, .5>.1  → 3.5 of 4
        ("auc", {"score": [0.9, 0.5, 0.5, 0.1], "label": [1, 1, 0, 0]}, 3.5 / 4),
        ("auc", {"score": [1, 2], "label": [1, 0]}, 0.0),
        # .95 and .97 share the last bin: |1 − 1.92| ; .3 alone: |0 − .3|
        (
            "ece",
            {"confidence": [0.95, 0.97, 0.3], "correct": [1, 0, 0]},
            (abs(1 - 1.92) + 0.3) / 3,
        ),
        # 1/15 closes the first bin, which 0 opens: |1 + 0 − 1/15|
        ("ece", {"confidence": [0.0, 1 / 15], "correct": [1, 0]}, (1 - 1 / 15) / 2),
        ("ece", {"confidence": [0.0, 0.07], "correct": [1, 0]}, (1 + 0.07) / 2),
        ("ece", {"confidence": [1.0], "correct": [1]}, 0.0),
        ("rmse", {"prediction": [1, 5], "target": [1, 1]}, math.sqrt(8)),
        ("argmax", {"y": [0, 3, 1]}, 1.0),
        ("argmax", {"y": [0, 3, 3], "x": [10, 20, 30]}, 20.0),
        ("slope", {"x": [0, 1, 2], "y": [1, 3, 5]}, 2.0),
        ("reported", {"x": 0.25}, 0.25),
    ],
)
def test_by_hand(formula, values, expected):
    assert value(formula, **values) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_quantile_interpolates():
    assert value("quantile", q=0.25, x=[4, 1, 2, 3]) == pytest.approx(1.75)
    assert value("quantile", q=0.5, x=[7]) == 7


@pytest.mark.parametrize(
    ("formula", "values", "message"),
    [
        ("mean", {"y": [1]}, "trial 0: run_trial returned no x; it returned y"),
        ("mean", {"x": []}, "trial 0: x is empty"),
        ("mean", {"x": 3.0}, "x is not an array; .* takes formula reported"),
        ("mean", {"x": [1, "2"]}, r"trial 0: x\[1\]: a string where a number"),
        ("mean", {"x": [1, True]}, r"trial 0: x\[1\]: true or false"),
        ("mean", {"x": [1e308, 1e308]}, "mean of x overflows"),
        ("rmse", {"prediction": [1e200], "target": [-1e200]}, "overflows"),
        ("accuracy", {"prediction": [1], "label": [1, 0]}, r"prediction has shape \(1,\), label has \(2,\)"),
        ("rmse", {"prediction": [[1, 2]], "target": [[1], [2]]}, r"shape \(1, 2\), target has \(2, 1\)"),
        ("brier", {"probability": [1.2], "label": [1]}, "probability to be between 0 and 1; number 0 is 1.2"),
        ("brier", {"probability": [0.2], "label": [2]}, "label to be 0 or 1; number 0 is 2"),
        ("auc", {"score": [1, 2], "label": [1, 1]}, "auc needs both labels; label is 1 throughout"),
        ("ece", {"confidence": [0.1], "correct": [0.5]}, "correct to be 0 or 1"),
        ("slope", {"x": [2, 2], "y": [1, 3]}, "slope needs two different numbers in x"),
        ("slope", {"x": [2], "y": [1]}, "slope needs two different numbers in x"),
        ("reported", {"x": [0.5]}, "x: a list where a number is needed"),
        ("reported", {"x": True}, "x: true or false"),
    ],
)
def test_refuses(formula, values, message):
    with pytest.raises(InvalidInput, match=message):
        value(formula, **values)


labelled = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), st.integers(0, 1)), min_size=2, max_size=30
)


@given(labelled)
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs):
    ones = [score for score, label in pairs if label]
    zeros = [score for score, label in pairs if not label]
    assume(ones and zeros)
    wins = sum((one > zero) + 0.5 * (one == zero) for one in ones for zero in zeros)
    got = value("auc", score=[s for s, _ in pairs], label=[y for _, y in pairs])
    assert got == pytest.approx(wins / len(ones) / len(zeros))


@given(labelled)
def test_ece_is_bounded_and_blind_to_order(pairs):
    confidence, correct = [p for p, _ in pairs], [y for _, y in pairs]
    got = value("ece", confidence=confidence, correct=correct)
    assert 0 <= got <= 1
    assert got == value("ece", confidence=confidence[::-1], correct=correct[::-1])
    # never below the gap of the whole, by the triangle inequality
    assert got >= abs(sum(confidence) - sum(correct)) / len(pairs) - 1e-12


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=2, max_size=20))
def test_slope_agrees_with_polyfit(points):
    x, y = [a for a, _ in points], [b for _, b in points]
    assume(np.ptp(x) > 1e-3)
    assert value("slope", x=x, y=y) == pytest.approx(np.polyfit(x, y, 1)[0], rel=1e-6, abs=1e-6)
