"""How far the primary forecast was off, and what that calls for.

It works in both directions: a result too good for its forecast is as suspicious as
a bad one. A calibrated forecaster has to explain about one result in ten.
"""

import math
from statistics import NormalDist
from typing import Literal

from autoresearch.forecasting.scores import CLIP
from autoresearch.records import OUTCOMES, Acceptance, Check, Conclusion, Forecast, Surprise

EXPLAIN_P, RERUN_P = 0.10, 0.025
EXPLAIN_BITS, RERUN_BITS = 3.32, 5.32
"""−log₂ of the same two probabilities."""

_NORMAL = NormalDist()
_Z90 = _NORMAL.inv_cdf(0.9)


def surprise(forecast: Forecast, observed: float) -> Surprise:
    """The surprise of `observed` (as `scores.resolve` gives it) under `forecast`.

    Quantiles: z and two-sided p of a normal with its own width on each side of the
    median. Probabilities: bits, −log₂ of the probability given to what happened, moved
    into [0.001, 0.999].
    """
    if forecast.quantiles is not None:
        z = _z(forecast.quantiles, observed)
        # erfc, since 2(1 − Φ) would lose small p to rounding
        p = math.erfc(abs(z) / math.sqrt(2))
        return Surprise(forecast=forecast.id, z=z, p=p, verdict=_verdict(p < EXPLAIN_P, p < RERUN_P))
    bits = -math.log2(min(max(_probability(forecast, observed), CLIP[0]), CLIP[1]))
    return Surprise(
        forecast=forecast.id, bits=bits, verdict=_verdict(bits >= EXPLAIN_BITS, bits >= RERUN_BITS)
    )


def unmet(check: Check, conclusion: Conclusion, acceptance: Acceptance) -> str:
    """What an acceptance of so surprising a result lacks; empty where nothing is missing.

    Whoever sends it back or rejects it owes nothing.
    """
    if acceptance.decision not in ("accept", "follow-up") or check.surprise.verdict == "expected":
        return ""
    explained = acceptance.reason.strip() or conclusion.surprise_explained.strip()
    if not explained:
        return "the result is far from its forecast, and nobody wrote why that may be"
    if not check.surprise.needs_second_look:
        return ""
    if not check.fresh_seed_ran:
        return (
            "the result is very far from its forecast, and no fresh seed was run to check it: redo or reject"
        )
    if not acceptance.reason.strip() or not acceptance.second_look:
        return "the result is very far from its forecast, and was not looked at a second time, with a reason"
    return ""


def _z(quantiles: tuple[float, float, float], y: float) -> float:
    """(y − q50) / σ, σ = (q90 − q50)/z₉₀ above the median and (q50 − q10)/z₉₀ below it."""
    q10, q50, q90 = quantiles
    side = q90 - q50 if y >= q50 else q50 - q10
    return max(-1e300, min(1e300, (y - q50) * _Z90 / side))


def _probability(forecast: Forecast, observed: float) -> float:
    if forecast.p is not None:
        return forecast.p if observed == 1 else 1 - forecast.p
    assert forecast.categories is not None
    return forecast.categories[OUTCOMES[int(observed)]]


def _verdict(explain: bool, rerun: bool) -> Literal["expected", "explain", "rerun"]:
    if rerun:
        return "rerun"
    return "explain" if explain else "expected"
