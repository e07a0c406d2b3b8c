"""A person's forecast in one line: `0.01 0.03 0.06`, or `0.7`."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from autoresearch.errors import InvalidInput
from autoresearch.records import Contrast, Forecast, Plan

_SEPARATORS = re.compile(r"[\s,;/]+")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(%?)")


def parse_forecast(line: str, *, name: str, forecaster: str, null: float) -> Forecast | None:
    """The forecast of the primary contrast that `line` states; None for an empty line.

    Three increasing numbers are the 10, 50 and 90 % quantiles, in the contrast's
    unit. One number between 0 and 1 (or `70%`) is the probability that the
    contrast lies above `null`. `name` becomes the forecast's id. Raises InvalidInput.
    """
    words = [word for word in _SEPARATORS.split(line.strip()) if word]
    if not words:
        return None
    numbers = [_number(word) for word in words]
    if len(numbers) == 3:
        low, middle, high = numbers
        if not low < middle < high:
            raise InvalidInput("the three numbers must increase: 10 %, 50 %, 90 %")
        return Forecast(
            id=name, forecaster=forecaster, shape="quantile", about="contrast", quantiles=(low, middle, high)
        )
    if len(numbers) == 1:
        if not 0 <= numbers[0] <= 1:
            raise InvalidInput("one number alone is a probability, from 0 to 1; a range takes three numbers")
        return Forecast(
            id=name, forecaster=forecaster, shape="binary", about=f"contrast > {null:g}", p=numbers[0]
        )
    raise InvalidInput(
        f"{len(numbers)} numbers; give three (10 %, 50 %, 90 %, with a decimal point) or one probability"
    )


_EVENT = re.compile(r"contrast\s*([<>])\s*(\S+)")
MOST_EVENTS = 2
"""Thresholds of the author's that a reviewer is asked about besides the contrast itself."""


@dataclass(frozen=True)
class Event:
    """That the contrast lies beyond a threshold."""

    above: bool
    threshold: float

    @property
    def about(self) -> str:
        return f"contrast {'>' if self.above else '<'} {self.threshold!r}"


def events(forecasts: Iterable[Forecast]) -> list[Event]:
    """The first events that the author forecast, each once, without what they said of them."""
    found = [_EVENT.fullmatch(f.about.strip()) for f in forecasts if f.shape == "binary"]
    parsed = [
        Event(event[1] == ">", float(event[2])) for event in found if event and _NUMBER.fullmatch(event[2])
    ]
    return list(dict.fromkeys(parsed))[:MOST_EVENTS]


def parse_chance(line: str, event: Event, *, name: str, forecaster: str) -> Forecast | None:
    """The probability of `event` that `line` states; None for an empty line. Raises InvalidInput."""
    if not line.strip():
        return None
    p = _number(line.strip())
    if not 0 <= p <= 1:
        raise InvalidInput("a chance is a number from 0 to 1, or 70%")
    return Forecast(id=name, forecaster=forecaster, shape="binary", about=event.about, p=p)


def _number(word: str) -> float:
    found = _NUMBER.fullmatch(word.replace("−", "-"))
    value = float(found[1]) if found else math.inf
    if not found or not math.isfinite(value):
        raise InvalidInput(f"{word!r} is not a number; three numbers like 0.01 0.03 0.06")
    return value / 100 if found[2] else value


def contrast_name(plan: Plan, contrast: Contrast | None = None) -> str:
    """The primary contrast, or another, in words, e.g. `accuracy difference (noisy - clean)`."""
    metric, contrast = plan.metric.name, contrast or plan.contrast
    if contrast.form == "slope":
        return f"slope of {metric} over the arms"
    if contrast.form == "ratio":
        return f"{metric} ratio ({contrast.treatment} / {contrast.control})"
    return f"{metric} difference ({contrast.treatment} - {contrast.control})"
