import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from autoresearch.analysis.contrasts import arm_summaries, contrast, outcome_of
from autoresearch.errors import InvalidInput
from autoresearch.records import OUTCOMES, Arm, Contrast

ARMS = [Arm(name="t", description="treatment"), Arm(name="c", description="control")]
TREATMENT = [0.9, 0.8, 0.95, 0.85, 0.7]
CONTROL = [0.7, 0.75, 0.8, 0.8, 0.65]


def spec(form, null=0.0, smallest_effect=0.01):
    names = {} if form == "slope" else {"treatment": "t", "control": "c"}
    return Contrast(
        form=form, null=1.0 if form == "ratio" else null, smallest_effect=smallest_effect, **names
    )


def between(form, treatment=TREATMENT, control=CONTROL, **more):
    return contrast(spec(form, **more), ARMS, {"t": treatment, "c": control})


# ------------------------------------------------------------------- outcome


@pytest.mark.parametrize(
    ("low", "high", "null", "smallest", "expected"),
    [
        (0.02, 0.05, 0, 0.01, "positive"),
        (0.001, 0.05, 0, 0.01, "positive"),
        (0.001, 0.009, 0, 0.01, "negligible"),
        (-0.01, 0.01, 0, 0.01, "negligible"),
        (-0.05, -0.02, 0, 0.01, "negative"),
        (-0.02, 0.05, 0, 0.01, "inconclusive"),
        (-0.002, 0.05, 0, 0.01, "inconclusive"),
        (0.0, 0.05, 0, 0.01, "inconclusive"),
        (1.02, 1.5, 1, 0.01, "positive"),
        (0.5, 0.9, 1, 0.01, "negative"),
        (0.5, 0.5, 0, 0.01, "positive"),
        (0.0, 0.0, 0, 0.01, "negligible"),
    ],
)
def test_outcome_table(low, high, null, smallest, expected):
    assert outcome_of(low, high, null, smallest) == expected


@pytest.mark.parametrize(
    ("low", "high", "smallest"), [(1, 0, 0.1), (0, 1, 0), (0, 1, -1), (float("nan"), 1, 1)]
)
def test_outcome_refuses_no_interval(low, high, smallest):
    with pytest.raises(InvalidInput):
        outcome_of(low, high, 0, smallest)


numbers = st.floats(-1e6, 1e6)


@given(numbers, numbers, st.integers(-3, 3), st.floats(1e-6, 1e6))
def test_outcome_is_total_and_mirrors(a, b, null, smallest):
    low, high = min(a, b), max(a, b)
    outcome = outcome_of(low, high, 0, smallest)
    assert outcome in OUTCOMES
    mirrored = {"positive": "negative", "negative": "positive"}
    assert outcome_of(-high, -low, 0, smallest) == mirrored.get(outcome, outcome)
    if outcome == "positive":
        assert low > 0
        assert high > smallest
    if outcome == "inconclusive":
        assert low <= 0 <= high
    # a wider interval never turns a sign round
    wider = outcome_of(low - 1, high + 1, 0, smallest)
    assert {outcome, wider} != {"positive", "negative"}


# ----------------------------------------------------------------- the forms


def test_paired_by_hand():
    # differences .2 .05 .15 .05 .05: mean .1, s² = .005, t(.975, 4) = 2.776445, half = 2.776445·√.001
    made = between("paired")
    assert made.estimate == pytest.approx(0.1)
    assert made.low == pytest.approx(0.1 - 2.776445 * 0.001**0.5, abs=1e-7)
    assert made.high == pytest.approx(0.1 + 2.776445 * 0.001**0.5, abs=1e-7)
    assert made.per_seed == pytest.approx([0.2, 0.05, 0.15, 0.05, 0.05])
    assert made.n == 5
    assert made.outcome == "positive"
    assert made.method == "t interval on paired differences, n = 5"


samples = st.lists(st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=2, max_size=12)


@given(st.integers(0, 10_000), st.integers(2, 15))
def test_paired_and_unpaired_agree_with_scipy(seed, n):
    rng = np.random.default_rng(seed)
    t, c = rng.normal(1, 2, n), rng.normal(0, 1, n)
    for form, reference in (
        ("paired", stats.ttest_rel(t, c)),
        ("unpaired", stats.ttest_ind(t, c, equal_var=False)),
    ):
        interval = reference.confidence_interval(0.95)
        made = between(form, t.tolist(), c.tolist())
        assert made.estimate == pytest.approx(t.mean() - c.mean())
        assert (made.low, made.high) == pytest.approx((interval.low, interval.high))


def test_ratio_brackets_the_truth_and_repeats():
    made = between("ratio", smallest_effect=0.05)
    assert made.estimate == pytest.approx(4.2 / 3.7)
    assert 1.05 < made.low < made.estimate < made.high < 1.25
    assert "BCa bootstrap" in made.method
    assert made.model_dump() == between("ratio", smallest_effect=0.05).model_dump()


