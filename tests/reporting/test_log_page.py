"""The log: short, in order, decisions and failures in full, and nothing in it moves the cursor."""

import json
import re
import unicodedata

import pytest

from autoresearch.errors import InvalidInput
from autoresearch.records import Person, Spend
from autoresearch.reporting.log_page import chosen, log_json, log_lines, log_page_json, total_lines
from autoresearch.reporting.report import markdown
from autoresearch.reporting.status import status
from autoresearch.reporting.status_page import status_lines
from autoresearch.safe_text import cells

HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07 \u202egnp.exe\u200b\u2028 \x9b31m first\nsecond\rthird\tend " + "word " * 60
)


def folded(told, width=100):
    return log_lines(told.entries, full=False, width=width, color=False)


def test_an_accepted_cycle_is_about_eight_lines(accepted):
    lines = folded(accepted)
    assert lines == [
        "cycle 1: Does it matter in which direction raters err? (0 USD)",
        "  1 March 2026",
        "  14:02  start … preflight   6 steps, 0 USD, 35 s",
        "  14:02  APPROVE             approved by Ada Lovelace; gave 1 forecast",
        "                             “The control covers the obvious confound.”",
        "  14:03  experiment          Completed, 16 of 16 trials, 12 s",
        "  14:03  check               positive: 0.049 [0.038, 0.059], as forecast, 1 deviation",
        "  14:03  conclude, monitor   2 steps, 0 USD, 7 s",
        "  14:03  ACCEPT              accepted by Ada Lovelace; 2 of 3 claims",
        "                             “The target claim says more than one proxy can.”",
        "  14:03  writeup             2 files, 13 records covered",
    ]


def test_rejections_and_crashes_stand_out_with_their_reasons(rejected_twice):
    text = "\n".join(folded(rejected_twice, 120))
    assert "APPROVE             rejected by Ada Lovelace\n" in text
    assert "“One arm alone shows nothing; name a rival.”" in text
    assert "experiment          Crashed, 5 of 16 trials, 12 s: trial 5 raised ValueError" in text
    assert "ideate … preflight  5 steps, 0.0852 USD, 28 s" in text
    assert [line for line in text.split("\n") if line.startswith("  attempt")] == [
        "  attempt 2",
        "  attempt 3",
        "  attempt 4",
    ]


def test_newest_last_and_a_cycle_has_its_head(rejected_twice):
    rejected_twice.next_cycle().to_gate()
    lines = folded(rejected_twice)
    assert [line for line in lines if line.startswith("cycle")][1].startswith("cycle 2:")
    assert lines[-1].endswith("5 steps, 0.0852 USD, 28 s")


def test_a_run_without_an_end_and_changed_settings_have_their_lines(tale):
    told = tale().to_gate().config(max_attempts=3).approve().run()
    text = "\n".join(folded(told))
    assert "settings            settings changed by Ada Lovelace" in text
    assert "experiment          16 trials started, no end on record" in text
    assert "no end on record" not in "\n".join(folded(tale().to_gate().approve().result("Lost")))


def test_a_demonstration_says_so(tale, accepted):
    script = Person(name="demonstration script (not a person)", email="demo@localhost")
    told = tale(demonstration=True, is_person=False, reviewer=script).to_gate().approve()
    assert folded(told)[0] == "demonstration: no person decided anything here"
    assert "approved by demonstration script (not a person)" in "\n".join(folded(told))
    assert "demonstration" not in "\n".join(folded(accepted))
    odd = tale(is_person=False).to_gate().approve()
    assert folded(odd)[0].startswith("demonstration")
    assert "approved by Ada Lovelace (not a person)" in "\n".join(folded(odd))


def test_a_part_of_the_history_can_be_shown(tale, accepted):
    assert log_lines(accepted.entries[-1:], full=False, width=80, color=False)[0] == "cycle 1 (0 USD)"
    told = tale(demonstration=True, is_person=False).to_gate().approve()
    assert log_lines(told.entries[-1:], full=True, width=80, color=False)[0].startswith("demonstration")


def test_the_diary_has_every_record_and_its_paragraph(rejected_twice):
    text = "\n".join(log_lines(rejected_twice.entries, full=True, width=300, color=False))
    for entry in rejected_twice.entries:
        assert f"{entry.record.kind} {entry.digest[:12]}, commit {entry.commit[:10]}" in text
        assert entry.record.body.diary().strip().split("\n")[0] in text
    assert "C1: Structured noise makes the network" in text
    assert "(belief 0.60 → 0.82)" in text
    assert "model anthropic:claude-test, 5120/1024/830 tokens, 0.0213 USD" in text


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("width", [40, 80, 120])
def test_hostile_text_moves_nothing_and_stays_in_its_columns(tale, full, width):
    person = Person(name=HOSTILE.replace("\n", " ").replace("\r", " ")[:200], email="a@b.example")
    told = (
        tale(foreign=HOSTILE, model="anthropic:claude-test", reviewer=person).to_gate().approve("reject", "x")
    )
    told.next_attempt().to_gate().approve().result(
        "Crashed"
    ).next_attempt().to_gate().approve().to_accept().accept(reason="x").report()
    lines = log_lines(told.entries, full=full, width=width, color=False)
    assert all(cells(line) <= max(width, 60) for line in lines)
    hidden = {
        char for line in lines for char in line if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")
    }
    assert hidden == set()
    assert any("␛" in line for line in lines)


def test_a_long_reason_is_cut_after_two_lines(tale):
    lines = folded(tale().to_gate().approve("reject", "word " * 60), 100)
    assert [line.strip()[:9] for line in lines[-2:]] == ["“word wor", "word word"]
    assert lines[-1].endswith("...")
    assert len(lines) == 6


