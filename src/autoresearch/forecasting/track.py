"""Who forecast what in a project's history, and how it came out."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from autoresearch.forecasting.reference import earlier_results, reference_for
from autoresearch.forecasting.scores import About, about_of, resolve, score
from autoresearch.forecasting.sealed import forecasts_on
from autoresearch.fork import known_results
from autoresearch.hedging import hedges
from autoresearch.ports import Entry
from autoresearch.records import Check, Forecast, Plan, Prediction, Proposal, body_as

Shape = Literal["quantile", "binary", "categorical"]
SHAPES: tuple[Shape, ...] = ("quantile", "binary", "categorical")


@dataclass(frozen=True)
class Scored:
    """One forecast, and what happened."""

    forecaster: str
    """`agent <model>`, a person's name, or `example <name>`."""
    forecast: Forecast
    about: About
    observed: float
    scores: Mapping[str, float]
    """By rule; scores in the contrast's unit are divided by the smallest effect of interest."""
    reference: Mapping[str, float]
    """Those of the reference forecast of the same quantity; empty if there is none."""
    result: str
    """Digest of the check. A result that two forks share is one result."""
    project: str
    """Its title."""
    after_results: int
    """How many results of the same comparison its project had before, or the one that it was forked from."""

    @property
    def shape(self) -> Shape:
        return self.forecast.shape

    @property
    def held(self) -> bool:
        """Whether the 80 % interval of a quantile forecast holds what happened."""
        assert self.forecast.quantiles is not None
        return self.forecast.quantiles[0] <= self.observed <= self.forecast.quantiles[2]


def scored_in(history: Sequence[Entry]) -> list[Scored]:
    """Every forecast of the history that a result has scored, oldest first."""
    by_digest = {entry.digest: entry for entry in history}
    found = []
    for place, entry in enumerate(history):
        if not isinstance(entry.record.body, Check):
            continue
        plan, prediction = (by_digest[entry.record.inputs[kind]] for kind in ("plan", "prediction"))
        made = forecasts_on(history[:place], prediction)
        found += _scored(history, entry, body_as(plan.record, Plan), prediction, made)
    return found


def _scored(
    history: Sequence[Entry], entry: Entry, plan: Plan, prediction: Entry, made: Sequence[Forecast]
) -> list[Scored]:
    check = body_as(entry.record, Check)
    references = body_as(prediction.record, Prediction).references
    arms = [arm.name for arm in plan.arms]
    title = body_as(history[0].record, Proposal).title
    record = prediction.record
    before = len(earlier_results(history, plan, cycle=record.cycle, attempt=record.attempt))
    known = known_results(history[: history.index(prediction)], record.cycle)
    before += sum(one.completed and one.comparison == plan.comparison for one in known)
    found = []
    for forecast in made:
        observed, about = resolve(forecast, check), about_of(forecast, arms)
        reference = reference_for(forecast, references, arms)
        found.append(
            Scored(
                forecaster=called(forecast.forecaster, record.made_by.model),
                forecast=forecast,
                about=about,
                observed=observed,
                scores=_in_effects(forecast, observed, about, plan),
                reference=_in_effects(reference, observed, about, plan) if reference else {},
                result=entry.digest,
                project=title,
                after_results=before,
            )
        )
    return found


def called(forecaster: str, model: str) -> str:
    """Who it is, across projects. An agent is the model that it is."""
    if forecaster == "agent":
        return f"agent {model}"
    kind, _, name = forecaster.partition(":")
    return name if kind == "human" else f"{kind} {name}"


def _in_effects(forecast: Forecast, observed: float, about: About, plan: Plan) -> dict[str, float]:
    """Scores that can be averaged over studies with other units.

    Those of quantiles are divided by the plan's smallest effect of interest, which was fixed before
    the run, so that the rule stays proper. A single arm's metric has no such size where the contrast
    is a ratio or a slope, and gets no score here.
    """
    made: dict[str, float] = {one.rule: one.value for one in score(forecast, observed)}
    if forecast.shape != "quantile":
        return made
    if about.kind == "metric" and plan.contrast.form not in ("paired", "unpaired"):
        return {}
    return {rule: value / plan.contrast.smallest_effect for rule, value in made.items()}


def hedged(item: Scored) -> bool:
    """Whether its best guess takes itself back in words."""
    return any(hedges(item.forecast.best_guess))


def each_result_once(histories: Iterable[Sequence[Entry]]) -> list[Scored]:
    """The forecasts of several projects. What forks share is counted once."""
    found: dict[tuple[str, str, str], Scored] = {}
    for history in histories:
        for item in scored_in(history):
            found.setdefault((item.result, item.forecaster, item.forecast.id), item)
    return list(found.values())


def one_per_result(items: Iterable[Scored], shape: Shape) -> list[Scored]:
    """At most one forecast of a shape for each result: the primary, else of the contrast, else the first.

    Forecasts about one result come true or false together, and would count as more than they are.
    """
    best: dict[str, Scored] = {}
    for item in items:
        if item.shape == shape and (item.result not in best or _rank(item) < _rank(best[item.result])):
            best[item.result] = item
    return list(best.values())


def _rank(item: Scored) -> tuple[bool, bool]:
    return not item.forecast.primary, item.about.kind == "metric"


def coverage_line(history: Sequence[Entry], names: Collection[str]) -> str:
    """`80 % intervals have held 7 of 12 results`; empty before the first."""
    theirs = [item for item in scored_in(history) if item.forecaster in names]
    intervals = one_per_result(theirs, "quantile")
    if not intervals:
        return ""
    held = sum(item.held for item in intervals)
    return f"80 % intervals have held {held} of {len(intervals)} result{'' if len(intervals) == 1 else 's'}"
