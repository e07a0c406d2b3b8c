"""What a forecast is about, what happened, and proper scores of one against the other.

Lower is better, logarithms are natural. Each rule is proper: nobody lowers the
expected score by stating anything but what they believe.
"""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from autoresearch.errors import InvalidInput
from autoresearch.records import OUTCOMES, ArmSummary, ContrastResult, Forecast, Outcome, Score

CLIP = (0.001, 0.999)
"""Probabilities are moved into this range before a logarithm: no forecast scores infinity."""

RPS_ORDER: tuple[tuple[Outcome, ...], ...] = (("negative",), ("negligible", "inconclusive"), ("positive",))
"""Outcomes by direction, for the ranked probability score.

Negligible and inconclusive share the middle: neither shows a direction, and there is
no sense in which one of them is nearer to positive. So confusing these two costs
nothing in `rps`; `brier` and `log` tell them apart.
"""

# ------------------------------------------------------- what it is about


@dataclass(frozen=True)
class About:
    """The quantity that a forecast is about."""

    kind: Literal["contrast", "metric", "outcome", "event"]
    arm: str = ""
    """With `metric`."""
    direction: Literal[">", "<"] = ">"
    """With `event`: the contrast lies above, or below, `threshold`."""
    threshold: float = 0.0

    @property
    def shape(self) -> Literal["binary", "quantile", "categorical"]:
        """The only shape of forecast that fits."""
        if self.kind == "event":
            return "binary"
        return "categorical" if self.kind == "outcome" else "quantile"


_EVENT = re.compile(r"contrast\s*([<>])\s*(\S+)")


def parse_about(text: str, arms: Collection[str]) -> About:
    """`contrast`, `metric:<arm>`, `outcome`, `contrast > x` or `contrast < x`.

    Raises InvalidInput, naming these forms or the plan's arms, for anything else.
    """
    stripped = text.strip()
    if stripped == "contrast":
        return About("contrast")
    if stripped == "outcome":
        return About("outcome")
    if stripped.startswith("metric:"):
        arm = stripped.removeprefix("metric:").strip()
        if arm not in arms:
            raise InvalidInput(f"a forecast is about metric:{arm}, but the arms are {', '.join(arms)}")
        return About("metric", arm=arm)
    event = _EVENT.fullmatch(stripped)
    threshold = _finite(event[2]) if event else None
    if event is None or threshold is None:
        raise InvalidInput(
            f"a forecast is about {stripped!r}; known forms: contrast, metric:<arm>, outcome, "
            "and with a probability: contrast > 0.02, contrast < 0"
        )
    return About("event", direction=">" if event[1] == ">" else "<", threshold=threshold)


def about_of(forecast: Forecast, arms: Collection[str]) -> About:
    """`parse_about` of the forecast's text. Raises InvalidInput too if its shape does not fit."""
    about = parse_about(forecast.about, arms)
    if about.shape != forecast.shape:
        needed = {"binary": "p", "quantile": "quantiles", "categorical": "categories"}
        raise InvalidInput(
            f"forecast {forecast.id} is about {forecast.about}, which takes {needed[about.shape]}, "
            f"not {needed[forecast.shape]}"
        )
    return about


