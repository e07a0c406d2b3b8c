"""The author's forecasts, on record before the run that they are about."""

from autoresearch.forecasting.reference import earlier_results, references
from autoresearch.fork import known_results
from autoresearch.ports import Entry
from autoresearch.records import HUMAN, Check, Forecast, MadeBy, Plan, Prediction, Result, body_as
from autoresearch.replies import prediction_reply
from autoresearch.steps.ask import ask
from autoresearch.steps.plan import edited_by_person
from autoresearch.steps.situation import Draft, Situation, StepPorts


def inputs(at: Situation, *, by_model: bool) -> dict[str, str]:
    earlier = {f"earlier-{n}": check.digest for n, check in enumerate(_earlier(at), 1)}
    return at.digests("plan") | earlier | ({} if by_model else at.sections("predictions"))


def run(at: Situation, ports: StepPorts) -> Draft:
    carried = _carried(at)
    if carried is not None:
        return carried
    if ports.model is not None:
        arms = [arm.name for arm in at.body(Plan).arms]
        reply, made_by, files = ask(at, ports, prediction_reply(arms))
        return Draft(_prediction(reply.to_body(), at), made_by, files)
    proposal = at.proposal_body()
    who = f"example:{proposal.example}" if proposal.example else f"human:{proposal.author.name}"
    return Draft(_prediction([_by(forecast, who) for forecast in at.parsed().predictions], at), HUMAN)


def _prediction(forecasts: list[Forecast], at: Situation) -> Prediction:
    earlier = [body_as(check.record, Check) for check in _earlier(at)]
    made = references(forecasts, at.body(Plan), earlier)
    elsewhere = [known.place for known in known_results(at.history, at.cycle) if known.completed]
    return Prediction(
        forecasts=forecasts, references=made, after_results=_results(at), known_elsewhere=elsewhere
    )


def _earlier(at: Situation) -> list[Entry]:
    return earlier_results(at.history, at.body(Plan), cycle=at.cycle, attempt=at.attempt)


def _results(at: Situation) -> list[int]:
    """Attempts of the cycle whose results whoever forecasts now could have seen."""
    return [
        entry.record.attempt
        for entry in at.history
        if entry.record.cycle == at.cycle
        and isinstance(entry.record.body, Result)
        and entry.record.body.status == "Completed"
    ]


def _by(forecast: Forecast, who: str) -> Forecast:
    return forecast.model_copy(update={"forecaster": who})


def _carried(at: Situation) -> Draft | None:
    """An edit that leaves metric, arms and contrast alone leaves the forecasts standing too."""
    if edited_by_person(at) is None:
        return None
    plans = [entry for entry in at.history if entry.record.kind == "plan" and entry.record.cycle == at.cycle]
    forecasts = [
        entry for entry in at.history if entry.record.kind == "prediction" and entry.record.cycle == at.cycle
    ]
    if len(plans) < 2 or not forecasts:
        return None
    before, after = plans[-2].record.body, plans[-1].record.body
    same = isinstance(before, Plan) and isinstance(after, Plan) and (
        (before.metric, before.arms, before.contrast) == (after.metric, after.arms, after.contrast)
    )  # fmt: skip
    last = forecasts[-1]
    if not same or not isinstance(last.record.body, Prediction):
        return None
    carried = last.record.body
    body = carried.model_copy(update={"carried_from": last.digest})
    made_by = last.record.made_by
    return Draft(body, MadeBy(author=made_by.author, model=made_by.model))
