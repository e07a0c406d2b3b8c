"""All forecasts that were on record before a result, whoever made them and at which gate."""

from collections.abc import Sequence

from autoresearch.ports import Entry
from autoresearch.records import Approval, Forecast, Prediction, body_as


def forecasts_on(history: Sequence[Entry], prediction: Entry) -> list[Forecast]:
    """The author's, then the reviewers', as far as they were recorded by the end of `history`."""
    return [*body_as(prediction.record, Prediction).forecasts, *reviewers_on(history, prediction)]


def reviewers_on(history: Sequence[Entry], prediction: Entry) -> list[Forecast]:
    """What reviewers forecast on this prediction, at whichever gate of its cycle they were asked.

    They are asked once: after a lost run, and after an edit that left the comparison alone, the
    gate opens again and the forecast that was given stands.
    """
    known = {entry.digest: entry for entry in history}
    chain = {prediction.digest}
    carried = body_as(prediction.record, Prediction).carried_from
    while carried is not None and carried not in chain:
        chain.add(carried)
        before = known.get(carried)
        carried = body_as(before.record, Prediction).carried_from if before else None
    found: dict[tuple[str, str], Forecast] = {}
    for entry in history:
        body = entry.record.body
        if isinstance(body, Approval) and body.bundle.prediction in chain:
            for forecast in body.forecasts:
                found.setdefault((forecast.id, forecast.forecaster), forecast)
    return list(found.values())
