import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch.forecasting.surprise import surprise
from autoresearch.records import OUTCOMES, Forecast


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
