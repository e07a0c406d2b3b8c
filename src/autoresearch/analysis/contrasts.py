"""The one comparison that decides, and what its interval says.

Contrasts are a closed list over the metric of every trial. Trial i of every arm
was given the same seed, so arms are compared seed by seed where the form says so.
numpy and scipy are imported where they are used: `outcome_of` needs neither.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from autoresearch.analysis.inference import chance, holm
from autoresearch.errors import InvalidInput
from autoresearch.records import (
    Arm,
    ArmSummary,
    Contrast,
    ContrastResult,
    Outcome,
    SecondaryContrast,
    SecondaryResult,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LEVEL = 0.95
RESAMPLES = 9999
BOOTSTRAP_SEED = 20_251
"""Fixed, so that the interval can be computed again. Chosen before any use of it."""
BCA_MAX_TRIALS = 1000
"""The acceleration of BCa takes n² steps; above this n it no longer moves the interval."""

Values = Mapping[str, Sequence[float]]
"""Arm → the metric of its trials in order of seed index; equally many in each arm."""


def contrast(spec: Contrast, arms: Sequence[Arm], values: Values) -> ContrastResult:
    """The contrast's estimate, its 95 % interval and its outcome.

    Without any variance over n ≥ 2 seeds the interval is [estimate, estimate] and
    `method` begins with `degenerate`. An effect no larger than the noise floor is
    inconclusive, whatever its interval. Raises InvalidInput for n = 1, for a ratio whose
    control is not clearly away from zero, and for a slope over arms of one x.
    """
    made = _slope(arms, values) if spec.form == "slope" else _between_two(spec, values)
    middle, low, high, method, n, per_seed = made
    if not all(map(math.isfinite, (middle, low, high, *per_seed))):
        raise InvalidInput(f"the {spec.form} contrast overflows: the metric's values are too large")
    by_chance = chance(spec, values, per_seed)
    outcome = outcome_of(low, high, spec.null, spec.smallest_effect)
    if outcome in ("positive", "negative") and abs(middle - spec.null) <= (by_chance.noise_floor or 0):
        outcome = "inconclusive"
    return ContrastResult(
        estimate=middle,
        low=low,
        high=high,
        level=LEVEL,
        method=method,
        n=n,
        per_seed=per_seed,
        p_permutation=by_chance.p_permutation,
        p_equivalence=by_chance.p_equivalence,
        noise_floor=by_chance.noise_floor,
        outcome=outcome,
    )


def estimate(spec: Contrast, arms: Sequence[Arm], values: Values) -> float | None:
    """The contrast without an interval, of however few seeds; None where it has no value."""
    if spec.form == "slope":
        return _mean(_slopes(arms, values))
    assert spec.treatment is not None
    assert spec.control is not None
    treatment, control = _mean(values[spec.treatment]), _mean(values[spec.control])
    if spec.form == "ratio":
        return treatment / control if control else None
    return treatment - control


def secondary_contrasts(
    specs: Sequence[SecondaryContrast], arms: Sequence[Arm], values: Values
) -> list[SecondaryResult]:
    """Each with its permutation p corrected for all of them; a sign that this takes away is inconclusive."""
    made = [contrast(spec, arms, values) for spec in specs]
    corrected = holm([1.0 if (p := result.p_permutation) is None else p for result in made])
    return [
        SecondaryResult(
            **{
                **result.model_dump(),
                "outcome": "inconclusive"
                if result.outcome in ("positive", "negative") and p > 1 - LEVEL
                else result.outcome,
            },
            id=spec.id,
            p_holm=p,
        )
        for spec, result, p in zip(specs, made, corrected, strict=True)
    ]


def outcome_of(low: float, high: float, null: float, smallest_effect: float) -> Outcome:
    """What the interval [low, high] says, relative to `null` and the smallest effect of interest.

    negligible: the whole interval lies within null ± smallest effect, ends included
    (whether or not it excludes the null); else positive if low > null; negative if
    high < null; else inconclusive. Raises InvalidInput unless low ≤ high and the
    smallest effect is positive.
    """
    if not low <= high or not smallest_effect > 0:
        raise InvalidInput(f"no outcome for interval [{low}, {high}] with smallest effect {smallest_effect}")
    if null - smallest_effect <= low and high <= null + smallest_effect:
        return "negligible"
    if low > null:
        return "positive"
    return "negative" if high < null else "inconclusive"


def arm_summaries(arms: Sequence[Arm], values: Values) -> list[ArmSummary]:
    """Mean and standard deviation (n − 1) of each arm, in the plan's order."""
    return [_summary(arm.name, list(values[arm.name])) for arm in arms]


def _summary(arm: str, values: list[float]) -> ArmSummary:
    sd = math.sqrt(_variance(values)) if len(values) > 1 else None
    if not all(map(math.isfinite, (_mean(values), sd or 0.0))):
        raise InvalidInput(f"the mean of arm {arm} overflows: the metric's values are too large")
    return ArmSummary(arm=arm, n=len(values), mean=_mean(values), sd=sd, values=values)


# ------------------------------------------------------------------ the forms

_Made = tuple[float, float, float, str, int, list[float]]
"""Estimate, low, high, method, n, per seed."""


def _between_two(spec: Contrast, values: Values) -> _Made:
    assert spec.treatment is not None
    assert spec.control is not None
    treatment, control = values[spec.treatment], values[spec.control]
    n = len(treatment)
    _require_two(n, spec.form)
    if spec.form == "paired":
        differences = [t - c for t, c in zip(treatment, control, strict=True)]
        return *_t_interval(differences, "paired differences"), n, differences
    if spec.form == "unpaired":
        return *_welch(treatment, control), n, []
    return *_ratio(treatment, control, spec.control), n, []


