"""What reading commands say of signatures, and of decisions that have none."""

import pytest

from autoresearch.decisions import counting
from autoresearch.records import Settings
from autoresearch.reporting.log_page import log_lines
from autoresearch.reporting.report import build
from autoresearch.reporting.show_page import show_lines
from autoresearch.reporting.status import status
from autoresearch.vouched import reader


@pytest.fixture
def history(finished, opened):
    return opened(finished).entries()


def words(lines):
    return " ".join(" ".join(lines).split())


def test_the_report_says_who_signed(finished, opened, people, history):
    read = reader(opened(finished))
    page = read(history[-1], "report.md").decode()
    key = people.ada.registered.fingerprint
    assert page.count(f"Signed, {key}.") == 2
    assert "2 of 2 decisions signed." in page
    assert "Not signed" not in page
    assert build(history, read, cycle=1)["report.md"].decode().count("Signed, ") == 2


def test_log_show_and_status_say_it(finished, opened, people, history):
    signing = counting(history)
    said = f"signed, {people.ada.registered.fingerprint}"
    look = {"width": 80, "color": False}
    assert words(log_lines(history, full=False, signing=signing, **look)).count(said) == 4
    assert words(log_lines(history, full=True, signing=signing, **look)).count(said) == 4
    accepted = next(entry for entry in history if entry.record.kind == "acceptance")
    shown = show_lines(accepted, reader(opened(finished)), signing=signing[accepted.digest], **look)
    assert f"signature  {said}" in shown
    assert f"; {said})" in status(history).last_decision


def test_a_forged_decision_is_shown_as_one_that_does_not_count(forger, people):
    entry = forger.approve(people.ada.identity)
    history = forger.ledger.entries()
    assert counting(history)[entry.digest] == "DOES NOT COUNT: its commit is not signed"
    lines = log_lines(history, full=False, width=80, color=False, signing=counting(history))
    assert "DOES NOT COUNT: its commit is not signed" in words(lines)
    page = build(history, reader(forger.ledger), cycle=1)["report.md"].decode()
    assert "Decisions that do not count" in page
    assert "Not signed" not in page


def test_forged_settings_are_shown_so_too(forger, people):
    entry = forger.configure(Settings(), people.ada.identity)
    assert counting(forger.ledger.entries())[entry.digest].startswith("DOES NOT COUNT: ")
