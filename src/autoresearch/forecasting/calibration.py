"""What a record of forecasts can carry: numbers with the n that each of them needs.

Every function wants forecasts that are independent of each other: one for each result.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.stats import beta, norm, permutation_test

NEEDS = {
    "interval of the coverage": 5,
    "coverage by hedging": 5,
    "mean scores": 5,
    "Spiegelhalter Z": 10,
    "skill": 5,
    "paired comparison": 6,
    "reliability curve": 30,
}
"""Least number of results for each. Starting values but for two: with fewer than six pairs no
sign-flip test can reach p .05 (2/2⁵ is .06), and the width of a reliability curve below thirty
forecasts hides any shape."""


def missing(what: str, n: int) -> str:
    """`needs 30, has 7`; empty if n is enough."""
    return "" if n >= NEEDS[what] else f"needs {NEEDS[what]}, has {n}"


# -------------------------------------------------------------------- coverage


def clopper_pearson(held: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share: 5 of 10 gives .187 to .813."""
    tail = (1 - level) / 2
    low = 0.0 if held == 0 else float(beta.ppf(tail, held, n - held + 1))
    high = 1.0 if held == n else float(beta.ppf(1 - tail, held + 1, n - held))
    return low, high


# ---------------------------------------------------------------------- binary


def spiegelhalter_z(p: Sequence[float], y: Sequence[float]) -> float | None:
    """Σ(y − p)(1 − 2p) / √Σ(1 − 2p)²p(1 − p): standard normal for a calibrated forecaster.

    Positive for one who is over-confident. None where every forecast is .5, 0 or 1: these
    say nothing of it.
    """
    variance = math.fsum((1 - 2 * q) ** 2 * q * (1 - q) for q in p)
    if variance == 0:
        return None
    return math.fsum((x - q) * (1 - 2 * q) for q, x in zip(p, y, strict=True)) / math.sqrt(variance)


def two_sided(z: float) -> float:
    return float(2 * norm.sf(abs(z)))


@dataclass(frozen=True)
class Reliability:
    """The CORP curve: isotonic regression of what happened on what was forecast."""

    forecast: list[float]
    """Sorted."""
    happened: list[float]
    """Recalibrated: how often it happened where so much was forecast."""
    low: list[float]
    high: list[float]
    """Where nine curves in ten of a calibrated forecaster with these forecasts lie."""
    miscalibration: float
    discrimination: float
    uncertainty: float
    """Mean Brier score = miscalibration − discrimination + uncertainty."""


def reliability(p: Sequence[float], y: Sequence[float], *, draws: int = 1000) -> Reliability:
    """Of forecasts p and outcomes y. The bands are drawn from a fixed seed."""
    order = np.argsort(p, kind="stable")
    forecast, observed = np.asarray(p, float)[order], np.asarray(y, float)[order]
    curve = _isotonic(forecast, observed)
    random = np.random.default_rng(0)
    simulated = [_isotonic(forecast, (random.random(len(forecast)) < forecast) * 1.0) for _ in range(draws)]
    low, high = np.quantile(simulated, [0.05, 0.95], axis=0)
    score, best = _brier(forecast, observed), _brier(curve, observed)
    climate = _brier(np.full_like(observed, observed.mean()), observed)
    return Reliability(
        forecast=forecast.tolist(), happened=curve.tolist(), low=low.tolist(), high=high.tolist(),
        miscalibration=score - best, discrimination=climate - best, uncertainty=climate,
    )  # fmt: skip


def _isotonic(forecast: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Equal forecasts get one value: their mean outcome, before anything is pooled."""
    _, place, counts = np.unique(forecast, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=observed) / counts
    return np.asarray(isotonic_regression(means, weights=counts).x)[place]


def _brier(p: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean((p - y) ** 2))


# ------------------------------------------------------------------ comparison


def sign_flip_p(differences: Sequence[float]) -> float:
    """Two-sided p of a mean difference of 0, the sign of each difference being free to turn.

    All 2ⁿ turns up to n = 13, else ten thousand from a fixed seed.
    """
    values = np.asarray(differences, float)
    if not values.any():
        return 1.0
    found = permutation_test(
        (values,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=10_000, alternative="two-sided", rng=np.random.default_rng(0),
    )  # fmt: skip
    return float(found.pvalue)


def skill(mine: Sequence[float], reference: Sequence[float]) -> float | None:
    """1 − mean score / mean score of the reference; above 0 is better than it. None if that scored 0."""
    total = math.fsum(reference)
    return None if total == 0 else 1 - math.fsum(mine) / total
