import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch.forecasting.surprise import surprise, unmet
from autoresearch.records import (
    OUTCOMES,
    Acceptance,
    Check,
    Conclusion,
    Forecast,
    RecheckTrial,
    Surprise,
    TrialSpec,
)


def quantile(*q):
    return Forecast(id="F1", forecaster="agent", shape="quantile", about="contrast", quantiles=q)


def binary(p):
    return Forecast(id="F1", forecaster="agent", shape="binary", about="contrast > 0", p=p)


@pytest.mark.parametrize(
    ("y", "z", "p", "verdict"),
    [
        (0.95, 2.306793, 0.021066, "rerun"),
        (0.70, -3.417471, 0.000632, "rerun"),
        (0.84, -0.427184, 0.669245, "expected"),
        # either side of the two thresholds: |z| 1.644854 and 2.241403, σ above .039015
        (0.86 + 1.64 * 0.039015, 1.64, 0.101005, "expected"),
        (0.86 + 1.65 * 0.039015, 1.65, 0.098943, "explain"),
        (0.86 + 2.24 * 0.039015, 2.24, 0.025091, "explain"),
        (0.86 + 2.25 * 0.039015, 2.25, 0.024449, "rerun"),
    ],
)
def test_quantile_vectors(y, z, p, verdict):
    made = surprise(quantile(0.80, 0.86, 0.91), y)
    assert made.z == pytest.approx(z, abs=1e-4 if abs(z) in (1.64, 1.65, 2.24, 2.25) else 5e-7)
    assert made.p == pytest.approx(p, abs=1e-5 if abs(z) in (1.64, 1.65, 2.24, 2.25) else 5e-7)
    assert made.verdict == verdict
    assert made.bits is None
    assert made.forecast == "F1"


@pytest.mark.parametrize(
    ("p", "y", "bits", "verdict"),
    [
        (0.05, 1, 4.321928, "explain"),
        (0.95, 0, 4.321928, "explain"),
        (0.5, 1, 1.0, "expected"),
        (0.101, 1, 3.307573, "expected"),
        (0.1, 1, 3.321928, "explain"),
        (0.026, 1, 5.265345, "explain"),
        (0.025, 1, 5.321928, "rerun"),
        (0.0, 1, 9.965784, "rerun"),
    ],
)
def test_binary_bits(p, y, bits, verdict):
    made = surprise(binary(p), y)
    assert made.bits == pytest.approx(bits, abs=5e-7)
    assert (made.verdict, made.z, made.p) == (verdict, None, None)


def test_categorical_bits():
    p = {"positive": 0.9, "negative": 0.04, "negligible": 0.03, "inconclusive": 0.03}
    forecast = Forecast(id="F1", forecaster="agent", shape="categorical", about="outcome", categories=p)
    assert surprise(forecast, OUTCOMES.index("positive")).verdict == "expected"
    made = surprise(forecast, OUTCOMES.index("negative"))
    assert made.bits == pytest.approx(4.643856, abs=5e-7)
    assert made.verdict == "explain"


@given(
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e3),
    st.floats(1e-3, 1e3),
    st.floats(0, 1e3),
    st.floats(0, 1e3),
)
def test_further_off_is_never_less_surprising(median, below, above, near, further):
    forecast = quantile(median - below, median, median + above)
    order = ["expected", "explain", "rerun"]
    for sign in (-1, 1):
        first = surprise(forecast, median + sign * near)
        second = surprise(forecast, median + sign * (near + further))
        assert order.index(second.verdict) >= order.index(first.verdict)


def test_any_distance_has_a_number():
    made = surprise(quantile(-5e-324, 0, 5e-324), 1e308)
    assert made.verdict == "rerun"
    assert made.p == 0


# ------------------------------------------------------- what an acceptance owes


def accepted(**fields):
    chosen = {"decision": "accept", "reason": "an odd pilot", "second_look": True, **fields}
    return Acceptance.model_construct(**chosen)


def checked(verdict, *, fresh=True):
    spec = TrialSpec(index=4, arm="a", seed=1)
    again = RecheckTrial(trial=spec, fresh=fresh, same_bytes=None if fresh else True, value=0.5)
    found = Surprise(forecast="P1", z=3.0, p=0.003, verdict=verdict)
    return Check.model_construct(surprise=found, rechecks=[again])


@pytest.mark.parametrize(
    ("verdict", "given", "told", "lacking"),
    [
        ("expected", {"reason": "", "second_look": False}, "", ""),
        ("explain", {"reason": "", "second_look": False}, "", "nobody wrote why"),
        ("explain", {"reason": "", "second_look": False}, "a slip of the pilot", ""),
        ("explain", {"second_look": False}, "", ""),
        ("rerun", {"second_look": False}, "a slip of the pilot", "second time"),
        ("rerun", {"reason": ""}, "a slip of the pilot", "with a reason"),
        ("rerun", {}, "", ""),
        ("rerun", {"decision": "redo", "reason": "again", "second_look": False}, "", ""),
        ("rerun", {"decision": "follow-up", "second_look": False}, "told", "second time"),
    ],
)
def test_an_acceptance_meets_the_surprise(verdict, given, told, lacking):
    conclusion = Conclusion.model_construct(surprise_explained=told)
    found = unmet(checked(verdict), conclusion, accepted(**given))
    assert (lacking in found) if lacking else found == ""


def test_nothing_makes_up_for_a_missing_fresh_seed():
    conclusion = Conclusion.model_construct(surprise_explained="told")
    assert "no fresh seed" in unmet(checked("rerun", fresh=False), conclusion, accepted())
