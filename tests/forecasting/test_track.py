"""Forecasts across whole histories: who, on what, how it came out, and each result once."""

import math

import numpy as np
import pytest

from autoresearch.forecasting.assess import comparisons, records
from autoresearch.forecasting.scores import About
from autoresearch.forecasting.track import Scored, called, one_per_result
from autoresearch.records import Forecast
from autoresearch.reporting.forecasts_page import Gathered, forecasts_json, forecasts_lines

Z90 = 1.2815515655446004


def quantile(who, result, low, middle, high, y, **more):
    forecast = Forecast(
        id="F1", forecaster=who, shape="quantile", about="contrast", quantiles=(low, middle, high), **more
    )
    return scored(
        who, result, forecast, About("contrast"), y, {"wis3": abs(y - middle), "interval80": high - low}
    )


def binary(who, result, p, y, threshold=0.0):
    forecast = Forecast(
        id=f"B{threshold:g}", forecaster=who, shape="binary", about=f"contrast > {threshold!r}", p=p
    )
    scores = {"brier": (p - y) ** 2, "log": -math.log(p if y else 1 - p)}
    return scored(
        who,
        result,
        forecast,
        About("event", threshold=threshold),
        y,
        scores,
        {"brier": 0.25, "log": math.log(2)},
    )


def scored(who, result, forecast, about, y, scores, reference=None):
    return Scored(
        forecaster=who, forecast=forecast, about=about, observed=y, scores=scores, reference=reference or {},
        result=result, project="A study", after_results=0,
    )  # fmt: skip


def simulated(n, who="agent x", stated=lambda p: p, seed=2):
    """`n` results: an event whose chance is known, and an interval of a normal value."""
    random = np.random.default_rng(seed)
    items = []
    for k in range(n):
        p = float(random.beta(1.5, 1.5))
        y, value = float(random.random() < p), float(random.normal())
        width = Z90 * (1 if stated(p) == p else 0.5)
        items += [binary(who, f"r{k}", min(max(stated(p), 1e-6), 1 - 1e-6), y)]
        items += [quantile(who, f"r{k}", -width, 0.0, width, value)]
    return items


def overconfident(p):
    return p**2 / (p**2 + (1 - p) ** 2)


# ------------------------------------------------------------------- the record


def guesses(hedged, plain):
    """Intervals that hold where the guess is plain, and never where it is hedged."""
    words = [quantile("agent x", f"h{k}", 0, 1, 2, 5, best_guess="It may rise") for k in range(hedged)]
    return words + [quantile("agent x", f"p{k}", 0, 1, 2, 1, best_guess="It rises") for k in range(plain)]


def test_hedged_guesses_are_set_beside_how_the_intervals_held():
    page = "\n".join(forecasts_lines(Gathered(guesses(5, 6), 1, [])))
    said = "5 of 11 hedged in words; those intervals held 0 of 5 (0% to 52%), the others 6 of 6 (54% to 100%)"
    assert f"best guesses    {said}" in page


def test_too_few_hedges_are_counted_and_not_compared():
    page = "\n".join(forecasts_lines(Gathered(guesses(4, 20), 1, [])))
    assert (
        "4 of 24 hedged in words; whether that goes with calibration: needs 5, has 4 of the rarer kind"
        in page
    )
    assert "best guesses" not in "\n".join(forecasts_lines(Gathered(simulated(12), 1, [])))


def test_a_perfect_an_overconfident_and_a_lazy_forecaster_are_told_apart():
    items = (
        simulated(120)
        + simulated(120, "agent loud", overconfident)
        + simulated(120, "agent lazy", lambda _: 0.5)
    )
    honest, loud, lazy = records(items)
    assert honest.coverage[0] <= 0.8 <= honest.coverage[1]
    assert abs(honest.z) < 1.96
    assert loud.coverage[1] < 0.8
    assert loud.z > 2
    assert (lazy.z, lazy.z_lacking) == (None, "every forecast is 50, 0 or 100 %")
    by_shape = {means.shape: means for means in lazy.means}
    assert by_shape["binary"].skill == 0
    assert by_shape["binary"].means["brier"] == 0.25
    assert {m.shape: m for m in honest.means}["binary"].skill > 0.1


@pytest.mark.parametrize("n", [1, 4, 5, 9, 10, 29, 30])
def test_nothing_is_shown_that_n_cannot_carry(n):
    (record,) = records(simulated(n))
    assert (record.coverage is None) == (n < 5)
    assert (record.z is None) == (n < 10)
    assert (record.curve is None) == (n < 30)
    assert all(bool(means.means) == (n >= 5) for means in record.means if means.n)
    text = "\n".join(forecasts_lines(Gathered(simulated(n), 1, [])))
    if n < 30:
        assert f"needs 30, has {n}" in text
    if n < 10:
        assert f"needs 10, has {n}" in text
        assert "Z +" not in text
        assert "Z -" not in text
    assert f"held {record.held} of {n}" in text


def test_forecasts_about_one_result_count_once():
    items = [binary("A", "r1", 0.9, 1.0, threshold) for threshold in (0.0, 0.1, 0.2)]
    items += [quantile("A", "r1", -1, 0, 1, 0.5), quantile("A", "r1", 2, 3, 4, 0.5, primary=True)]
    assert [item.forecast.id for item in one_per_result(items, "binary")] == ["B0"]
    assert [item.held for item in one_per_result(items, "quantile")] == [False]  # the primary one
    (record,) = records(items)
    assert (record.forecasts, record.results, record.z_n, record.intervals) == (5, 1, 1, 1)


def test_agent_and_person_are_compared_on_what_both_forecast():
    items = []
    for k in range(8):
        items += [binary("agent m", f"r{k}", 0.6, 1.0), binary("Ada", f"r{k}", 0.9, 1.0)]
        items += [binary("Ada", f"r{k}", 0.1, 1.0, threshold=9.0)]  # nobody else forecast that
    items += [binary("agent m", "alone", 0.01, 1.0)]
    (one,) = comparisons(items)
    assert (one.first, one.second, one.n) == ("agent m", "Ada", 8)
    assert one.difference == pytest.approx(0.16 - 0.01)
    assert one.p == pytest.approx(2 / 2**8)
    (few,) = comparisons([item for item in items if item.result in ("r0", "r1")])
    assert (few.difference, few.p, few.lacking) == (None, None, "needs 6, has 2")
    page = "\n".join(forecasts_lines(Gathered(items, 2, ["The demo"])))
    assert "agent m and Ada, binary: Ada was nearer" in page
    assert "left out: The demo, a demonstration" in page


def test_nothing_to_show_is_said():
    assert list(forecasts_lines(Gathered([], 1, [])))[-1].startswith("No forecast has met a result yet")


def test_json_holds_the_page_and_the_items():
    found = forecasts_json(Gathered(simulated(31), 1, []))
    (who,) = found["forecasters"]
    assert (who["forecaster"], who["results"], who["z_n"]) == ("agent x", 31, 31)
    assert len(who["curve"]["forecast"]) == 31
    assert len(found["forecasts"]) == 62
    assert found["needs"]["reliability curve"] == 30


@pytest.mark.parametrize(
    ("forecaster", "name"),
    [
        ("agent", "agent some:model"),
        ("human:Ada Author", "Ada Author"),
        ("example:goodhart", "example goodhart"),
    ],
)
def test_who_it_is(forecaster, name):
    assert called(forecaster, "some:model") == name
