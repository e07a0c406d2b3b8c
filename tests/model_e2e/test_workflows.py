"""Each shipped workflow from a free-form proposal to the report, its models' words scripted."""

import copy

import pytest
from scripted_study import FREE_FORM, REPLIES, asked

from autoresearch import assets
from autoresearch.testing_http import prompt_of
from autoresearch.verify import verify

PROPOSALS = {
    "standard": FREE_FORM,
    "weak-proxy": (
        "I fear that a watched system shifts what it reports only a little, and that averages hide it. No such\n"
        "system is at hand. Could a shift hidden in noise stand in for it, and what would that teach?\n"
    ),
    "replication": (
        "A paper reports that adding one to noisy numbers raises their mean by one (its figure 2, fifty draws).\n"
        "Reproduce that figure as stated.\n"
    ),
}
CARD = {
    "target": "Reports of a watched system",
    "proxy": "Means of normal draws",
    "dynamic": "A small shift hides in scatter",
    "disanalogies": ["Nothing here adapts to being watched."],
    "p_given_target": 0.5,
    "p_given_not": 0.5,
    "prior": 0.7,
    "reference_class": "watched systems that were looked at before",
}
NO_UPDATE = {
    "id": "C2",
    "statement": "This run moves belief about watched systems in neither direction.",
    "about": "target",
    "verdict": "no update",
    "p_before": 0.7,
    "p_after": 0.7,
    "change_our_mind": "A watched system whose reports shift by more than their scatter.",
}


def replies_of(workflow):
    """The same study, told as the workflow asks for it."""
    replies = copy.deepcopy(REPLIES)
    if workflow == "weak-proxy":
        replies["critique"]["proxy"] = CARD
        claims = replies["conclude"]["claims"]
        claims.append({**claims[0], **NO_UPDATE})
        replies["conclude"]["takeaway"] = "This does not move the question of watched systems."
    if workflow == "replication":
        replies["predict"]["forecasts"][0]["reasoning"] = "Published effects shrink when they come out again."
        replies["conclude"]["takeaway"] = "The published direction came out again."
    return replies


@pytest.mark.parametrize("workflow", assets.workflow_names())
def test_from_a_free_form_proposal_to_the_report(study, workflow):
    replies = replies_of(workflow)
    course = study(lambda body: replies[asked(body)[2]], text=PROPOSALS[workflow], workflow=workflow)
    assert course.go(["approve", "accept"]).standing == "accepted"
    assert verify(course.ledger).sound
    bodies = {entry.record.kind: entry.record.body for entry in course.ledger.entries()}
    assert bodies["proposal"].workflow.name == workflow
    assert bodies["conclusion"].takeaway == replies["conclude"]["takeaway"]
    assert [f for f in bodies["monitoring"].findings if f.severity == "block"] == []
    files = assets.workflow_files(assets.workflow_file(workflow))
    for body in course.server.requests:
        task = files[f"prompts/{asked(body)[2]}.md"].decode().split("{")[0]
        assert task in prompt_of(body)
        assert f"# This workflow: {workflow}\n" in body["system"][0]["text"]
