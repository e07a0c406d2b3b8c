"""Each reply becomes its body, and what could not become one is refused in words a model can act on."""

import copy

import pytest
from pydantic import ValidationError

from autoresearch.replies import (
    ConclusionReply,
    CritiqueReply,
    IdeasReply,
    PlanReply,
    PredictionReply,
    ReportReply,
    explain,
    prediction_reply,
)

TYPES = {
    "ideate": IdeasReply,
    "critique": CritiqueReply,
    "plan": PlanReply,
    "predict": PredictionReply,
    "conclude": ConclusionReply,
    "writeup": ReportReply,
}


def test_ideas_pairs_become_the_mapping(replies):
    body = IdeasReply.model_validate(replies["ideate"]).to_body()
    assert (body.chosen, set(body.why_not)) == ("shift", {"noise", "harm"})


def test_critique_takes_the_findings_of_the_rules(replies):
    reply = CritiqueReply.model_validate(replies["critique"])
    assert reply.to_body().findings == []
    assert reply.to_body().proxy.ceiling == pytest.approx(1.5)
    replies["critique"]["proxy"] = None
    assert CritiqueReply.model_validate(replies["critique"]).to_body().proxy is None


def test_plan_keeps_kinds_of_config_values_and_files_in_bytes(replies):
    draft, files = PlanReply.model_validate(replies["plan"]).to_body()
    assert draft.config == {"n": 20, "shift": 0.5, "steps": [1, 2], "on": True}
    assert [type(draft.config[name]) for name in ("n", "shift", "on")] == [int, float, bool]
    assert draft.metric.arrays == {"x": "x"}
    assert files["experiment/experiment.py"].startswith(b"import numpy")


def test_forecasts_get_ids_forecaster_and_what_they_are_about(replies):
    made = PredictionReply.model_validate(replies["predict"]).to_body()
    assert [f.id for f in made] == ["f1", "f2", "f3", "f4"]
    assert [f.about for f in made] == ["contrast", "outcome", "contrast > 0.1", "metric:plain"]
    assert {f.forecaster for f in made} == {"agent"}
    assert [f.primary for f in made] == [True, False, False, False]


def test_conclusion_becomes_its_body(replies):
    assert ConclusionReply.model_validate(replies["conclude"]).to_body().claims[0].id == "C1"


def change(reply, path, value):
    *way, last = path
    for key in way:
        reply = reply[key]
    reply[last] = value


BAD_CODE = "def run_trial(arm, seed, config, data):\n    return {\n"

INVALID = [
    ("ideate", ("candidates", 1, "id"), "shift", "candidate ids stand twice: shift"),
    ("ideate", ("chosen",), "other", "'other', which is not a candidate"),
    ("ideate", ("why_not",), [], "why_not lacks harm, noise"),
    ("ideate", ("why_not", 0, "id"), "nobody", "nobody, which is no candidate"),
    ("ideate", ("candidates", 0, "prior"), 1.5, "candidates.0.prior: Input should be less than or equal to 1"),
    ("ideate", ("question",), "two\nlines", "question: String should match pattern"),
    ("ideate", ("extra",), 1, "extra: Extra inputs are not permitted"),
    ("critique", ("assumptions",), [], "assumptions: List should have at least 1 item"),
    ("critique", ("proxy", "p_given_not"), 0, "proxy.p_given_not: Input should be greater than 0"),
    ("plan", ("metric", "formula"), "auc", "formula auc takes arrays label, score"),
    ("plan", ("metric", "arrays"), [{"role": "x", "array": "a"}, {"role": "x", "array": "b"}], "metric roles stand twice"),
    ("plan", ("contrast", "treatment"), "ghost", "'ghost', which is not an arm"),
    ("plan", ("decision_table", 1, "outcome"), "positive", "the decision table lacks a row for negative"),
    ("plan", ("decision_table", 1, "refutes"), ["ghost"], "the decision table names unknown ghost"),
    ("plan", ("config", 1, "name"), "n", "config names stand twice: n"),
    ("plan", ("config", 0, "value"), float("nan"), "config.0.value"),
    ("plan", ("limits", "seconds"), 0, "seconds: Input should be greater than or equal to 1"),
    ("plan", ("trials_per_arm",), 0, "trials_per_arm"),
    ("plan", ("files", 0, "path"), "experiment/../x.py", "must be a plain relative path"),
    ("plan", ("files", 0, "path"), "experiment.py", "must start with experiment/"),
    ("plan", ("files", 0, "path"), "experiment/other.py", "the files lack experiment/experiment.py"),
    ("plan", ("files", 0, "content"), BAD_CODE, "experiment/experiment.py line 2"),
    ("plan", ("files", 0, "content"), "x = 1\n", "run_trial"),
    ("predict", ("forecasts", 0, "q10"), 0.9, "forecasts.0: the 10, 50 and 90 % quantiles must increase"),
    ("predict", ("forecasts", 1, "positive"), 0.5, "summing to 1"),
    ("predict", ("forecasts", 2, "p"), 1.2, "less than or equal to 1"),
    ("predict", ("forecasts", 1, "primary"), True, "exactly one forecast must have primary true"),
    ("predict", ("forecasts", 0, "primary"), False, "exactly one forecast must have primary true"),
    ("predict", ("forecasts", 0, "about"), "the effect", "not 'the effect'"),
    ("predict", ("forecasts",), [], "forecasts: List should have at least 1 item"),
    ("conclude", ("claims",), [], "claims: List should have at least 1 item"),
    ("conclude", ("does_not_show",), [], "does_not_show: List should have at least 1 item"),
    ("conclude", ("claims", 0, "grade"), "E2", "claims.0.grade: Extra inputs are not permitted"),
    ("conclude", ("claims", 0, "verdict"), "no update", "verdict no update does not fit a belief that goes from"),
    ("conclude", ("claims", 0, "verdict"), "weakened", "verdict weakened does not fit"),
    ("predict", ("forecasts", 0, "best_guess"), "two\nlines", "best_guess: String should match pattern"),
    ("writeup", ("abstract",), "", "abstract: String should have at least 1 character"),
]  # fmt: skip


@pytest.mark.parametrize(("step", "path", "value", "says"), INVALID)
def test_invalid_replies_say_what_is_wrong(replies, step, path, value, says):
    TYPES[step].model_validate(copy.deepcopy(replies[step]))  # valid before the change
    change(replies[step], path, value)
    with pytest.raises(ValidationError) as caught:
        TYPES[step].model_validate(replies[step])
    assert says in explain(caught.value)


def test_forecasts_are_held_to_the_arms_of_the_plan(replies):
    prediction_reply(["plain", "treated"]).model_validate(replies["predict"])
    with pytest.raises(ValidationError, match="contrast or metric:one or metric:two, not 'metric:plain'"):
        prediction_reply(["one", "two"]).model_validate(replies["predict"])


def test_explain_is_bounded():
    with pytest.raises(ValidationError) as caught:
        PlanReply.model_validate({})
    assert explain(caught.value, 2).splitlines()[2] == "and 12 more"
