"""One record in a terminal, and what the reading pages may import."""

import json
import subprocess
import sys
import unicodedata

import pytest

from autoresearch.records import Person, Reviewer, parse_record
from autoresearch.reporting.show_page import show_json, show_lines
from autoresearch.safe_text import cells


def entry_of(told, kind):
    return next(entry for entry in told.entries if entry.record.kind == kind)


def shown(told, kind, width=90):
    return show_lines(entry_of(told, kind), told.read, width=width, color=False)


def test_header_fields_and_files(accepted):
    lines = shown(accepted, "plan")
    plan = entry_of(accepted, "plan")
    assert lines[0] == "plan: signed_gap, structured-long vs uniform-long, 8 trials an arm"
    assert f"digest     {plan.digest}" in lines
    assert "file       cycles/01/attempt-1/plan.json" in lines
    assert "trials per arm: 8" in lines
    assert "  - id: H1" in lines
    assert any(line.startswith("  cycles/01/attempt-1/experiment/experiment.py: ") for line in lines)
    assert "  def run_trial(arm, seed, config, data):" in lines


@pytest.mark.parametrize("place", range(14))
def test_every_kind_of_record_can_be_shown(accepted, place):
    entry = accepted.entries[place]
    lines = show_lines(entry, accepted.read, width=80, color=True)
    assert entry.record.kind in lines[0]


def test_data_files_are_named_and_not_printed(accepted):
    lines = shown(accepted, "result")
    assert any("trials.jsonl" in line for line in lines)
    assert "  {}" not in lines


def test_json_is_the_record_itself(accepted):
    entry = entry_of(accepted, "approval")
    text = json.dumps(show_json(entry), indent=2, ensure_ascii=False) + "\n"
    assert parse_record(text.encode(), "here").digest == entry.digest


def test_hostile_text_moves_nothing_and_stays_in_its_columns(tale):
    told = (
        tale(foreign="\x1b[2J\u202e\u200b \x9b31m\nplan: fake\r" + "long " * 90)
        .to_gate()
        .approve("reject", "x")
    )
    told.next_attempt().to_gate().approve().result("Crashed")
    told.reviewer = Reviewer(person=Person(name="\x1b[31mE\u200bve", email="e@example.org"))
    told.approve("terminate")
    for entry in told.entries:
        lines = show_lines(entry, told.read, width=80, color=False)
        assert not [c for line in lines for c in line if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]
        assert all(cells(line) <= 80 for line in lines)


def test_reading_pages_import_nothing_heavy():
    heavy = (
        "langgraph",
        "anthropic",
        "docker",
        "scipy",
        "matplotlib",
        "numpy",
        "jinja2",
        "markdown_it",
        "nh3",
    )
    pages = "from autoresearch.reporting import log_page, show_page, status"
    code = f"import sys; {pages}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
