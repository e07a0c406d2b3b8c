"""The closed list of formulas that turn one trial's raw arrays into one number.

Sums are made with `math.fsum`, which is correctly rounded: the same number comes
out on every machine, whatever its vector instructions. Only the worker and tests
import this module, since it imports numpy.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from autoresearch.analysis.strict_json import finite_number, finite_numbers
from autoresearch.errors import InvalidInput
from autoresearch.records import MetricCard

Vector = npt.NDArray[np.float64]

ECE_BINS = 15
"""Equal in width over [0, 1]; the number used by Guo et al., 2017."""


def metric_value(card: MetricCard, values: Mapping[str, JsonValue], trial: str) -> float:
    """The metric of one trial from everything it returned.

    `trial` names it in messages. Raises InvalidInput, naming trial and array, for an
    array that is missing, empty, of another shape than its companion, not numeric or
    not finite, and for numbers outside what the formula takes.
    """
    if card.formula == "reported":
        return _reported(card, values, trial)
    arrays = {role: _array(name, values, trial) for role, name in card.arrays.items()}
    inputs = _Inputs(arrays, card, trial)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
        result = FORMULAS[card.formula](inputs)
    if not math.isfinite(result):
        raise InvalidInput(
            f"{trial}: {card.formula} of {inputs.names()} overflows: the numbers are too large"
        )
    return result


@dataclass(frozen=True)
class _Inputs:
    """Arrays by role, with what error messages need."""

    arrays: Mapping[str, Vector]
    """Of any shape; the methods flatten."""
    card: MetricCard
    trial: str

    def one(self, role: str) -> Vector:
        return self.arrays[role].ravel()

    def two(self, first: str, second: str) -> tuple[Vector, Vector]:
        """Two arrays of equal shape, element by element. Raises InvalidInput."""
        a, b = self.arrays[first], self.arrays[second]
        if a.shape != b.shape:
            raise InvalidInput(
                f"{self.trial}: {self.card.arrays[first]} has shape {a.shape}, "
                f"{self.card.arrays[second]} has {b.shape}; they must be equal"
            )
        return a.ravel(), b.ravel()

    def unit(self, role: str) -> None:
        """Raise InvalidInput unless every number of `role` lies in [0, 1]."""
        self._each(role, lambda x: (x >= 0) & (x <= 1), "between 0 and 1")

    def binary(self, role: str) -> None:
        self._each(role, lambda x: (x == 0) | (x == 1), "0 or 1")

    def _each(self, role: str, holds: Callable[[Vector], npt.NDArray[np.bool_]], what: str) -> None:
        vector = self.one(role)
        wrong = np.flatnonzero(~holds(vector))
        if wrong.size:
            raise InvalidInput(
                f"{self.trial}: {self.card.formula} needs {self.card.arrays[role]} to be {what}; "
                f"number {wrong[0]} is {vector[wrong[0]]:g}"
            )

    def names(self) -> str:
        return ", ".join(self.card.arrays.values())


def _reported(card: MetricCard, values: Mapping[str, JsonValue], trial: str) -> float:
    """A number that the code states of itself, taken as it is."""
    name = card.arrays["x"]
    return finite_number(_named(name, values, trial), f"{trial}: {name}")


def _array(name: str, values: Mapping[str, JsonValue], trial: str) -> Vector:
    value = _named(name, values, trial)
    if not isinstance(value, list):
        raise InvalidInput(
            f"{trial}: {name} is not an array; a number that the code states of itself takes formula reported"
        )
    numbers, shape = finite_numbers(value, f"{trial}: {name}")
    if not numbers:
        raise InvalidInput(f"{trial}: {name} is empty")
    return np.array(numbers, dtype=np.float64).reshape(shape)


def _named(name: str, values: Mapping[str, JsonValue], trial: str) -> JsonValue:
    if name not in values:
        known = ", ".join(sorted(values)) or "nothing"
        raise InvalidInput(f"{trial}: run_trial returned no {name}; it returned {known[:200]}")
    return values[name]


def _total(vector: Vector) -> float:
    try:
        return math.fsum(vector.tolist())
    except (OverflowError, ValueError):  # too large; infinities of both signs
        return math.nan


def _mean_of(vector: Vector) -> float:
    return _total(vector) / vector.size


def mean(inputs: _Inputs) -> float:
    """Arithmetic mean of x, over every dimension."""
    return _mean_of(inputs.one("x"))


def accuracy(inputs: _Inputs) -> float:
    """Share of elements with prediction exactly equal to label."""
    prediction, label = inputs.two("prediction", "label")
    return _mean_of((prediction == label).astype(np.float64))


def brier(inputs: _Inputs) -> float:
    """Mean of (probability − label)², labels 0 or 1."""
    probability, label = inputs.two("probability", "label")
    inputs.unit("probability")
    inputs.binary("label")
    return _mean_of(np.square(probability - label))


def auc(inputs: _Inputs) -> float:
    """Area under the ROC curve: P(score of a 1 > score of a 0), ties counting one half.

    From midranks (Mann–Whitney): (R₁ − n₁(n₁+1)/2) / (n₁n₀), R₁ the rank sum of the ones.
    Needs both labels.
    """
    score, label = inputs.two("score", "label")
    inputs.binary("label")
    ones = float(_total(label))
    zeros = label.size - ones
    if not ones or not zeros:
        name = inputs.card.arrays["label"]
        raise InvalidInput(f"{inputs.trial}: auc needs both labels; {name} is {label[0]:g} throughout")
    rank_sum = _total(_midranks(score)[label == 1])
    return (rank_sum - ones * (ones + 1) / 2) / (ones * zeros)


def _midranks(values: Vector) -> Vector:
    """Ranks from 1; equal values share the mean of the ranks they cover."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    midrank: Vector = last - (counts - 1) / 2
    return midrank[inverse]