def test_ratio_covers_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(60):
        control = rng.normal(1.0, 0.2, 20)
        treatment = 1.5 * control + rng.normal(0, 0.1, 20)
        made = between("ratio", treatment.tolist(), control.tolist())
        covered += made.low <= 1.5 <= made.high
    assert covered >= 51  # 57 expected; below 51 is less likely than 1 in 200


def test_ratio_of_many_seeds_takes_percentiles():
    rng = np.random.default_rng(0)
    made = between("ratio", rng.normal(2, 0.1, 1001).tolist(), rng.normal(1, 0.1, 1001).tolist())
    assert made.method.startswith("percentile bootstrap")
    assert made.low < 2 < made.high


def test_slope_by_hand():
    arms = [Arm(name=f"a{x}", description="d", x=x) for x in (0, 1, 2)]
    # seed 1: 0 1 2 → 1; seed 2: 0 2 4 → 2; mean 1.5, s² = .5, t(.975, 1) = 12.706205
    values = {"a0": [0, 0], "a1": [1, 2], "a2": [2, 4]}
    made = contrast(spec("slope"), arms, values)
    assert made.per_seed == pytest.approx([1, 2])
    assert made.estimate == pytest.approx(1.5)
    assert made.low == pytest.approx(1.5 - 12.706205 * 0.5, abs=1e-5)
    assert made.outcome == "inconclusive"


def test_slope_needs_two_x():
    arms = [Arm(name=n, description="d", x=1) for n in "ab"]
    with pytest.raises(InvalidInput, match="two different x"):
        contrast(spec("slope"), arms, {"a": [1, 2], "b": [1, 3]})


@pytest.mark.parametrize("form", ["paired", "unpaired", "ratio"])
def test_no_variance_is_said(form):
    made = between(form, [2.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    assert made.low == made.high == made.estimate == (2.0 if form == "ratio" else 1.0)
    assert made.method == "degenerate: no variance over 3 seeds"
    assert made.outcome == "positive"


def test_no_variance_of_slopes_or_of_seedwise_ratios_is_said():
    arms = [Arm(name=f"a{x}", description="d", x=x) for x in (0, 1)]
    slopes = contrast(spec("slope"), arms, {"a0": [0, 5], "a1": [1, 6]})
    assert (slopes.low, slopes.high) == (1, 1)
    assert slopes.method.startswith("degenerate")
    proportional = between("ratio", [0.3, 0.6, 0.9], [0.1, 0.2, 0.3])
    assert proportional.low == proportional.high == pytest.approx(3)
    assert proportional.method.startswith("degenerate")


def test_one_arm_without_variance_is_no_degenerate_case():
    made = between("unpaired", [1.0, 1.2, 1.4], [1.0, 1.0, 1.0])
    assert made.low < made.estimate < made.high
    assert made.method.startswith("Welch")


@pytest.mark.parametrize("form", ["paired", "unpaired", "ratio", "slope"])
def test_one_seed_has_no_interval(form):
    arms = [a.model_copy(update={"x": float(i)}) for i, a in enumerate(ARMS)]
    with pytest.raises(InvalidInput, match="one seed; set trials_per_arm to 2"):
        contrast(spec(form), arms, {"t": [1.0], "c": [2.0]})


@pytest.mark.parametrize(
    ("control", "message"),
    [
        ([-1.0, 1.0, 2.0], "on one side of zero"),
        ([0.0, 0.0, 0.0], "on one side of zero"),
        ([0.0, 0.0, 1.0], "too near zero"),
    ],
)
def test_ratio_refuses_a_control_about_zero(control, message):
    with pytest.raises(InvalidInput, match=message):
        between("ratio", [1.0, 2.0, 1.5], control)


def test_overflow_is_refused():
    with pytest.raises(InvalidInput, match="overflows"):
        between("paired", [1e308, 1e308], [-1e308, -1e307])


def test_interval_holds_the_estimate_even_if_tiny():
    for form, x in itertools.product(("paired", "unpaired"), (0.1234567890123456, 1e-17, 1e17 / 3)):
        made = between(form, [x, np.nextafter(x, 2 * x)], [0.0, 0.0])
        assert made.low <= made.estimate <= made.high


def test_arm_summaries():
    first, second = arm_summaries(ARMS, {"t": [1.0, 2.0, 3.0], "c": [4.0, 4.0, 4.0]})
    assert (first.arm, first.n, first.mean, first.sd, first.values) == ("t", 3, 2.0, 1.0, [1.0, 2.0, 3.0])
    assert second.sd == 0.0
    assert arm_summaries(ARMS[:1], {"t": [5.0]})[0].sd is None
    with pytest.raises(InvalidInput, match="overflows"):
        arm_summaries(ARMS[:1], {"t": [1e308, 1e308]})
