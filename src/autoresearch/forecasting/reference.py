"""The reference forecast: what could have been said without looking into the matter.

A forecaster shows skill only by scoring better than this. In order: a base rate that the author
stated with its reference class; the outcomes of earlier results of the same comparison in this
project; and where there are none, nothing is taken to be likelier than anything else. Each says
which it is. It is made with the prediction, before any result.
"""

from collections.abc import Iterator, Sequence
from math import sqrt
from statistics import fmean, stdev

from autoresearch.forecasting.scores import About, about_of, parse_about, resolve
from autoresearch.ports import Entry
from autoresearch.records import OUTCOMES, Check, Forecast, MetricCard, Plan, body_as

NATURAL_RANGE = {"accuracy": (0.0, 1.0), "brier": (0.0, 1.0), "auc": (0.0, 1.0), "ece": (0.0, 1.0)}
"""Of the formulas that have one."""
ROUNDING = 1e-9
"""Results that differ by less than this share of themselves are alike."""
STATED, EARLIER, UNIFORM = "reference:stated base rate", "reference:earlier results", "reference:uniform"


def earlier_results(history: Sequence[Entry], plan: Plan, *, cycle: int, attempt: int) -> list[Entry]:
    """The checks of the same metric and comparison that this project had before this attempt."""
    by_digest = {entry.digest: entry for entry in history}
    found = []
    for entry in history:
        record = entry.record
        made_from = by_digest.get(record.inputs.get("plan", "")) if record.kind == "check" else None
        if made_from is None or (record.cycle, record.attempt) >= (cycle, attempt):
            continue
        before = body_as(made_from.record, Plan)
        if (before.metric, before.contrast) == (plan.metric, plan.contrast):
            found.append(entry)
    return found


def references(forecasts: Sequence[Forecast], plan: Plan, earlier: Sequence[Check]) -> list[Forecast]:
    """One for each quantity that the author forecast, and for what a reviewer is asked."""
    arms = [arm.name for arm in plan.arms]
    asked = [about_of(f, arms) for f in forecasts]
    asked += [About("contrast"), About("event", threshold=plan.contrast.null)]
    stated = {about_of(f, arms): f for f in forecasts if f.base_rate is not None}
    made: list[Forecast] = []
    for about in dict.fromkeys(asked):
        name = f"base-{len(made) + 1}"
        given = stated.get(about)
        found = (
            _stated(given, name) if given else _earlier(about, name, earlier) or _uniform(about, name, plan)
        )
        made += [found] if found else []
    return made


def reference_for(forecast: Forecast, made: Sequence[Forecast], arms: Sequence[str]) -> Forecast | None:
    """The reference about the same quantity, if there is one."""
    about = about_of(forecast, arms)
    return next((other for other in made if parse_about(other.about, arms) == about), None)


def _stated(forecast: Forecast, name: str) -> Forecast:
    rate = forecast.base_rate
    assert rate is not None
    return Forecast(
        id=name, forecaster=STATED, shape="binary", about=forecast.about, p=rate.p,
        reasoning=f"The base rate that {forecast.forecaster} stated, of {rate.of}.",
    )  # fmt: skip


def _earlier(about: About, name: str, earlier: Sequence[Check]) -> Forecast | None:
    """From n earlier results: (k + 1) / (n + choices), or the t interval of one more value."""
    n, text = len(earlier), _text(about)
    if n == 0:
        return None
    said = f"{n} earlier result{'' if n == 1 else 's'} of this comparison in this project"
    if about.shape == "binary":
        k = sum(resolve(_probe(about), check) for check in earlier)
        return Forecast(
            id=name, forecaster=EARLIER, shape="binary", about=text, p=(k + 1) / (n + 2),
            reasoning=f"{k:.0f} of {said}, as (k + 1) / (n + 2).",
        )  # fmt: skip
    if about.shape == "categorical":
        counts = [sum(check.contrast.outcome == outcome for check in earlier) for outcome in OUTCOMES]
        total = n + len(OUTCOMES)
        return Forecast(
            id=name, forecaster=EARLIER, shape="categorical", about=text,
            categories={o: (k + 1) / total for o, k in zip(OUTCOMES, counts, strict=True)},
            reasoning=f"{said}, as (k + 1) / (n + {len(OUTCOMES)}).",
        )  # fmt: skip
    values = list(_values(about, earlier))
    if len(values) < 2:
        return None
    from scipy.stats import t

    half = float(t.ppf(0.9, len(values) - 1)) * stdev(values) * sqrt(1 + 1 / len(values))
    if half <= ROUNDING * max(map(abs, values)):
        return None  # all alike says nothing of how far the next may be
    middle = fmean(values)
    return Forecast(
        id=name, forecaster=EARLIER, shape="quantile", about=text,
        quantiles=(middle - half, middle, middle + half), reasoning=f"{said}: the t interval of one more.",
    )  # fmt: skip


def _values(about: About, earlier: Sequence[Check]) -> Iterator[float]:
    for check in earlier:
        if about.kind == "contrast":
            yield check.contrast.estimate
        else:
            yield from (arm.mean for arm in check.arms if arm.arm == about.arm)


def _uniform(about: About, name: str, plan: Plan) -> Forecast | None:
    """No value likelier than another. None where nothing bounds the values."""
    text = _text(about)
    if about.shape == "binary":
        return Forecast(
            id=name, forecaster=UNIFORM, shape="binary", about=text, p=0.5,
            reasoning="Even odds: no base rate was stated, and no earlier result is on record.",
        )  # fmt: skip
    if about.shape == "categorical":
        return Forecast(
            id=name, forecaster=UNIFORM, shape="categorical", about=text,
            categories=dict.fromkeys(OUTCOMES, 1 / len(OUTCOMES)),
            reasoning="All outcomes alike: no earlier result is on record.",
        )  # fmt: skip
    bounds = _bounds(about, plan)
    if bounds is None:
        return None
    low, high = bounds
    return Forecast(
        id=name, forecaster=UNIFORM, shape="quantile", about=text,
        quantiles=tuple(low + (high - low) * tau for tau in (0.1, 0.5, 0.9)),
        reasoning=f"Uniform over all values that are possible, {low:g} to {high:g}: no earlier result is on record.",
    )  # fmt: skip


def _bounds(about: About, plan: Plan) -> tuple[float, float] | None:
    """The least and largest possible value; None for slopes and ratios, and without stated bounds."""
    low, high = _range(plan.metric)
    if low is None or high is None or low >= high:
        return None
    if about.kind == "metric":
        return low, high
    return (low - high, high - low) if plan.contrast.form in ("paired", "unpaired") else None


def _range(metric: MetricCard) -> tuple[float | None, float | None]:
    natural = NATURAL_RANGE.get(metric.formula, (None, None))
    return (
        metric.low if metric.low is not None else natural[0],
        metric.high if metric.high is not None else natural[1],
    )


def _text(about: About) -> str:
    if about.kind == "event":
        return f"contrast {about.direction} {about.threshold!r}"
    return f"metric:{about.arm}" if about.kind == "metric" else about.kind


def _probe(about: About) -> Forecast:
    """A forecast of the event, only to ask `resolve` whether it happened."""
    return Forecast(id="event", forecaster="reference", shape="binary", about=_text(about), p=0.5)