def test_colour_only_when_asked_for(rejected_twice):
    plain, coloured = (
        log_lines(rejected_twice.entries, full=False, width=100, color=color) for color in (False, True)
    )
    assert [re.sub(r"\x1b\[[\d;]*m", "", line) for line in coloured] == plain
    assert any(line.startswith("\x1b[1;31m") and "rejected" in line for line in coloured)
    assert any(line.startswith("\x1b[1;32m") and "approved" in line for line in coloured)


def test_json_has_one_object_a_record(rejected_twice):
    rows = json.loads(json.dumps(log_json(rejected_twice.entries)))
    assert [row["digest"] for row in rows] == [entry.digest for entry in rejected_twice.entries]
    rejection = next(row for row in rows if row.get("decision") == "reject")
    assert rejection["reason"] == "One arm alone shows nothing; name a rival."
    assert rejection["when"] == "2026-03-01T14:02:49+00:00"
    assert rows[1]["cost_usd"] == "0.0213"
    assert [row["status"] for row in rows if row["kind"] == "result"] == ["Crashed", "Completed"]


def test_decisions_in_haste_are_said_to_be(tale):
    hasty = tale(reading=5).to_gate().approve().to_accept().accept()
    text = "\n".join(folded(hasty))
    assert "Approved after 5 s without opening the code." in text
    assert "Accepted after 5 s without opening any section." in text
    assert "without opening" not in "\n".join(folded(tale().to_gate().approve().to_accept().accept()))
    script = tale(reading=5, is_person=False).to_gate().approve().to_accept().accept()
    assert "without opening" not in "\n".join(folded(script))


def test_a_fork_stands_out_and_brings_along_what_was_spent(tale):
    spent = {1: Spend(cost_usd="0.5", calls=3, seconds=20)}
    told = tale(model="anthropic:claude-test").to_gate().fork("another way", spent=spent)
    text = "\n".join(folded(told, 120))
    assert "FORK                from abababab by Ada Lovelace" in text
    assert "“another way”" in text
    assert total_lines(told.entries, width=120, color=False)[-1].startswith(
        "total    7 records, 0.5852 USD, "
    )
    assert "forked      from project abababab after preflight" in "\n".join(
        status_lines(status(told.entries), width=100, color=False)
    )
    report = markdown(told.entries, told.read, cycle=1)
    assert "**Forked.** This history was forked from project abababab after preflight" in report


def test_tries_have_their_line_in_log_and_report(tale):
    told = tale().to_gate().approve(tries=["crashed", "ran"]).to_accept()
    said = "Tried 2 times before the decision: crashed, ran"
    assert said in "\n".join(folded(told))
    assert f"{said}." in markdown(told.entries, told.read, cycle=1)
    assert "Tried once before the decision: ran" in "\n".join(folded(tale().to_gate().approve(tries=["ran"])))
    rows = log_json(told.entries)
    assert [row["tries"] for row in rows if row["kind"] == "approval"] == [["crashed", "ran"]]


def test_what_blocks_is_not_folded_away(tale):
    told = tale().start().ideas().critique().plan().predict().preflight("block")
    lines = folded(told)
    assert lines[-2].split()[1:4] == ["start", "…", "predict"]
    assert "preflight" in lines[-1]
    assert "1 blocking: " in lines[-1]


def test_a_part_can_be_asked_for(rejected_twice):
    rejected_twice.next_cycle().to_gate()
    entries = rejected_twice.entries
    assert {e.record.cycle for e in chosen(entries, cycle=2)} == {2}
    assert {e.record.kind for e in chosen(entries, step="experiment")} == {"run", "result"}
    assert [e.record.kind for e in chosen(entries, step="approval", by="ada love")] == ["approval"] * 4
    assert chosen(entries) == list(entries)
    with pytest.raises(InvalidInput, match="no record is of --step nothing; on record: steps start, ideate"):
        chosen(entries, step="nothing")
    with pytest.raises(InvalidInput, match="--cycle 2, --by Bob"):
        chosen(entries, cycle=2, by="Bob")


def test_costs_and_times_are_summed(tale, rejected_twice):
    all_of_it = total_lines(rejected_twice.entries, width=200, color=False)
    assert all_of_it == [
        "total    30 records, 0.2982 USD, experiments 25 s, at the gates 16 min",
    ]
    told = tale().to_gate().approve().run().result("Lost").next_attempt().to_gate().next_cycle().to_gate()
    lines = total_lines(told.entries, width=200, color=False)
    assert [line.split(",")[0] for line in lines] == [
        "cycle 1  14 records", "cycle 2  5 records", "total    19 records",
    ]  # fmt: skip
    assert "1 run of unknown time" in lines[0]


def test_an_unknown_cost_stays_unknown(tale):
    told = tale(model="anthropic:claude-test").to_gate().fork(unpriced=True)
    assert "0.0852 USD and an unknown part" in total_lines(told.entries, width=200, color=False)[-1]
    totals = log_page_json(told.entries)["totals"]
    assert (totals["all"]["cost_usd"], totals["all"]["cost_complete"]) == ("0.0852", False)


def test_the_page_as_json_has_records_and_totals(rejected_twice):
    page = json.loads(json.dumps(log_page_json(rejected_twice.entries)))
    assert len(page["records"]) == page["totals"]["all"]["records"]
    assert [row["cycle"] for row in page["totals"]["cycles"]] == [1]
    assert page["totals"]["all"]["cost_complete"] is True
