"""Vectors, and forecasters whose record is known beforehand."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from autoresearch.forecasting.calibration import (
    NEEDS,
    clopper_pearson,
    missing,
    reliability,
    sign_flip_p,
    skill,
    spiegelhalter_z,
    two_sided,
)
from autoresearch.forecasting.scores import brier, interval80, wis3

# --------------------------------------------------- vectors, to six digits


@pytest.mark.parametrize(
    ("p", "y", "mean_brier", "z"),
    [((0.2, 0.2), (1, 0), 0.34, 1.060660), ((0.4, 0.5), (1, 0), 0.305, 1.224745)],
)
def test_spiegelhalter_vectors(p, y, mean_brier, z):
    assert np.mean([brier(q, x) for q, x in zip(p, y, strict=True)]) == pytest.approx(mean_brier, abs=5e-7)
    assert spiegelhalter_z(p, y) == pytest.approx(z, abs=5e-7)


@pytest.mark.parametrize(
    ("held", "n", "low", "high"), [(5, 10, 0.187, 0.813), (11, 20, 0.315, 0.769), (0, 5, 0.0, 0.522), (5, 5, 0.478, 1.0)]
)  # fmt: skip
def test_clopper_pearson_vectors(held, n, low, high):
    assert clopper_pearson(held, n) == pytest.approx((low, high), abs=5e-4)


def test_two_sided_p_of_z():
    assert two_sided(-1.959964) == pytest.approx(0.05, abs=1e-6)


# ------------------------------------------- forecasters that are known beforehand

RUNS, N = 400, 40


def simulated(stated):
    """`RUNS` records of `N` events each: what happens follows p, `stated(p)` is what is said."""
    random = np.random.default_rng(7)
    for _ in range(RUNS):
        p = random.beta(1.5, 1.5, N)
        yield stated(p).tolist(), (random.random(N) < p).astype(float).tolist(), p.tolist()


def overconfident(p):
    """Doubled log-odds."""
    return p**2 / (p**2 + (1 - p) ** 2)


def test_a_perfect_forecaster_is_called_miscalibrated_one_time_in_twenty():
    z = [spiegelhalter_z(p, y) for p, y, _ in simulated(lambda p: p)]
    assert abs(np.mean(z)) < 3 / math.sqrt(RUNS)
    called = sum(two_sided(value) < 0.05 for value in z)
    assert binom.ppf(0.001, RUNS, 0.05) <= called <= binom.ppf(0.999, RUNS, 0.05)


def test_an_overconfident_forecaster_is_found_and_scores_worse():
    z, worse = [], []
    for p, y, true in simulated(overconfident):
        z.append(spiegelhalter_z(p, y))
        worse.append(np.mean([brier(a, x) - brier(b, x) for a, b, x in zip(p, true, y, strict=True)]))
    assert np.mean(z) > 2
    assert np.mean(np.array(z) > 1.645) > 0.6
    # proper: the expected loss is (stated − true)², whatever the truth
    expected = np.mean([np.mean((np.array(p) - true) ** 2) for p, _, true in simulated(overconfident)])
    assert np.mean(worse) == pytest.approx(expected, abs=4 * np.std(worse) / math.sqrt(RUNS))


def test_a_lazy_forecaster_scores_a_quarter_has_no_z_and_no_skill():
    for p, y, _ in simulated(lambda p: np.full_like(p, 0.5)):
        assert spiegelhalter_z(p, y) is None
        scores = [brier(q, x) for q, x in zip(p, y, strict=True)]
        assert set(scores) == {0.25}
        assert skill(scores, scores) == 0


@pytest.mark.parametrize(("width", "share"), [(1.0, 0.8), (0.5, 0.478), (2.0, 0.9896)])
def test_intervals_hold_as_often_as_their_width_says(width, share):
    """10/50/90 of a normal, and the same too narrow or too wide by a factor."""
    half = 1.2815515655446004 * width
    draws = np.random.default_rng(3).normal(size=2000)
    held = int(np.sum(np.abs(draws) <= half))
    low, high = clopper_pearson(held, 2000, level=0.999)
    assert low <= share <= high
    if width != 1:
        assert not low <= 0.8 <= high


def test_the_true_interval_scores_best():
    half = 1.2815515655446004
    draws = np.random.default_rng(5).normal(size=4000)
    by_width = {w: np.mean([wis3((-half * w, 0, half * w), y) for y in draws]) for w in (0.5, 1, 2)}
    assert min(by_width, key=by_width.get) == 1
    assert np.mean([interval80(-half, half, y) for y in draws]) < np.mean(
        [interval80(-2 * half, 2 * half, y) for y in draws]
    )


def test_clopper_pearson_covers_at_least_as_often_as_it_says():
    for share in (0.5, 0.8, 0.95):
        covered = sum(
            binom.pmf(k, 12, share)
            for k in range(13)
            if clopper_pearson(k, 12)[0] <= share <= clopper_pearson(k, 12)[1]
        )
        assert covered >= 0.95


# ------------------------------------------------------------------- the curve


def test_the_curve_of_a_perfect_forecaster_stays_inside_its_bands_and_of_an_overconfident_one_leaves_them():
    random = np.random.default_rng(11)
    p = random.beta(0.8, 0.8, 300)
    y = (random.random(300) < p).astype(float)
    honest = reliability(p.tolist(), y.tolist(), draws=300)
    assert share_inside(honest) > 0.8
    loud = reliability(overconfident(p).tolist(), y.tolist(), draws=300)
    assert share_inside(loud) < 0.7
    # the distortion keeps the order, so recalibration undoes it and all of its cost is miscalibration
    assert loud.happened == honest.happened
    worse = np.mean((overconfident(p) - y) ** 2 - (p - y) ** 2)
    assert loud.miscalibration - honest.miscalibration == pytest.approx(worse)
    assert worse > 0


def share_inside(curve):
    inside = [
        low - 1e-9 <= x <= high + 1e-9
        for low, x, high in zip(curve.low, curve.happened, curve.high, strict=True)
    ]
    return np.mean(inside)


def test_the_curve_splits_the_brier_score():
    p, y = [0.1, 0.4, 0.4, 0.6, 0.9, 0.9], [0, 1, 0, 0, 1, 1]
    curve = reliability(p, y, draws=50)
    assert curve.forecast == p
    # pooled by hand: .4 and .6 hold one success in three, and what lies above and below is in order
    assert curve.happened == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 1, 1])
    score = np.mean([brier(q, x) for q, x in zip(p, y, strict=True)])
    assert curve.miscalibration - curve.discrimination + curve.uncertainty == pytest.approx(score)
    assert curve.uncertainty == pytest.approx(0.25)


def test_the_curve_does_not_depend_on_the_order():
    p, y = [0.1, 0.4, 0.4, 0.6, 0.9], [0, 1, 0, 0, 1]
    assert reliability(p, y, draws=20).happened == reliability(p[::-1], y[::-1], draws=20).happened


# ---------------------------------------------------------------- comparisons


@pytest.mark.parametrize(
    ("differences", "p"),
    [([1.0] * 5, 2 / 32), ([1.0] * 6, 2 / 64), ([0.0] * 4, 1.0), ([1.0, -1.0], 1.0), ([3, 2, 1], 2 / 8)],
)
def test_all_sign_flips_are_counted(differences, p):
    assert sign_flip_p(differences) == pytest.approx(p)


def test_the_sign_flip_test_is_right_about_equals_and_finds_a_difference():
    random = np.random.default_rng(13)
    equal = [sign_flip_p(random.normal(0, 1, 8)) for _ in range(200)]
    called = sum(p <= 0.05 for p in equal)
    assert called <= binom.ppf(0.999, 200, 0.05)
    assert sign_flip_p(random.normal(2, 1, 12)) < 0.01


def test_no_pairs_fewer_than_needed_could_differ():
    n = NEEDS["paired comparison"]
    assert sign_flip_p([1.0] * (n - 1)) > 0.05 >= sign_flip_p([1.0] * n)


def test_what_is_missing_says_how_much():
    assert missing("reliability curve", 7) == "needs 30, has 7"
    assert missing("reliability curve", 30) == ""


def test_skill_is_one_minus_the_ratio():
    assert skill([1, 1], [2, 2]) == 0.5
    assert skill([3], [2]) == -0.5
    assert skill([1], [0]) is None
