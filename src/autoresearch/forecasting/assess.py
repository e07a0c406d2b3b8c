"""A forecaster's record: what n can carry, and for the rest, why not yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean

from autoresearch.forecasting.calibration import (
    Reliability,
    clopper_pearson,
    missing,
    reliability,
    sign_flip_p,
    skill,
    spiegelhalter_z,
    two_sided,
)
from autoresearch.forecasting.track import SHAPES, Scored, Shape, hedged, one_per_result

HEADLINE: dict[Shape, str] = {"quantile": "wis3", "binary": "brier", "categorical": "brier"}
"""The rule by which two forecasters of a shape are compared."""
SHOWN: dict[Shape, tuple[str, ...]] = {
    "quantile": ("wis3", "interval80"),
    "binary": ("brier", "log"),
    "categorical": ("brier", "log", "rps"),
}


@dataclass(frozen=True)
class Means:
    """Mean scores of one shape of forecast; one forecast a result."""

    shape: Shape
    n: int
    means: dict[str, float]
    reference: dict[str, float]
    """Of the reference forecast, over those results that have one."""
    referenced: int
    skill: float | None
    lacking: str
    """Why there is nothing to show."""


@dataclass(frozen=True)
class Record:
    """Of one forecaster."""

    forecaster: str
    results: int
    forecasts: int
    after_results: int
    """How many of the results came after an earlier one of the same comparison."""
    held: int
    intervals: int
    coverage: tuple[float, float] | None
    coverage_lacking: str
    hedging: "Hedging"
    means: list[Means]
    z: float | None
    z_n: int
    z_lacking: str
    curve: Reliability | None
    curve_lacking: str

    @property
    def z_p(self) -> float | None:
        return None if self.z is None else two_sided(self.z)


@dataclass(frozen=True)
class Hedging:
    """Whether doubt in the words of a best guess goes with intervals that hold; one a result."""

    hedged: int
    """Best guesses beside an interval that take themselves back."""
    plain: int
    """The others."""
    held_hedged: int
    held_plain: int
    lacking: str
    """Why the two are not set side by side."""


@dataclass(frozen=True)
class Comparison:
    """Of two forecasters on the same quantities; a negative difference favours the first."""

    first: str
    second: str
    shape: Shape
    rule: str
    n: int
    """Results on which both forecast the same quantity."""
    difference: float | None
    p: float | None
    lacking: str = field(default="")


def records(items: Sequence[Scored]) -> list[Record]:
    names = dict.fromkeys(item.forecaster for item in items)
    return [_record(name, [item for item in items if item.forecaster == name]) for name in names]


def _record(name: str, items: Sequence[Scored]) -> Record:
    intervals = one_per_result(items, "quantile")
    held = sum(item.held for item in intervals)
    few = missing("interval of the coverage", len(intervals))
    events = one_per_result(items, "binary")
    p = [item.forecast.p or 0.0 for item in events]
    y = [item.observed for item in events]
    z_lacking = missing("Spiegelhalter Z", len(events))
    z = None if z_lacking else spiegelhalter_z(p, y)
    curve_lacking = missing("reliability curve", len(events))
    return Record(
        forecaster=name,
        results=len({item.result for item in items}),
        forecasts=len(items),
        after_results=len({item.result for item in items if item.after_results}),
        held=held,
        intervals=len(intervals),
        coverage=None if few else clopper_pearson(held, len(intervals)),
        coverage_lacking=few,
        hedging=_hedging(intervals),
        means=[_means(shape, one_per_result(items, shape)) for shape in SHAPES],
        z=z,
        z_n=len(events),
        z_lacking=z_lacking or ("" if z is not None else "every forecast is 50, 0 or 100 %"),
        curve=None if curve_lacking else reliability(p, y),
        curve_lacking=curve_lacking,
    )


def _hedging(intervals: Sequence[Scored]) -> Hedging:
    guessed = [item for item in intervals if item.forecast.best_guess.strip()]
    words = [item for item in guessed if hedged(item)]
    plain = [item for item in guessed if not hedged(item)]
    return Hedging(
        hedged=len(words),
        plain=len(plain),
        held_hedged=sum(item.held for item in words),
        held_plain=sum(item.held for item in plain),
        lacking=missing("coverage by hedging", min(len(words), len(plain))),
    )


def _means(shape: Shape, items: Sequence[Scored]) -> Means:
    items = [item for item in items if item.scores]
    few = missing("mean scores", len(items))
    compared = [item for item in items if item.reference]
    rule = HEADLINE[shape]
    return Means(
        shape=shape,
        n=len(items),
        means={} if few else {r: fmean(item.scores[r] for item in items) for r in SHOWN[shape]},
        reference={}
        if few or not compared
        else {r: fmean(item.reference[r] for item in compared) for r in SHOWN[shape]},
        referenced=len(compared),
        skill=None
        if missing("skill", len(compared))
        else skill([item.scores[rule] for item in compared], [item.reference[rule] for item in compared]),
        lacking=few,
    )


def comparisons(items: Sequence[Scored]) -> list[Comparison]:
    """Every pair of forecasters that forecast the same quantity of a result."""
    names = list(dict.fromkeys(item.forecaster for item in items))
    found = [
        _comparison(first, second, shape, items)
        for first, second in combinations(names, 2)
        for shape in SHAPES
    ]
    return [one for one in found if one.n]


def _comparison(first: str, second: str, shape: Shape, items: Sequence[Scored]) -> Comparison:
    """One difference a result: the mean over the quantities that both forecast."""
    rule = HEADLINE[shape]
    by: dict[str, dict[tuple[str, object], float]] = {first: {}, second: {}}
    for item in items:
        if item.forecaster in by and item.shape == shape and item.scores:
            by[item.forecaster].setdefault((item.result, item.about), item.scores[rule])
    differences: dict[str, list[float]] = {}
    for key in by[first].keys() & by[second].keys():
        differences.setdefault(key[0], []).append(by[first][key] - by[second][key])
    each = [fmean(differences[result]) for result in sorted(differences)]
    few = missing("paired comparison", len(each))
    return Comparison(
        first=first,
        second=second,
        shape=shape,
        rule=rule,
        n=len(each),
        difference=None if few else fmean(each),
        p=None if few else sign_flip_p(each),
        lacking=few,
    )
