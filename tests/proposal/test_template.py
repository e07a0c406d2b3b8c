"""The shipped template, and the completion of what somebody began."""

import ast
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoresearch.errors import InvalidInput
from autoresearch.monitors.critique_rules import critique_findings
from autoresearch.monitors.preflight_rules import preflight_findings
from autoresearch.proposal import MARKER, looks_free_form, parse_proposal
from autoresearch.records import Critique, Idea, Ideas, Prediction
from autoresearch.template import complete, template


def test_the_template_passes_every_rule():
    parsed = parse_proposal(template())
    ideas = Ideas(
        question=parsed.question,
        candidates=[Idea(**h.model_dump()) for h in parsed.plan.hypotheses],
        chosen="H1",
        why="",
        why_not={"H2": "", "H3": ""},
    )
    critique = Critique(assumptions=parsed.assumptions, proxy=parsed.proxy)
    assert critique_findings(ideas, critique, parsed.plan.hypotheses, parsed.missing) == []
    prediction = Prediction(forecasts=parsed.predictions)
    assert preflight_findings(parsed.plan, prediction, critique, parsed.files) == []


def test_the_templates_experiment_runs_and_its_controls_hold():
    parsed = parse_proposal(template())
    space: dict = {}
    exec(parsed.files["experiment/experiment.py"], space)

    def shares(arm: str, seed: int) -> dict[str, float]:
        returned = space["run_trial"](arm, seed, parsed.plan.config, {})
        better = returned.pop("better")
        return {name: float((picked == better).mean()) for name, picked in returned.items()}

    first, again, other, median = (
        shares(*which) for which in (("mean", 1), ("mean", 1), ("mean", 2), ("median", 1))
    )
    assert first == again
    assert first["picked"] != other["picked"]
    assert median["picked_stray"] > first["picked_stray"] + 0.02
    assert median["picked_alone"] == first["picked_alone"]


def fill(text: str) -> str:
    """Answer every marker with something that fits."""
    return MARKER.sub("anything goes", text)


def test_a_free_form_text_is_kept_word_for_word():
    idea = 'Graders disagree.  Does it matter?\n\nWe "think" so: `x`, *y*; naïve – 5 %.\n\n\nLast line'
    completed = complete(idea)
    assert idea in completed
    assert not looks_free_form(completed)
    with pytest.raises(InvalidInput) as caught:
        parse_proposal(completed, "idea.md")
    first, *_ = str(caught.value).split("\n")
    assert first == "idea.md:1: still to be written: <fill in: a title>"
    parsed = parse_proposal(fill(completed))
    assert parsed.background.startswith("Graders disagree.")
    assert parsed.missing == []


def test_its_headings_do_not_become_sections():
    text = "# My idea\r\n\r\n## Introduction\r\nwords\r\n\r\n# Again\r\n```\r\n# code\r\n```\r\n"
    completed = complete(text)
    assert completed.startswith("# My idea\r\n")
    assert "\r\n#### Introduction\r\nwords\r\n\r\n### Again\r\n```\r\n# code\r\n```\r\n" in completed
    assert "\n" not in completed.replace("\r\n", "")
    parsed = parse_proposal(fill(completed))
    assert parsed.title == "My idea"
    assert "#### Introduction" in parsed.background


def test_a_begun_proposal_only_gets_what_it_lacks():
    begun = re.sub(r"^## (Plan|Rivals)\n.*?(?=^## )", "", template(), flags=re.DOTALL | re.MULTILINE)
    completed = complete(begun)
    assert completed.startswith(begun)
    assert re.findall(r"^## .*", completed[len(begun) :], re.MULTILINE) == ["## Rivals", "## Plan"]
    with pytest.raises(InvalidInput, match=r"still to be written"):
        parse_proposal(completed)


def test_a_complete_proposal_stays_as_it_is():
    assert complete(template()) == template()


def test_an_open_fence_cannot_be_completed():
    with pytest.raises(InvalidInput, match=r"idea\.md:3: the block opened here"):
        complete("words\n\n```\ncode", "idea.md")


def test_the_skeletons_code_parses():
    code = re.search(r"```python\n(.*?)```", complete("words"), re.DOTALL)
    assert code is not None
    ast.parse(code[1])


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(exclude_characters="#`~<\r\ufeff"), max_size=200))
def test_any_plain_text_survives_completion(text):
    completed = complete(text)
    assert text.strip("\n") in completed
    assert completed.count("\n## ") == 10
