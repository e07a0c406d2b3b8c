"""The author's forecasts, on record before the run that they are about."""

from autoresearch.records import HUMAN, Forecast, MadeBy, Plan, Prediction, Result
from autoresearch.replies import prediction_reply
from autoresearch.steps.ask import ask
from autoresearch.steps.plan import edited_by_person
from autoresearch.steps.situation import Draft, Situation, StepPorts


def inputs(at: Situation, *, by_model: bool) -> dict[str, str]:
    return at.digests("plan") | ({} if by_model else at.sections("predictions"))


def run(at: Situation, ports: StepPorts) -> Draft:
    carried = _carried(at)
    if carried is not None:
        return carried
    if ports.model is not None:
        arms = [arm.name for arm in at.body(Plan).arms]
        reply, made_by, files = ask(at, ports, prediction_reply(arms))
        return Draft(Prediction(forecasts=reply.to_body(), after_results=_results(at)), made_by, files)
    proposal = at.proposal_body()
    who = f"example:{proposal.example}" if proposal.example else f"human:{proposal.author.name}"
    forecasts = [_by(forecast, who) for forecast in at.parsed().predictions]
    return Draft(Prediction(forecasts=forecasts, after_results=_results(at)), HUMAN)


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
    body = Prediction(
        forecasts=carried.forecasts, carried_from=last.digest, after_results=carried.after_results
    )
    made_by = last.record.made_by
    return Draft(body, MadeBy(author=made_by.author, model=made_by.model))
