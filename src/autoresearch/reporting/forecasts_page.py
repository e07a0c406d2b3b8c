"""What `forecasts` prints: each forecaster's record, as far as n carries it, and why no further."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from pydantic import JsonValue

from autoresearch.forecasting.assess import Comparison, Hedging, Means, Record, comparisons, records
from autoresearch.forecasting.calibration import NEEDS, clopper_pearson
from autoresearch.forecasting.track import Scored
from autoresearch.records import count
from autoresearch.reporting.text import number
from autoresearch.safe_text import escape

_UNIT = {
    "quantile": "10/50/90 forecasts, in smallest effects of interest",
    "binary": "probabilities of an event",
    "categorical": "probabilities of the four outcomes",
}


@dataclass(frozen=True)
class Gathered:
    """The forecasts of some projects."""

    items: Sequence[Scored]
    projects: int
    left_out: Sequence[str]
    """Titles of demonstrations: nobody decided or forecast anything in them."""


def forecasts_lines(gathered: Gathered) -> Iterator[str]:
    yield f"{count(len({item.result for item in gathered.items}), 'result')} in {count(gathered.projects, 'project')}"
    for title in gathered.left_out:
        yield f"left out: {escape(title)}, a demonstration that no person took part in"
    if not gathered.items:
        yield "No forecast has met a result yet: there is something to see after the first experiment's check."
        return
    for record in records(gathered.items):
        yield ""
        yield from _record_lines(record)
    compared = comparisons(gathered.items)
    if compared:
        yield ""
        yield "Who was nearer, on the same quantities"
        for one in compared:
            yield f"  {_compared(one)}"
    yield ""
    yield "Lower scores are better. One forecast of each kind counts for a result, since those about one"
    yield "result come true together. Skill is 1 - score / reference: what anybody could have said scores 0."


def _record_lines(record: Record) -> Iterator[str]:
    yield f"{escape(record.forecaster)}: {count(record.forecasts, 'forecast')} on {count(record.results, 'result')}"
    if record.after_results:
        yield f"  {record.after_results} of them after an earlier result of the same comparison"
    yield f"  80 % intervals  {_coverage(record)}"
    if record.hedging.hedged + record.hedging.plain:
        yield f"  best guesses    {_hedged(record.hedging)}"
    for means in record.means:
        if means.n:
            yield f"  {means.shape:<15} {_means(means)}"
    if record.z_n:
        yield f"  calibration     {_calibration(record)}"
        yield f"  curve           {_curve(record)}"


def _coverage(record: Record) -> str:
    if record.intervals == 0:
        return "none stated"
    held = f"held {record.held} of {record.intervals}"
    if record.coverage is None:
        return f"{held}; no interval for that: {record.coverage_lacking}"
    low, high = record.coverage
    verdict = ""
    if high < 0.8:
        verdict = ": too narrow"
    elif low > 0.8:
        verdict = ": too wide"
    return f"{held}, so between {low:.0%} and {high:.0%} (95 % Clopper-Pearson){verdict}"


def _hedged(hedging: Hedging) -> str:
    words, plain = hedging.hedged, hedging.plain
    told = f"{words} of {words + plain} hedged in words"
    if hedging.lacking:
        return f"{told}; whether that goes with calibration: {hedging.lacking} of the rarer kind"
    low, high = clopper_pearson(hedging.held_hedged, words)
    least, most = clopper_pearson(hedging.held_plain, plain)
    return (
        f"{told}; those intervals held {hedging.held_hedged} of {words} ({low:.0%} to {high:.0%}), "
        f"the others {hedging.held_plain} of {plain} ({least:.0%} to {most:.0%})"
    )


def _means(means: Means) -> str:
    if means.lacking:
        return f"n {means.n}; no mean scores: {means.lacking}"
    scores = ", ".join(f"{rule} {number(value)}" for rule, value in means.means.items())
    text = f"n {means.n}, {scores}  ({_UNIT[means.shape]})"
    if means.skill is None:
        return f"{text}; skill needs {NEEDS['skill']} results with a reference, has {means.referenced}"
    return f"{text}; skill {means.skill:+.2f} on {means.referenced}"


def _calibration(record: Record) -> str:
    if record.z is None or record.z_p is None:
        return f"Spiegelhalter Z {'unknown: ' + record.z_lacking if record.z_n >= NEEDS['Spiegelhalter Z'] else record.z_lacking}"
    leaning = "over-confident" if record.z > 0 else "under-confident"
    told = f"{leaning}" if record.z_p < 0.05 else "no sign of over- or under-confidence"
    return f"Spiegelhalter Z {record.z:+.2f}, p {number(record.z_p, 2)}, n {record.z_n}: {told}"


def _curve(record: Record) -> str:
    if record.curve is None:
        return record.curve_lacking
    c = record.curve
    return (
        f"CORP, n {record.z_n}: miscalibration {number(c.miscalibration, 2)}, discrimination "
        f"{number(c.discrimination, 2)}, uncertainty {number(c.uncertainty, 2)}; --figure draws it"
    )


def _compared(one: Comparison) -> str:
    pair = f"{escape(one.first)} and {escape(one.second)}, {one.shape}"
    if one.difference is None or one.p is None:
        return f"{pair}: {one.lacking}"
    if one.p >= 0.05:
        told = "not told apart"
    else:
        told = f"{escape(one.first if one.difference < 0 else one.second)} was nearer"
    return f"{pair}: {told} ({one.rule} {one.difference:+.3g}, sign-flip p {number(one.p, 2)}, n {one.n})"


def forecasts_json(gathered: Gathered) -> dict[str, JsonValue]:
    """Everything the page says, and the items behind it."""
    return {
        "projects": gathered.projects,
        "left_out": list(gathered.left_out),
        "needs": dict(NEEDS),
        "forecasters": [{**asdict(record), "z_p": record.z_p} for record in records(gathered.items)],
        "comparisons": [asdict(one) for one in comparisons(gathered.items)],
        "forecasts": [_item(item) for item in gathered.items],
    }


def _item(item: Scored) -> dict[str, JsonValue]:
    return {
        "forecaster": item.forecaster,
        "project": item.project,
        "result": item.result,
        "forecast": item.forecast.model_dump(mode="json", exclude={"forecaster", "reasoning"}),
        "observed": item.observed,
        "scores": dict(item.scores),
        "reference": dict(item.reference),
        "after_results": item.after_results,
    }
