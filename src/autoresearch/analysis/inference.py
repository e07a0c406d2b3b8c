"""What chance alone would do to a contrast: permutation, equivalence, the noise against itself, power.

scipy does the tests. Like the contrasts, numpy and scipy are imported where they are used.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoresearch.records import Contrast

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RESAMPLES = 9999
"""Up to 13 paired values every permutation is made, and the p value is exact."""
SPLITS = 4999
SEED = 20_252
"""Fixed, so that p values can be computed again. Chosen before any use of it."""
FEWEST_TO_SPLIT = 4
POWER = 0.8
ALPHA = 0.05

Values = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Chance:
    """See the fields of the same names of `ContrastResult`."""

    p_permutation: float
    p_equivalence: float | None
    noise_floor: float | None


def chance(spec: Contrast, values: Values, per_seed: Sequence[float]) -> Chance:
    """`per_seed`: the paired differences or slopes, where the contrast is made seed by seed."""
    return Chance(
        p_permutation=_permutation(spec, values, per_seed),
        p_equivalence=_equivalence(spec, values, per_seed),
        noise_floor=_noise_floor(spec, values, per_seed),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given."""
    ordered = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(ordered):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


# ---------------------------------------------------------------- permutation


def _permutation(spec: Contrast, values: Values, per_seed: Sequence[float]) -> float:
    """Two-sided p of swapping the arms' labels, within seeds wherever the form compares seed by seed."""
    import numpy as np
    from scipy import stats

    def mean_of(x: "npt.NDArray[np.float64]", axis: int) -> "npt.NDArray[np.float64]":
        return np.asarray(x.mean(axis=axis))

    def difference(
        x: "npt.NDArray[np.float64]", y: "npt.NDArray[np.float64]", axis: int
    ) -> "npt.NDArray[np.float64]":
        return np.asarray(x.mean(axis=axis) - y.mean(axis=axis))

    rng = np.random.default_rng(SEED)
    batch = max(1, 2_000_000 // max(map(len, values.values())))
    if spec.form == "unpaired":
        treatment, control = _two(spec, values)
        shifted = np.array(treatment) - spec.null, np.array(control)
        result = stats.permutation_test(
            shifted,
            difference,
            permutation_type="independent",
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=batch,
            rng=rng,
        )
    else:
        result = stats.permutation_test(
            (np.array(_within_seeds(spec, values, per_seed)),),
            mean_of,
            permutation_type="samples",
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=batch,
            rng=rng,
        )
    return _stable(float(result.pvalue))


def _within_seeds(spec: Contrast, values: Values, per_seed: Sequence[float]) -> list[float]:
    """What changes its sign when the labels of one seed's arms are swapped."""
    if spec.form == "ratio":  # at a ratio of 1 the arms can be exchanged, so their difference is about 0
        treatment, control = _two(spec, values)
        return [t - c for t, c in zip(treatment, control, strict=True)]
    return [value - spec.null for value in per_seed]


# ---------------------------------------------------------------- equivalence


def _equivalence(spec: Contrast, values: Values, per_seed: Sequence[float]) -> float | None:
    """Two one-sided t tests. Below .025 exactly where the whole 95 % interval lies inside the bounds.

    None for a ratio, whose interval is no t interval, and where nothing varies.
    """
    if spec.form == "ratio":
        return None
    with warnings.catch_warnings():
        # Of values that are nearly identical; what comes of them is no number, and then no p.
        warnings.simplefilter("ignore", RuntimeWarning)
        return _one_sided_tests(spec, values, per_seed)


def _one_sided_tests(spec: Contrast, values: Values, per_seed: Sequence[float]) -> float | None:
    import numpy as np
    from scipy import stats

    low, high = spec.null - spec.smallest_effect, spec.null + spec.smallest_effect
    if spec.form == "unpaired":
        treatment, control = _two(spec, values)
        if min(treatment) == max(treatment) and min(control) == max(control):
            return None
        shifted = [np.array(treatment) - bound for bound in (low, high)]
        above = float(stats.ttest_ind(shifted[0], control, equal_var=False, alternative="greater").pvalue)
        below = float(stats.ttest_ind(shifted[1], control, equal_var=False, alternative="less").pvalue)
    else:
        if min(per_seed) == max(per_seed):
            return None
        above = float(stats.ttest_1samp(np.array(per_seed), low, alternative="greater").pvalue)
        below = float(stats.ttest_1samp(np.array(per_seed), high, alternative="less").pvalue)
    p = max(above, below)
    return _stable(p) if math.isfinite(p) else None


# ---------------------------------------------------------------- noise floor


def _noise_floor(spec: Contrast, values: Values, per_seed: Sequence[float]) -> float | None:
    """The 95 % point of what comparing the noise with itself gives, at the run's own number of seeds.

    The seeds are split into two halves at random, again and again. Where the form compares seed
    by seed, the halves' differences are compared: an effect that is the same in both cancels, and
    so does what the arms of a seed share. Else the control arm is compared with itself.
    None for fewer than four seeds.
    """
    import numpy as np

    by_seed = bool(per_seed)
    sample = np.array(per_seed if by_seed else _two(spec, values)[1])
    n = len(sample)
    if n < FEWEST_TO_SPLIT:
        return None
    half, rng = n // 2, np.random.default_rng(SEED)
    splits = rng.permuted(np.broadcast_to(sample, (SPLITS, n)), axis=1)
    first, second = splits[:, :half].mean(axis=1), splits[:, half:].mean(axis=1)
    apart = np.abs(first / second - 1) if spec.form == "ratio" else np.abs(first - second)
    # Halves are noisier than the whole: bring their spread to that of a mean of n, or of two such.
    scale = math.sqrt((1 if by_seed else 2) / n / (1 / half + 1 / (n - half)))
    floor = float(np.quantile(apart, 1 - ALPHA)) * scale
    return _stable(floor) if math.isfinite(floor) else None


# ---------------------------------------------------------------------- power


def detectable_sd(form: str, n: int) -> float | None:
    """The smallest effect, in standard deviations, that n seeds an arm show with 80 % power.

    Of one seed's difference (paired) or slope, else of one arm's values; two-sided at 5 %.
    None for a ratio, and for fewer than two seeds.
    """
    if form == "ratio" or n < 2:
        return None
    from scipy.optimize import brentq
    from scipy.special import nctdtr, stdtrit

    df, per_sd = (2 * n - 2, math.sqrt(n / 2)) if form == "unpaired" else (n - 1, math.sqrt(n))
    critical = float(stdtrit(df, 1 - ALPHA / 2))

    def missed(away: float) -> float:
        """Chance of missing an effect of `away` standard errors, beyond what is put up with."""
        return float(nctdtr(df, away, critical)) - (1 - POWER)

    return _stable(float(brentq(missed, 0, 3 * critical)) / per_sd)


# -------------------------------------------------------------------- helpers


def _two(spec: Contrast, values: Values) -> tuple[Sequence[float], Sequence[float]]:
    assert spec.treatment is not None
    assert spec.control is not None
    return values[spec.treatment], values[spec.control]


def _stable(x: float) -> float:
    """Nine significant digits: what is left on every machine alike."""
    return float(f"{x:.9g}")
