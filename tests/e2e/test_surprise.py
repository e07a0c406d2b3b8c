"""A prediction that fails badly holds the accept gate, on a real terminal, with a real run behind it."""

import pytest

pytestmark = pytest.mark.docker

WRONG = ("quantiles: [0.8, 1.0, 1.2]", "quantiles: [-0.2, 0.0, 0.2]")
"""The shift is one; this forecaster expects none."""


def test_a_failed_prediction_is_looked_at_twice_and_explained(desk, image, tmp_path, variant):
    folder = tmp_path / "wrong"
    session = desk.start(variant(tmp_path / "wrong.md", WRONG), folder)
    session.approve()
    session.wait_for("Do these conclusions follow?")
    session.wait_for("Decision: ")
    session.type("accept")
    session.wait_for("very far from its forecast")
    session.wait_for("over 1 seed that the run never had")
    while session.prompted("Second look:", "[second look"):
        session.type("")  # the page has more than one screen
    session.type("accept")
    session.wait_for("accepting over it takes a reason")
    session.wait_for("Why accept?")
    session.type("the forecast forgot the shift; the fresh seed shows it too")
    session.type(session.digest())
    assert session.end() == 0, session.screen

    check = desk.show(folder, "check")["body"]
    assert check["surprise"]["verdict"] == "rerun"
    assert check["fresh_contrast"] == pytest.approx(1.0, abs=0.5)
    acceptance = desk.show(folder, "accept")["body"]
    assert acceptance["second_look"]
    report = (folder / "cycles/01/report.md").read_text()
    assert "was asked twice and accepted" in report.lower()
    assert "the forecast forgot the shift" in report
    assert "On a seed that the run never had, the contrast was" in report
    desk.require_sound(folder)
    replayed = desk.run("replay", cwd=folder)
    assert replayed.code == 0, replayed.out + replayed.err


def test_a_surprise_can_be_sent_back_without_any_of_it(desk, image, tmp_path, variant):
    folder = tmp_path / "back"
    session = desk.start(variant(tmp_path / "back.md", WRONG), folder)
    session.approve()
    session.wait_for("Do these conclusions follow?")
    session.decide("reject", "one run of six seeds is too few for this")
    assert session.end() == 5, session.screen
    assert not desk.show(folder, "accept")["body"]["second_look"]
