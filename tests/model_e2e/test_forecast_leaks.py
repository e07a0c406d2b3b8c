"""No forecast, of agent or person, reaches a step that writes code or the container that runs it."""

import json

import pytest
from scripted_study import FREE_FORM, REPLIES, trial

from autoresearch.errors import Pending
from autoresearch.proposal import SEALED, without_predictions
from autoresearch.records import Forecast
from autoresearch.testing import FakeSandbox
from autoresearch.testing_project import approval

PROPOSED = (
    "\n## Predictions\n\nI expect 0.91237, says the canary of the proposal.\n\n## Background\n\nIt is old.\n"
)
TRACES = ("canary of", "0.91237", "0.8123", "1.0123", "1.2123", "0.77123", "about one.")
"""Of the proposal's, the agent's and the reviewer's forecasts."""
WRITES_CODE = ("ideate", "critique", "plan")


def with_forecast(view):
    own = Forecast(
        id="reviewer", forecaster="human:Rae", shape="binary", about="contrast > 0.0", p=0.77123,
        reasoning="canary of the reviewer",
    )  # fmt: skip
    return approval(view, "approve", forecasts=[own])


def test_after_a_crash_a_revision_and_a_redo_no_forecast_was_seen(study):
    course = study(text=FREE_FORM + PROPOSED)
    with pytest.raises(Pending):
        course.go([with_forecast], sandbox=FakeSandbox(trial, ending="crashed", trials_before_end=3))
    engine = FakeSandbox(trial)
    course.go(
        [
            ("revise", "say more of the noise"),
            with_forecast,
            ("redo", "with a fresh idea"),
            "approve",
            ("accept", "a second look, and called one"),
        ],
        sandbox=engine,
    )
    places = [place for place in course.asked() if place[2] in WRITES_CODE]
    assert [place[2] for place in places].count("plan") >= 4
    for place in places:
        for prompt in course.prompts(*place):
            assert not [trace for trace in TRACES if trace in prompt], place
    sent = [
        json.dumps([job.config, [data.decode() for data in job.files.values()]]) for job in engine.submitted
    ]
    assert sent
    assert not [trace for trace in TRACES if any(trace in text for text in sent)]
    # They are there for those who may know: the step that concludes sees what was predicted.
    concluded = next(place for place in course.asked() if place[2] == "conclude")
    assert "0.8123" in course.prompts(*concluded)[0]
    assert REPLIES["predict"]["forecasts"][0]["best_guess"] in course.prompts(*concluded)[0]


@pytest.mark.parametrize("heading", ["Predictions", "predictions", "Forecasts", "Prediction ##"])
def test_the_section_is_cut_to_its_end_and_nothing_else_is(heading):
    text = f"# T\n\n## Question\n\nWhy?\n\n## {heading}\n\n0.5\n\n### More\n\n0.6\n\n## Plan\n\nGo.\n"
    assert (
        without_predictions(text)
        == f"# T\n\n## Question\n\nWhy?\n\n## {heading}\n\n{SEALED}\n\n## Plan\n\nGo.\n"
    )


def test_a_text_without_the_section_stays_as_it_is():
    assert without_predictions(FREE_FORM) == FREE_FORM
    fenced = "# T\n\n```text\n## Predictions\n```\n"
    assert without_predictions(fenced) == fenced
    assert without_predictions("```\n## Predictions\n") == "```\n## Predictions\n"


def test_the_last_section_is_cut_too():
    assert without_predictions("## Predictions\n\n0.7") == f"## Predictions\n\n{SEALED}\n"
