"""A very surprising result is not accepted in passing, neither at the gate nor past it."""

from dataclasses import replace

import pytest

from autoresearch.errors import NotApproved, Pending
from autoresearch.records import HUMAN, Acceptance, Record, Reviewer, digest_of
from autoresearch.testing import PERSON
from autoresearch.testing_project import acceptance, drive, make_project


@pytest.fixture
def surprised(tmp_path, texts):
    """The shift is one, and the forecast expects none."""
    text = texts.whole.replace("[0.8, 1.0, 1.2]", "[-0.2, 0.0, 0.2]")
    ledger = make_project(tmp_path / "surprised", text)
    yield ledger
    ledger.close()


def test_an_answer_without_a_second_look_becomes_no_record(surprised, story):
    hasty = lambda view: replace(acceptance(view, "accept", "fine"), second_look=False)  # noqa: E731
    with pytest.raises(NotApproved, match="not looked at a second time"):
        drive(surprised, ["approve", hasty])
    assert story(surprised)[-1] == "monitoring 1.1"
    drive(surprised, [("accept", "the forecast forgot the shift")])
    assert story(surprised)[-1] == "report 1.1"


def test_an_acceptance_written_past_the_gate_does_not_count(surprised):
    views = []

    def leave(view):
        views.append(view)
        raise Pending("seen enough")

    with pytest.raises(Pending):
        drive(surprised, ["approve", leave])
    subject, last = views[0].subject, surprised.entries()[-1]
    body = Acceptance(
        decision="accept",
        reviewer=Reviewer(person=PERSON),
        subject=subject,
        shown=digest_of(subject),
        claims={claim.id: "accept" for claim in views[0].conclusion.claims},
        reason="fine",
        attention=acceptance(views[0], "accept").attention,
    )
    inputs = {kind: getattr(subject, kind) for kind in ("result", "check", "conclusion", "monitoring")}
    record = Record(
        kind="acceptance", cycle=1, attempt=1, step="accept", parent=last.digest, inputs=inputs, made_by=HUMAN,
        body=body,
    )  # fmt: skip
    surprised.append(record, {}, after=surprised.head(), author=PERSON)
    with pytest.raises(NotApproved, match="does not count: the result is very far"):
        drive(surprised, [])


def test_sending_it_back_owes_nothing(surprised, story):
    drive(surprised, ["approve", ("reject", "one run is too few")])
    assert story(surprised)[-1] == "report 1.1"


def test_an_expected_result_owes_nothing(project, story):
    drive(project, ["approve", "accept"])
    assert story(project)[-1] == "report 1.1"
    assert not next(e.record.body for e in project.entries() if e.record.kind == "acceptance").second_look