def _finite(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


# --------------------------------------------------------------- what happened


class Observed(Protocol):
    """Where the numbers stand: a `Check` record, or what `analysis.worker.compute` returns."""

    @property
    def arms(self) -> list[ArmSummary]: ...
    @property
    def contrast(self) -> ContrastResult: ...


def resolve(forecast: Forecast, computed: Observed) -> float:
    """What happened, as a number: the contrast's estimate, the arm's mean, 0 or 1 for an
    event (1 strictly beyond the threshold), or the outcome's index in `OUTCOMES`.

    Raises InvalidInput as `about_of` does.
    """
    means = {arm.arm: arm.mean for arm in computed.arms}
    about = about_of(forecast, means)
    if about.kind == "metric":
        return means[about.arm]
    if about.kind == "outcome":
        return float(OUTCOMES.index(computed.contrast.outcome))
    estimate = computed.contrast.estimate
    if about.kind == "contrast":
        return estimate
    return float(estimate > about.threshold if about.direction == ">" else estimate < about.threshold)


# ---------------------------------------------------------------------- scores


def score(forecast: Forecast, observed: float) -> list[Score]:
    """Every score that the forecast's shape allows, against `observed` of `resolve`."""
    return [
        Score(forecast=forecast.id, forecaster=forecast.forecaster, rule=rule, value=value, observed=observed)
        for rule, value in _scores(forecast, observed)
    ]


_Rule = Literal["brier", "log", "pinball10", "pinball50", "pinball90", "interval80", "wis3", "rps"]


def _scores(forecast: Forecast, observed: float) -> list[tuple[_Rule, float]]:
    if forecast.p is not None:
        return [("brier", brier(forecast.p, observed)), ("log", log_score(_p_of(forecast.p, observed)))]
    if forecast.quantiles is not None:
        return _quantile_scores(forecast.quantiles, observed)
    assert forecast.categories is not None
    p = [forecast.categories[outcome] for outcome in OUTCOMES]
    return [
        ("brier", multi_brier(p, int(observed))),
        ("log", log_score(p[int(observed)])),
        ("rps", _outcome_rps(forecast.categories, OUTCOMES[int(observed)])),
    ]


def _quantile_scores(quantiles: tuple[float, float, float], y: float) -> list[tuple[_Rule, float]]:
    q10, q50, q90 = quantiles
    return [
        ("pinball10", pinball(q10, y, 0.1)),
        ("pinball50", pinball(q50, y, 0.5)),
        ("pinball90", pinball(q90, y, 0.9)),
        ("interval80", interval80(q10, q90, y)),
        ("wis3", wis3(quantiles, y)),
    ]


def _p_of(p: float, observed: float) -> float:
    """The probability given to what happened."""
    return p if observed == 1 else 1 - p


def _outcome_rps(categories: dict[Outcome, float], observed: Outcome) -> float:
    p = [sum(categories[outcome] for outcome in group) for group in RPS_ORDER]
    return rps(p, next(k for k, group in enumerate(RPS_ORDER) if observed in group))


def brier(p: float, y: float) -> float:
    """(p − y)², y 0 or 1."""
    return (p - y) ** 2


def multi_brier(p: Sequence[float], observed: int) -> float:
    """Σₖ (pₖ − oₖ)², from 0 to 2; not halved, so twice `brier` for two categories."""
    return math.fsum((pk - (k == observed)) ** 2 for k, pk in enumerate(p))


def log_score(p: float) -> float:
    """−ln of the probability given to what happened, moved into CLIP."""
    return -math.log(min(max(p, CLIP[0]), CLIP[1]))


def pinball(q: float, y: float, tau: float) -> float:
    """τ(y − q) for y ≥ q, else (1 − τ)(q − y)."""
    return tau * (y - q) if y >= q else (1 - tau) * (q - y)


def interval80(low: float, high: float, y: float) -> float:
    """Width, plus 2/α = 10 times the distance by which y lies outside."""
    return (high - low) + 10 * (max(low - y, 0.0) + max(y - high, 0.0))


def wis3(quantiles: tuple[float, float, float], y: float) -> float:
    """Weighted interval score of 10/50/90: (|y − q50|/2 + 0.1·interval80) / 1.5.

    Two thirds of the sum of the three pinball losses. With three quantiles this is not
    yet the CRPS, hence the name.
    """
    low, middle, high = quantiles
    return (0.5 * abs(y - middle) + 0.1 * interval80(low, high, y)) / 1.5


def rps(p: Sequence[float], observed: int) -> float:
    """Ranked probability score Σₖ (Fₖ − Oₖ)² over ordered categories, not divided by their number."""
    total = cumulative = 0.0
    for k, pk in enumerate(p[:-1]):
        cumulative += pk
        total += (cumulative - (k >= observed)) ** 2
    return total