def _slope(arms: Sequence[Arm], values: Values) -> _Made:
    """Least-squares slope of the metric on `Arm.x` over all arms, per seed; t over seeds."""
    slopes = _slopes(arms, values)
    _require_two(len(slopes), "slope")
    return *_t_interval(slopes, "slopes per seed"), len(slopes), slopes


def _slopes(arms: Sequence[Arm], values: Values) -> list[float]:
    x = [arm.x for arm in arms if arm.x is not None]
    centred = [xi - _mean(x) for xi in x]
    spread = _sum([c * c for c in centred])
    if not spread:
        raise InvalidInput(
            "the slope contrast needs arms of at least two different x; mend x in the plan's arms"
        )
    by_seed = zip(*(values[arm.name] for arm in arms), strict=True)
    return [_sum([c * y for c, y in zip(centred, ys, strict=True)]) / spread for ys in by_seed]


def _t_interval(sample: Sequence[float], what: str) -> tuple[float, float, float, str]:
    """Mean ± t(n − 1) · s/√n."""
    n = len(sample)
    estimate, variance = _mean(sample), _variance(sample)
    if variance == 0:
        return _degenerate(sample[0], n)
    half = _t_quantile(n - 1) * math.sqrt(variance / n)
    return estimate, *_around(estimate, half), f"t interval on {what}, n = {n}"


def _welch(treatment: Sequence[float], control: Sequence[float]) -> tuple[float, float, float, str]:
    """Difference of means with Welch's unequal variances and Satterthwaite's degrees of freedom."""
    n, m = len(treatment), len(control)
    estimate = _mean(treatment) - _mean(control)
    a, b = _variance(treatment) / n, _variance(control) / m
    if a + b == 0:
        return _degenerate(estimate, n)
    # Shares, since the squares of tiny variances would underflow.
    share = a / (a + b)
    df = 1 / (share**2 / (n - 1) + (1 - share) ** 2 / (m - 1))
    half = _t_quantile(df) * math.sqrt(a + b)
    return estimate, *_around(estimate, half), f"Welch t interval, n = {n} and {m}"


def _ratio(treatment: Sequence[float], control: Sequence[float], arm: str) -> tuple[float, float, float, str]:
    """Ratio of means; bootstrap over seeds, the two arms resampled together."""
    import numpy as np

    if not (min(control) >= 0 or max(control) <= 0) or _mean(control) == 0:
        raise InvalidInput(
            f"a ratio needs a control on one side of zero; {arm} is not: use a paired contrast"
        )
    t, c = np.array(treatment), np.array(control)
    n, estimate = len(t), _mean(treatment) / _mean(control)
    if np.allclose(t, estimate * c, rtol=1e-12, atol=0):  # every resample gives the same ratio
        return _degenerate(estimate, n)
    low, high, method = _bootstrap(t, c)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InvalidInput(
            f"the ratio has no interval: the mean of {arm} is too near zero; use a paired contrast"
        )
    return (
        estimate,
        _stable(low),
        _stable(high),
        f"{method} bootstrap over seeds, {RESAMPLES} resamples, n = {n}",
    )


def _bootstrap(
    treatment: "npt.NDArray[np.float64]", control: "npt.NDArray[np.float64]"
) -> tuple[float, float, str]:
    """(low, high, method); not finite where a resample of the control has mean zero."""
    import numpy as np
    from scipy import stats

    def ratio(
        t: "npt.NDArray[np.float64]", c: "npt.NDArray[np.float64]", axis: int
    ) -> "npt.NDArray[np.float64]":
        return np.asarray(t.mean(axis=axis) / c.mean(axis=axis))

    n = len(treatment)
    method: Literal["BCa", "percentile"] = "BCa" if n <= BCA_MAX_TRIALS else "percentile"
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"), warnings.catch_warnings():
        # What is not finite is refused by the caller, in its own words.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            (treatment, control),
            ratio,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=max(1, 2_000_000 // n),
            confidence_level=LEVEL,
            method=method,
            rng=np.random.default_rng(BOOTSTRAP_SEED),
        )
    if not np.isfinite(result.bootstrap_distribution).all():
        return math.nan, math.nan, method
    interval = result.confidence_interval
    return float(interval.low), float(interval.high), method


def _degenerate(value: float, n: int) -> tuple[float, float, float, str]:
    return value, value, value, f"degenerate: no variance over {n} seeds"


def _require_two(n: int, form: str) -> None:
    if n < 2:
        raise InvalidInput(
            f"the {form} contrast has no interval with one seed; set trials_per_arm to 2 or more in the plan"
        )


# ----------------------------------------------------------------- arithmetic


def _sum(sample: Sequence[float]) -> float:
    """Correctly rounded; NaN where the numbers are too large to add."""
    try:
        return math.fsum(sample)
    except (OverflowError, ValueError):
        return math.nan


def _mean(sample: Sequence[float]) -> float:
    return _sum(sample) / len(sample)


def _variance(sample: Sequence[float]) -> float:
    """With n − 1. Exactly 0 if and only if all values are equal, or too close for a double."""
    if min(sample) == max(sample):  # the rounded mean could differ from a constant
        return 0.0
    centre = _mean(sample)
    return _sum([(x - centre) * (x - centre) for x in sample]) / (len(sample) - 1)


def _t_quantile(df: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + LEVEL) / 2))


def _around(estimate: float, half: float) -> tuple[float, float]:
    """The interval estimate ± half, which holds the estimate even where rounding is coarser than it."""
    return min(estimate, _stable(estimate - half)), max(estimate, _stable(estimate + half))


def _stable(x: float) -> float:
    """Twelve significant digits: what is left of quantiles and logarithms on every machine alike."""
    return float(f"{x:.12g}")