def ece(inputs: _Inputs) -> float:
    """Expected calibration error: Σ over bins of (n_b / n) · |mean correct − mean confidence|.

    15 bins of equal width over [0, 1], each open below and closed above; a
    confidence of 0 counts in the first.
    """
    confidence, correct = inputs.two("confidence", "correct")
    inputs.unit("confidence")
    inputs.binary("correct")
    bins = np.clip(np.ceil(confidence * ECE_BINS) - 1, 0, ECE_BINS - 1)
    gaps = [abs(_total((correct - confidence)[bins == b])) for b in range(ECE_BINS)]
    return math.fsum(gaps) / confidence.size


def rmse(inputs: _Inputs) -> float:
    """√ of the mean of (prediction − target)²."""
    prediction, target = inputs.two("prediction", "target")
    return math.sqrt(_mean_of(np.square(prediction - target)))


def quantile(inputs: _Inputs) -> float:
    """The q-quantile of x by linear interpolation between order statistics (type 7)."""
    assert inputs.card.q is not None
    return float(np.quantile(inputs.one("x"), inputs.card.q, method="linear"))


def argmax(inputs: _Inputs) -> float:
    """The x at which y is largest, the first such on ties; its index from 0 without x."""
    y = inputs.one("y")
    if "x" not in inputs.arrays:
        return float(np.argmax(y))
    x, y = inputs.two("x", "y")
    return float(x[np.argmax(y)])


def slope(inputs: _Inputs) -> float:
    """Least-squares slope of y on x: Σ(x − x̄)(y − ȳ) / Σ(x − x̄)². Needs two different x."""
    x, y = inputs.two("x", "y")
    centred = x - _mean_of(x)
    spread = _total(np.square(centred))
    if not spread:
        name = inputs.card.arrays["x"]
        raise InvalidInput(f"{inputs.trial}: slope needs two different numbers in {name}")
    return _total(centred * (y - _mean_of(y))) / spread


FORMULAS: dict[str, Callable[[_Inputs], float]] = {
    "mean": mean,
    "accuracy": accuracy,
    "brier": brier,
    "auc": auc,
    "ece": ece,
    "rmse": rmse,
    "quantile": quantile,
    "argmax": argmax,
    "slope": slope,
}
"""Every formula of `records.METRIC_ROLES` but `reported`, which takes a number, not arrays."""
