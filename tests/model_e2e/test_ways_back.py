"""What a step that is asked again is told: the reason, the log, and what was sent back; never a forecast.

One course goes every way back that a person can send it; the tests look at what its steps were asked.
"""

import re
from dataclasses import replace

import pytest
from scripted_study import REPLIES, Study, asked

from autoresearch.errors import Pending
from autoresearch.records import PlanDraft
from autoresearch.steps.earlier_cycles import earlier_cycles
from autoresearch.testing_http import ScriptedMessagesServer
from autoresearch.testing_project import approval

CANARY = "the forecast rests on a canary"
FORECASTS = [{**forecast, "reasoning": CANARY} for forecast in REPLIES["predict"]["forecasts"]]


def edit(view):
    fields = {name: getattr(view.plan, name) for name in PlanDraft.model_fields}
    changed = PlanDraft(**fields | {"trials_per_arm": 7, "question": "Is seven enough?"})
    code = view.files["experiment/experiment.py"] + b"# by hand\n"
    files = {"experiment/experiment.py": code}
    return approval(view, "edit", "seven will do", edited=changed, edited_files=files)


DECISIONS = [
    ("reject", "fifty is too few"),  # opens attempt 2
    ("revise", "name the units"),  # 3
    edit,  # 4
    "approve",
    ("redo", "the arms were unequal"),  # 5
    "approve",
    ("revise", "say less"),  # 6
    ("follow-up", "now with heavy tails"),  # cycle 2
]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    replies = {**REPLIES, "predict": {"forecasts": FORECASTS}}
    with ScriptedMessagesServer(lambda body: replies[asked(body)[2]]) as server:
        found = Study(tmp_path_factory.mktemp("course") / "project", server)
        with pytest.raises(Pending):
            found.go(list(DECISIONS))
        yield found
        found.ledger.close()


def told(course, cycle, attempt, step):
    """What stands behind the material that all steps share."""
    (prompt,) = course.prompts(cycle, attempt, step)
    return prompt[prompt.index("# Your step") :]


def test_the_first_attempt_is_told_of_nothing(course):
    assert "What was sent back" not in told(course, 1, 1, "ideate")


def test_a_rejection_shows_the_ideas_that_were_rejected(course):
    text = told(course, 1, 2, "ideate")
    assert "From approve, reject:" in text
    assert "fifty is too few" in text
    assert '<data name="earlier ideas">' in text
    assert REPLIES["ideate"]["candidates"][0]["statement"] in text


def test_a_revision_shows_the_plan_and_the_code_to_be_revised(course):
    text = told(course, 1, 3, "plan")
    assert "From approve, revise:" in text
    assert "name the units" in text
    assert '<data name="earlier plan">' in text
    assert '<data name="earlier experiment/experiment.py">\n' in text
    assert course.prompts(1, 3, "ideate") == [], "the ideas stand"


def test_an_edit_is_the_plan_that_the_later_steps_are_given(course):
    assert course.prompts(1, 4, "plan") == [], "the person wrote it"
    (prompt,) = course.prompts(1, 4, "conclude")
    assert "## plan, attempt 4, written by person" in prompt
    assert "Is seven enough?" in prompt
    assert "# by hand" in prompt
    assert "From approve, edit:" in prompt
    assert "seven will do" in prompt


def test_a_redo_tells_the_plan_why_and_keeps_the_result_from_it(course):
    """The person says what is wrong; a number that was seen must not shape the next design."""
    (prompt,) = course.prompts(1, 5, "plan")
    text = told(course, 1, 5, "plan")
    assert "From accept, redo:" in text
    assert "the arms were unequal" in text
    assert "# by hand" in text, "the plan to be redone is the person's"
    assert not re.search(r'<data name="(result|check|conclusion)">', prompt)
    assert '"estimate"' not in prompt


def test_a_revised_conclusion_sees_itself_and_what_was_found_of_it(course):
    text = told(course, 1, 6, "conclude")
    assert "From accept, revise:" in text
    assert "say less" in text
    assert '<data name="earlier conclusion">' in text
    assert '<data name="earlier monitoring">' in text
    assert REPLIES["conclude"]["takeaway"] in text


def test_a_later_cycle_is_told_of_the_earlier_one_in_short(course):
    for step in ("ideate", "plan"):
        (prompt,) = course.prompts(2, 1, step)
        (short,) = re.findall(r'<data name="cycle 1">\n(.*?)\n</data>', prompt, re.DOTALL)
        assert REPLIES["plan"]["question"] in short
        assert f"takeaway: {REPLIES['conclude']['takeaway']}" in short
        assert "claim C1, accepted" in short
        assert "attempts: 6; records: plan@sha256:" in short
        assert len(short) < 2000
        assert "def run_trial" not in prompt, "the code of another cycle"
    assert "now with heavy tails" in told(course, 2, 1, "ideate")


def test_no_forecast_enters_a_step_that_comes_before_a_run(course):
    early = [place for place in course.asked() if place[2] in ("ideate", "critique", "plan")]
    assert [place for place in early if place[2] == "plan"] == [(1, n, "plan") for n in (1, 2, 3, 5)] + [
        (2, 1, "plan")
    ]
    assert all(CANARY not in prompt for place in early for prompt in course.prompts(*place))
    assert CANARY in course.prompts(1, 4, "conclude")[0]


def many_cycles(course, number):
    """The first cycle's records again and again."""
    first = [entry for entry in course.ledger.entries() if entry.record.cycle == 1]
    return [
        replace(entry, record=entry.record.model_copy(update={"cycle": cycle}))
        for cycle in range(1, number + 1)
        for entry in first
    ]


def test_what_is_told_of_earlier_cycles_is_bounded(course):
    told_at = {
        cycle: earlier_cycles(many_cycles(course, cycle - 1), cycle) for cycle in (1, 3, 6, 21, 60, 90)
    }
    names = {cycle: [item["name"] for item in told] for cycle, told in told_at.items()}
    assert names[1] == []
    assert names[3] == ["cycle 1", "cycle 2"]
    assert names[6] == ["cycles before", *(f"cycle {n}" for n in (2, 3, 4, 5))]
    assert told_at[6][0]["text"].startswith("cycle 1: ")
    assert "left out" not in told_at[21][0]["text"]
    assert told_at[60][0]["text"].startswith("39 before that are left out here\n")
    sizes = {cycle: sum(len(item["text"]) for item in told) for cycle, told in told_at.items()}
    assert sizes[60] == sizes[90] < 8000
    assert CANARY not in str(told_at)
