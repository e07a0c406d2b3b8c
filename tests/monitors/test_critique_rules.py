"""Each rule of the critique fires on its fault, and the clean study passes all of them."""

from dataclasses import replace

import pytest

from autoresearch.monitors.critique_rules import RULES, critique_findings
from autoresearch.records import Critique, Idea, Ideas
from autoresearch.reporting.report_view import _ideas_view
from autoresearch.steps.ideate import ideas_from


def found(study) -> list:
    return critique_findings(study.ideas, study.critique, study.hypotheses, study.missing)


def change(study, hypothesis: str, **fields) -> None:
    """Change one hypothesis wherever it stands."""
    study.hypotheses = [h.model_copy(update=fields) if h.id == hypothesis else h for h in study.hypotheses]
    study.ideas = Ideas(
        **study.ideas.model_dump(exclude={"candidates"}),
        candidates=[Idea(**h.model_dump()) for h in study.hypotheses],
    )


def ask(study, question: str) -> None:
    study.ideas = study.ideas.model_copy(update={"question": question})


def proxy(study, **fields) -> None:
    study.critique = study.critique.model_copy(
        update={"proxy": study.critique.proxy.model_copy(update=fields)}
    )


def assumption(study, **fields) -> None:
    first, *rest = study.critique.assumptions
    study.critique = study.critique.model_copy(
        update={"assumptions": [first.model_copy(update=fields), *rest]}
    )


def alone(study) -> None:
    study.hypotheses = [h for h in study.hypotheses if h.id == "H1"]


FAULTS = {
    "proposal.section-missing": ("info", lambda s: s.missing.append("target-and-proxy")),
    "ideas.question-presumes-sign": ("warn", lambda s: ask(s, "Does weight decay delay grokking?")),
    "ideas.unrefutable": ("block", lambda s: change(s, "H1", refuted_by=[])),
    "ideas.expects-everything": ("warn", lambda s: change(s, "H3", expects=["positive", "negative", "negligible"], refuted_by=["inconclusive"])),
    "ideas.expects-nothing": ("warn", lambda s: change(s, "H2", expects=[])),
    "ideas.expects-its-refutation": ("block", lambda s: change(s, "H2", refuted_by=["negligible"])),
    "ideas.certain": ("warn", lambda s: change(s, "H2", prior=0)),
    "ideas.no-rival": ("warn", alone),
    "ideas.rival-predicts-the-same": ("warn", lambda s: change(s, "H2", expects=["positive"], refuted_by=["negative"])),
    "critique.no-assumption": ("warn", lambda s: setattr(s, "critique", Critique(assumptions=[], proxy=s.critique.proxy))),
    "critique.assumption-unbreakable": ("warn", lambda s: assumption(s, breaks_if="Nothing.")),
    "critique.assumption-open": ("warn", lambda s: assumption(s, status="open")),
    "critique.objection-unanswered": ("info", lambda s: setattr(s, "critique", s.critique.model_copy(update={"objections": [s.critique.objections[0].model_copy(update={"answer": " "})]}))),
    "critique.proxy-unstated": ("warn", lambda s: setattr(s, "critique", s.critique.model_copy(update={"proxy": None}))),
    "critique.proxy-without-disanalogy": ("warn", lambda s: proxy(s, disanalogies=["none known"])),
    "critique.proxy-is-target": ("warn", lambda s: proxy(s, proxy="committees of Language-Model graders that choose between two answers.")),
    "critique.proxy-ceiling": ("warn", lambda s: proxy(s, p_given_target=0.45, p_given_not=0.4)),
    "critique.proxy-backwards": ("warn", lambda s: proxy(s, p_given_target=0.3, p_given_not=0.6)),
}  # fmt: skip


def test_a_clean_study_has_no_findings(study):
    assert found(study) == []


def test_every_rule_has_a_fault():
    assert set(FAULTS) == {rule.name for rule in RULES}
    assert all(rule.doc for rule in RULES)


@pytest.mark.parametrize("name", FAULTS)
def test_the_rule_fires_alone(study, name):
    severity, spoil = FAULTS[name]
    spoil(study)
    findings = found(study)
    assert [(f.check, f.severity) for f in findings] == [(name, severity)]
    assert findings[0].record == next(rule.reads for rule in RULES if rule.name == name)


def test_a_rival_that_nothing_refutes_is_a_lesser_fault(study):
    change(study, "H2", refuted_by=[])
    assert [(f.check, f.severity) for f in found(study)] == [("ideas.unrefutable", "warn")]


def test_the_ceiling_is_named_and_its_bound_is_exact(study):
    proxy(study, p_given_target=0.45, p_given_not=0.4)
    assert (
        "ceiling is 1.12" in found(study)[0].explanation or "ceiling is 1.13" in found(study)[0].explanation
    )
    proxy(study, p_given_target=0.48, p_given_not=0.4)
    assert found(study) == []


@pytest.mark.parametrize(
    "question",
    [
        "Does a proxy ensemble improve selection?",
        "Will more seeds reduce the variance?",
        "Can debate increase honesty?",
        "How much does dropout help?",
        "Why does label noise hurt calibration?",
        "Is the median better than the mean?",
        "To what extent do monitors prevent collusion?",
    ],
)
def test_questions_that_presume_a_sign(study, question):
    ask(study, question)
    assert [f.check for f in found(study)] == ["ideas.question-presumes-sign"]


@pytest.mark.parametrize(
    "question",
    [
        "How does a lower learning rate change calibration?",
        "Does the ensemble improve selection or worsen it?",
        "How does accuracy depend on the number of improved graders?",
        "At which n does gold utility peak?",
        "Which of two rules picks the better answer?",
        "What is the sign of the effect of label noise on confidence?",
    ],
)
def test_questions_that_leave_it_open(study, question):
    ask(study, question)
    assert found(study) == []


def test_order_is_the_registrys(study):
    leave_nothing_to_spoil = {"ideas.no-rival", "critique.no-assumption", "critique.proxy-unstated"}
    for name in reversed(FAULTS):
        if name not in leave_nothing_to_spoil:
            FAULTS[name][1](study)
    order = [rule.name for rule in RULES]
    places = [order.index(f.check) for f in found(study)]
    assert places == sorted(places)
    assert len(set(places)) > 8


def test_what_nobody_proposed_is_called_so_and_has_no_prior(study):
    """No belief is made up for it, and it is no candidate."""
    proposal = replace(study.parsed, hypotheses=study.parsed.hypotheses[:1], rivals=study.parsed.rivals[:1])
    ideas = ideas_from(proposal)
    assert [idea.id for idea in ideas.candidates] == ["H1", "H2"]
    (more,) = ideas.unproposed
    assert (more.id, hasattr(more, "prior"), more.id in ideas.why_not) == ("REVERSED", False, False)
    assert ideas.headline() == "2 candidates, H1 chosen, 1 more not proposed"
    assert "in no plan" in _ideas_view(ideas)["candidates"][-1]["taken"]
    with pytest.raises(ValueError, match="fewer than three"):
        Ideas.model_validate({**ideas.model_dump(), "unproposed": []})
