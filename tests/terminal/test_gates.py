"""Both gates on a real pseudo-terminal."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyte
import pytest

from autoresearch.adapters.gate_memory import GateMemory
from autoresearch.errors import LedgerError
from autoresearch.records import Person, digest_of

DRIVE = Path(__file__).parent / "drive.py"
SNAPSHOTS = Path(__file__).parent / "snapshots"


@pytest.fixture(scope="session")
def bundle(views):
    return digest_of(views.BUNDLE)


@pytest.fixture(scope="session")
def subject(views):
    return digest_of(views.SUBJECT)


def editor(tmp_path, body):
    """An $EDITOR that is a shell script; `$1` is the file."""
    script = tmp_path / "editor.sh"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"EDITOR": str(script)}


# ------------------------------------------------------------------- approve


def test_approve_takes_two_answers(gate, bundle):
    g = gate("approve")
    g.answer("Decision: ", "approve")
    g.answer(f"type {bundle[:8]}", bundle[:8])
    answer = g.result()
    assert answer["decision"] == "approve"
    assert answer["shown"] == bundle
    assert answer["attention"]["sections_opened"] == []
    assert not answer["forecasts_skipped"]


def test_reject_needs_a_reason(gate, bundle):
    g = gate("approve")
    g.answer("Decision: ", "rej")
    g.answer("Why reject?", "")
    g.answer("Why reject?", "no power at this n")
    g.answer("type", bundle[:8])
    answer = g.result()
    assert (answer["decision"], answer["reason"]) == ("reject", "no power at this n")


def test_back_at_the_reason_returns_to_the_decision(gate, bundle):
    g = gate("approve")
    g.answer("Decision: ", "rej")
    g.answer("Why reject?", "back")
    g.answer("Decision: ", "a")
    g.answer("type", bundle[:8])
    answer = g.result()
    assert (answer["decision"], answer["reason"]) == ("approve", "")


def test_revise_with_a_reason_from_the_editor(gate, bundle, tmp_path):
    g = gate("approve", environ=editor(tmp_path, "printf 'first\\nsecond\\n' >> \"$1\""))
    g.answer("Decision: ", "revise")
    g.answer("Why revise?", "e")
    g.answer("type", bundle[:8])
    assert g.result()["reason"] == "first\nsecond"


def test_terminate(gate, bundle):
    g = gate("approve")
    g.answer("Decision: ", "ter")
    g.answer("type", bundle[:8])
    assert g.result()["decision"] == "terminate"


def test_a_proxy_that_tells_little_offers_not_to_run(gate, bundle):
    g = gate("weak")
    g.expect("at most 1.1-fold on the real target")
    g.expect("terminate (do not run)")
    g.answer("Decision: ", "terminate")
    g.expect("not run: a clear result would shift the odds")
    g.answer("Why terminate?", "")
    g.answer("type", bundle[:8])
    answer = g.result()
    assert answer["decision"] == "terminate"
    assert answer["reason"].startswith("not run: a clear result would shift")


def test_a_proxy_that_tells_little_may_still_be_run(gate, bundle):
    g = gate("weak")
    g.answer("Decision: ", "approve")
    g.answer("type", bundle[:8])
    assert g.result()["decision"] == "approve"


def test_the_reviewers_own_record_stands_where_they_forecast(gate):
    g = gate("record")
    g.expect("Your 80 % intervals have held 7 of 12 results.")
    g.answer("[Enter skips]: ", "quit")
    assert g.end() == 3
    assert b"10/50/90 at" not in g.seen  # the author's stay shut


@pytest.mark.parametrize("answer", ["", "y", "yes", "r", "approve it", "not approve", "approved", "1.5"])
def test_other_answers_decide_nothing(gate, answer):
    g = gate("approve")
    g.answer("Decision: ", answer)
    g.answer("Decision: ", "quit")
    assert g.end() == 3
    assert not g.decided


def test_sections_open_in_the_pager_and_are_remembered(gate, bundle):
    g = gate("approve", size=(10, 80))
    g.answer("Decision: ", "2")
    g.expect("Enter next, b back, e end, q closes: ")
    assert b"experiment/experiment.py" in g.seen
    g.child.sendline("")
    g.answer("b back", "q")
    g.answer("Decision: ", "d")
    while g.child.expect_exact(["closes: ", "Enter closes, b back: ", "Decision: "]) != 2:
        g.child.sendline("")
    g.child.sendline("a")
    g.answer("type", bundle[:8])
    assert g.result()["attention"]["sections_opened"] == ["code", "diff"]


def test_going_back_from_the_digest(gate, bundle):
    g = gate("approve")
    g.answer("Decision: ", "a")
    g.answer("type", "back")
    g.answer("Decision: ", "terminate")
    g.answer("type", bundle[:8])
    assert g.result()["decision"] == "terminate"


def test_three_wrong_digests_leave_the_gate_open(gate):
    g = gate("approve")
    g.answer("Decision: ", "a")
    for wrong in ("y", "00000000", "approve"):
        g.answer("To approve, type", wrong)
    assert g.end() == 3
    assert b"3 wrong digests; the gate approve stays open; come back with: autoresearch review" in g.seen
    assert not g.decided


def test_wrong_digests_are_counted_over_going_back(gate):
    g = gate("approve")
    for _ in range(2):
        g.answer("Decision: ", "a")
        g.answer("To approve, type", "y")
        g.answer("To approve, type", "back")
    g.answer("Decision: ", "a")
    g.answer("To approve, type", "y")
    assert g.end() == 3


@pytest.mark.parametrize("before", [[], ["approve"]])
def test_end_of_input_leaves_the_gate_open(gate, before):
    g = gate("approve")
    for line in before:
        g.answer("Decision: ", line)
    g.expect("type " if before else "Decision: ")
    g.child.sendeof()
    assert g.end() == 3
    assert b"end of input; the gate approve stays open" in g.seen
    assert not g.decided


def test_time_out_leaves_the_gate_open(gate):
    g = gate("approve", timeout=0.5)
    assert g.end() == 3
    assert b"no answer within 0.5 s; the gate approve stays open" in g.seen
    assert not g.decided


def test_ctrl_c_leaves_the_gate_open_and_says_how_to_come_back(gate):
    g = gate("approve")
    g.expect("Decision: ")
    g.child.sendintr()
    assert g.end() == 130
    assert b"interrupted; the gate approve stays open; come back with: autoresearch review" in g.seen
    assert not g.decided


def test_hang_up_decides_nothing(gate):
    g = gate("approve")
    g.expect("Decision: ")
    g.child.close(force=True)
    assert not g.decided


def test_typed_ahead_input_is_thrown_away(gate, bundle):
    g = gate("approve")
    # Both answers at once: the second was typed before its question, so it does not count.
    g.answer("Decision: ", f"approve\n{bundle[:8]}")
    g.expect("To approve, type")
    g.child.expect_exact('("back" if not): ')
    time.sleep(0.3)
    assert g.child.isalive()
    assert not g.decided
    g.child.sendline("quit")
    assert g.end() == 3


def test_input_before_the_gate_opens_is_thrown_away(gate):
    g = gate("approve")
    g.child.send("approve\n")
    g.expect("Decision: ")
    time.sleep(0.3)
    assert g.child.isalive()
    g.child.sendline("quit")
    assert g.end() == 3
    assert b"To approve" not in g.seen


def test_piped_yes_without_a_terminal(tmp_path):
    out = tmp_path / "answer.json"
    with subprocess.Popen(["yes", "approve"], stdout=subprocess.PIPE) as yes:
        ended = subprocess.run(
            ["setsid", "--wait", sys.executable, str(DRIVE), str(out), "approve"],
            stdin=yes.stdout,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        yes.send_signal(signal.SIGTERM)
    assert ended.returncode == 3
    assert ended.stderr == (
        "no terminal to ask at; the gate approve stays open; come back with: autoresearch review\n"
    )
    assert not out.exists()


def test_piped_stdin_does_not_answer_for_the_terminal(tmp_path, bundle):
    """Standard input says yes; the terminal says quit. The terminal counts."""
    import pexpect

    out = tmp_path / "answer.json"
    command = f"printf 'approve\\n{bundle[:8]}\\n' | {sys.executable} {DRIVE} {out} approve"
    child = pexpect.spawn("/bin/sh", ["-c", command], timeout=60)
    child.expect_exact("Decision: ")
    child.sendline("quit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3
    assert not out.exists()


def test_files_unlike_the_bundle_are_never_asked_about(gate, views):
    from autoresearch.adapters.approve_gate import ApproveGate
    from autoresearch.errors import LedgerError

    with pytest.raises(LedgerError, match="not those that the approval would cover"):
        ApproveGate(views.approval_view(files={"experiment/experiment.py": b"evil"}), None, views.ADA, None)


# ----------------------------------------------------------------- forecasts


def test_own_forecast_comes_before_the_authors(gate, bundle):
    g = gate("forecast")
    g.expect("Your 10/50/90 for ece difference (noisy - clean) [Enter skips]: ")
    # The author's are 0.01, 0.03 and 0.06; 0.03 stands in what the trials can show, too.
    assert b"0.01" not in g.seen
    assert b"0.06" not in g.seen
    g.child.sendline("5")
    g.expect("open when you have given or skipped your own")
    g.answer("[Enter skips]: ", "0.06 0.03 0.01")
    g.expect("must increase")
    g.answer("[Enter skips]: ", "0.00 0.02 0.05")
    g.answer("[Enter skips]: ", "")
    g.expect("Ben Author")
    g.expect("0.01, 0.03, 0.06")
    g.answer("Decision: ", "a")
    g.answer("type", bundle[:8])
    answer = g.result()
    (forecast,) = answer["forecasts"]
    assert forecast["quantiles"] == [0.0, 0.02, 0.05]
    assert forecast["forecaster"] == "human:Ada Reviewer"
    assert not answer["forecasts_skipped"]


def test_a_skipped_forecast_is_recorded(gate, bundle):
    g = gate("forecast")
    g.answer("[Enter skips]: ", "")
    g.answer("Decision: ", "a")
    g.answer("type", bundle[:8])
    answer = g.result()
    assert answer["forecasts"] == []
    assert answer["forecasts_skipped"]


def test_thresholds_are_asked_about_without_what_the_author_said(gate, bundle):
    g = gate("forecast")
    g.answer("Your 10/50/90 for", "0.00 0.02 0.05")
    g.expect("Your chance that it is above 0.02 [Enter skips]: ")
    assert b"0.7" not in g.seen
    g.child.sendline("2")
    g.answer("Your chance that it is above 0.02 [Enter skips]: ", "1.4")
    g.expect("a chance is a number from 0 to 1")
    g.answer("[Enter skips]: ", "65%")
    g.answer("Decision: ", "a")
    g.answer("type", bundle[:8])
    first, second = g.result()["forecasts"]
    assert (second["about"], second["p"], second["shape"]) == ("contrast > 0.02", 0.65, "binary")
    assert {first["id"], second["id"]} == {"reviewer", "reviewer-2"}


# -------------------------------------------------------------------- blocked


def test_a_blocking_finding_stops_approval(gate, bundle):
    g = gate("blocked")
    g.answer("Decision: ", "approve")
    g.expect("This cannot be approved: a finding blocks it.")
    g.expect("no positive control is named")
    g.answer("Decision: ", "terminate")
    g.answer("type", bundle[:8])
    assert g.result()["decision"] == "terminate"


def test_a_preset_approval_is_stopped_as_well(gate):
    g = gate("blocked", preset=["approve", ""])
    g.expect("This cannot be approved")
    g.answer("Decision: ", "quit")
    assert g.end() == 3


# ------------------------------------------------- code that deceives the eye


@pytest.mark.parametrize("preset", [None, ["approve", ""]])
def test_deceiving_code_has_to_be_read_to_its_end_before_approval(gate, views, preset):
    g = gate("deceiving", **({"preset": preset} if preset else {}))
    g.expect("read 2 code to its end")
    if preset is None:
        g.answer("Decision: ", "2")
        g.answer("q closes: ", "q")
        g.answer("Decision: ", "approve")
    g.expect("Read all of the code before you approve it (e skips some)")
    g.answer("q closes: ", "q")
    g.answer("Decision: ", "approve")
    g.answer("q closes: ", "e")
    g.answer("Enter closes, b back: ", "")
    g.answer("Decision: ", "approve")
    g.expect("Read all of the code before you approve it (e skips some)")
    g.answer("q closes: ", "")
    g.answer("q closes: ", "")
    g.answer("Enter closes, b back: ", "")
    g.answer("Decision: ", "approve")
    g.answer("To approve, type", digest_of(views.deceiving_view().bundle)[:8])
    answer = g.result()
    assert answer["decision"] == "approve"
    assert answer["attention"]["sections_read"] == ["code"]


def test_a_sections_number_in_the_pager_opens_that_section(gate, bundle):
    g = gate("deceiving")
    g.answer("Decision: ", "2")
    g.answer("q closes: ", "e")
    g.answer("Enter closes, b back: ", "6")
    g.answer("Decision: ", "quit")
    g.end()
    assert b"Your approval covers exactly this" in g.seen


def test_deceiving_code_can_be_rejected_unopened(gate, views):
    g = gate("deceiving")
    g.answer("Decision: ", "reject")
    g.answer("Why reject?", "what is this?")
    g.answer("To reject, type", digest_of(views.deceiving_view().bundle)[:8])
    assert g.result()["attention"]["sections_opened"] == []


# --------------------------------------------------------------------- preset


def test_preset_approve_is_shown_and_still_takes_the_digest(gate, bundle):
    g = gate("approve", preset=["approve", ""])
    g.expect("May this experiment run?")
    g.answer("To approve, type", bundle[:8])
    assert g.result()["decision"] == "approve"


def test_preset_reject_brings_its_reason(gate, bundle):
    g = gate("approve", preset=["reject", "too small"])
    g.answer("To reject, type", bundle[:8])
    answer = g.result()
    assert (answer["decision"], answer["reason"]) == ("reject", "too small")


def test_preset_approve_accepts_at_the_other_gate(gate, subject):
    g = gate("accept", preset=["approve", ""])
    g.answer("To accept, type", subject[:8])
    assert g.result()["decision"] == "accept"


def test_a_preset_holds_for_one_gate(gate, bundle):
    g = gate("both", preset=["approve", ""])
    g.answer("To approve, type", bundle[:8])
    g.expect("Do these conclusions follow?")
    g.answer("Decision: ", "quit")
    assert g.end() == 3


# ----------------------------------------------------------------------- edit


@pytest.mark.parametrize(("answer", "changed"), [("", True), ("no", False)])
def test_a_file_of_the_person_can_be_edited_in_place(gate, tmp_path, answer, changed):
    proposal = tmp_path / "proposal.md"
    proposal.write_text("# Title\n")
    g = gate("file", environ=editor(tmp_path, 'echo more >> "$1"'))
    g.expect("rejected")
    g.answer("Enter opens proposal.md in your editor", answer)
    assert g.result() is changed
    assert ("more" in proposal.read_text()) is changed


def test_editing_a_file_is_not_offered_without_a_terminal(tmp_path):
    (tmp_path / "proposal.md").write_text("# Title\n")
    out = tmp_path / "answer.json"
    subprocess.run(
        ["setsid", "--wait", sys.executable, str(DRIVE), str(out), "file"],
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    assert out.read_text() == "false"


def test_edit_of_plan_and_code(gate, bundle, tmp_path, views):
    script = 'case "$1" in *plan.yaml) sed -i "s/trials_per_arm: 20/trials_per_arm: 30/" "$1";; '
    script += '*helpers.py) echo "# mine" >> "$1";; esac'
    g = gate("approve", environ=editor(tmp_path, script), size=(60, 100))
    g.answer("Decision: ", "edit")
    g.expect("+# mine")
    g.expect("+trials_per_arm: 30")
    g.answer("To record your edit, type", bundle[:8])
    answer = g.result()
    assert answer["decision"] == "edit"
    assert answer["edited"]["trials_per_arm"] == 30
    assert answer["edited_files"]["experiment/helpers.py"].endswith("# mine\n")
    assert answer["edited_files"]["experiment/experiment.py"] == views.CODE.decode()


@pytest.mark.parametrize(
    ("what", "opened"),
    [
        ("edit", ["plan.yaml", "experiment.py", "helpers.py"]),
        ("edit plan", ["plan.yaml"]),
        ("edit code", ["experiment.py", "helpers.py"]),
    ],
)
def test_edit_opens_what_was_named(gate, tmp_path, what, opened):
    seen = tmp_path / "seen"
    g = gate("approve", environ=editor(tmp_path, f'basename "$1" >> {seen}'))
    g.answer("Decision: ", what)
    g.expect("Nothing was changed")
    g.answer("Decision: ", "quit")
    assert g.end() == 3
    assert seen.read_text().split() == opened


def test_an_invalid_edit_is_named_and_can_be_edited_again(gate, bundle, tmp_path):
    flag = tmp_path / "second"
    script = f'case "$1" in *plan.yaml) if [ -e {flag} ]; then sed -i "s/^trials_per_arm: .*/trials_per_arm: 9/" "$1"; '
    script += f'else touch {flag}; sed -i "s/^trials_per_arm: .*/trials_per_arm: -4/" "$1"; fi;; esac'
    g = gate("approve", environ=editor(tmp_path, script), size=(60, 100))
    g.answer("Decision: ", "e")
    g.expect("plan.yaml: trials_per_arm: Input should be greater than or equal to 1")
    g.answer("Enter discards: ", "e")
    g.answer("To record your edit, type", bundle[:8])
    assert g.result()["edited"]["trials_per_arm"] == 9


@pytest.mark.parametrize(
    ("script", "said"), [("exit 0", "Nothing was changed"), ("exit 7", "the editor ended with 7")]
)
def test_an_edit_that_comes_to_nothing(gate, tmp_path, script, said):
    g = gate("approve", environ=editor(tmp_path, script))
    g.answer("Decision: ", "edit")
    g.expect(said)
    g.answer("Decision: ", "quit")
    assert g.end() == 3


def test_without_an_editor_vi_is_offered(gate):
    g = gate("approve")
    g.answer("Decision: ", "edit")
    g.answer("Neither VISUAL nor EDITOR is set.", "")
    g.answer("Decision: ", "quit")
    assert g.end() == 3


def test_an_editor_that_is_not_installed(gate):
    g = gate("approve", environ={"VISUAL": "no-such-editor --wait"})
    g.answer("Decision: ", "edit")
    g.expect("VISUAL names no-such-editor, which is not installed")
    g.answer("Decision: ", "quit")
    assert g.end() == 3


# --------------------------------------------------------------------- accept


def test_accept_takes_two_answers(gate, subject):
    g = gate("accept")
    g.answer("Decision: ", "a")
    g.answer(f"type {subject[:8]}", subject[:8])
    answer = g.result()
    assert answer["decision"] == "accept"
    assert answer["shown"] == subject
    assert answer["claims"] == {"c1": "accept", "c2": "accept"}


def test_single_claims(gate, subject):
    g = gate("accept")
    g.answer("Decision: ", "2r")
    g.answer("Decision: ", "1r")
    g.answer("Decision: ", "accept")
    g.expect('You rejected every claim; "reject" says so.')
    g.answer("Decision: ", "1d")
    g.answer("Decision: ", "3d")
    g.answer("Decision: ", "accept")
    g.answer("type", subject[:8])
    assert g.result()["claims"] == {"c1": "downgrade", "c2": "reject"}


@pytest.mark.parametrize("decision", ["revise", "redo", "reject"])
def test_turning_conclusions_down_needs_a_reason(gate, subject, decision):
    g = gate("accept")
    g.answer("Decision: ", decision)
    g.answer(f"Why {decision}?", "back")
    g.answer("Decision: ", decision)
    g.answer(f"Why {decision}?", "the scope is wrong")
    g.answer("type", subject[:8])
    answer = g.result()
    assert (answer["decision"], answer["reason"]) == (decision, "the scope is wrong")
    assert set(answer["claims"].values()) == ({"reject"} if decision == "reject" else {"accept"})


def test_follow_up(gate, subject):
    g = gate("accept")
    g.answer("Decision: ", "f")
    g.answer("Why follow-up?", "")
    g.expect("what comes next works from it")
    g.answer("Why follow-up?", "now with heavy tails")
    g.answer("type", subject[:8])
    answer = g.result()
    assert (answer["decision"], answer["reason"]) == ("follow-up", "now with heavy tails")


def test_accepting_over_a_blocking_finding_needs_a_reason(gate, subject):
    g = gate("accept-blocked")
    g.answer("Decision: ", "accept")
    g.expect("accepting over it takes a reason")
    g.answer("Why accept?", "rounded by hand, checked")
    g.answer("type", subject[:8])
    assert g.result()["reason"] == "rounded by hand, checked"


def test_an_unlikely_result_is_accepted_with_a_reason(gate, subject):
    g = gate("accept-unlikely")
    g.answer("Decision: ", "accept")
    g.expect("far from its forecast")
    g.answer("Why accept?", "the pilot was smaller")
    g.answer("To accept, type", subject[:8])
    answer = g.result()
    assert (answer["reason"], answer["second_look"]) == ("the pilot was smaller", False)


def test_a_very_surprising_result_is_looked_at_twice(gate, subject):
    g = gate("accept-surprised", size=(50, 100))
    g.answer("Decision: ", "accept")
    g.expect("An error is likelier than usual")
    g.expect("0.04 over 1 seed that the run never had")
    g.answer("Second look:", "")
    g.answer("Decision: ", "9d")
    g.expect("There is no claim 9; the last one is ")
    g.answer("Decision: ", "accept")
    g.answer("Second look:", "a")
    g.expect('The whole word "accept" is meant, or Enter.')
    g.answer("Second look:", "accept")
    g.answer("Why accept?", "the fresh seed agrees")
    g.answer("To accept, type", subject[:8])
    answer = g.result()
    assert answer["decision"] == "accept"
    assert (answer["reason"], answer["second_look"]) == ("the fresh seed agrees", True)


def test_a_very_surprising_result_without_a_fresh_seed_is_not_accepted(gate, subject):
    g = gate("accept-not-rerun")
    g.answer("Decision: ", "accept")
    g.expect("is not accepted before a fresh seed was run")
    g.answer("Decision: ", "redo")
    g.answer("Why redo?", "no fresh seed")
    g.answer("To redo, type", subject[:8])
    assert g.result()["decision"] == "redo"


def test_claims_off_the_screen_are_shown_before_accepting(gate, subject):
    g = gate("accept", size=(12, 60))
    for _ in range(2):  # leaving them at their first page is not having seen them
        g.answer("Decision: ", "a")
        g.expect("Not everything fitted on the screen")
        g.answer("q closes: ", "q")
    g.answer("Decision: ", "a")
    while g.child.expect_exact(["closes: ", "Enter closes, b back: ", "Decision: "]) != 2:
        g.child.sendline("")
    g.child.sendline("a")
    g.answer("To accept, type", subject[:8])
    assert g.result()["attention"]["sections_opened"] == ["claims"]


def test_claims_cut_short_are_shown_whole_before_the_digest(gate, subject):
    """Whoever takes the claims as shown has been shown them."""
    g = gate("accept-long")
    g.expect("Decision: ")
    assert b"LAST" not in g.seen
    g.child.sendline("1d")
    g.answer("Decision: ", "accept")
    g.expect("What was cut above, whole:")
    g.expect("1 downgrade")
    g.expect("much. LAST")
    g.answer("To accept, type", subject[:8])
    assert g.result()["claims"] == {"c1": "downgrade", "c2": "accept"}
    assert b"Noise in labels worsens" not in g.seen.split(b"What was cut above")[1]


def test_a_takeaway_cut_short_is_shown_whole_before_the_digest(gate, subject):
    g = gate("accept-long-takeaway")
    g.expect("Decision: ")
    assert b"carry over. LAST" not in g.seen
    g.child.sendline("accept")
    g.expect("What was cut above, whole:")
    g.expect("carry over. LAST")
    g.expect("To accept, type")


# ------------------------------------------------------------------- settings


@pytest.mark.parametrize("word", ["no", None])
def test_settings_take_the_digest(gate, word):
    from autoresearch.records import sha256

    digest = sha256(b"-max_attempts = 8\n+max_attempts = 9\x1b[2J\n")[:8]
    g = gate("settings")
    g.expect("+max_attempts = 9␛[2J".encode())
    g.answer("type", word or digest)
    assert g.result() is (word is None)


# ------------------------------------------------------------------------ help


def test_a_question_mark_at_the_forecast_explains_forecasts(gate):
    g = gate("forecast")
    g.answer("[Enter skips]: ", "?")
    g.expect("three increasing numbers")
    g.answer("[Enter skips]: ", "")
    assert b"terminate   the project ends" not in g.seen
    g.answer("Decision: ", "?")
    g.expect("the project ends here")
    g.answer("Decision: ", "quit")
    assert g.end() == 3


@pytest.mark.parametrize(("name", "word"), [("approve", "terminate"), ("accept", "follow-up")])
def test_a_question_mark_explains_at_every_question(gate, views, name, word):
    g = gate(name, size=(24, 80))
    g.answer("Decision: ", "?")
    g.expect("which bind the decision to what you saw.")
    g.answer("Decision: ", "reject")
    g.answer("Why reject?", "?")
    g.expect(f"  {word}")
    g.answer("Why reject?", "no")
    g.answer("To reject, type", "?")
    g.expect("Ctrl-C and Ctrl-D do the same")
    g.answer("To reject, type", "quit")
    assert g.end() == 3


# ----------------------------------------------------------------- the screen


def test_enter_shows_the_screen_as_wide_as_the_window_is_now(gate):
    g = gate("approve", size=(24, 80))
    g.expect("Decision: ")
    assert b"Proposal" not in g.seen
    g.child.setwinsize(40, 120)
    g.child.sendline("")
    g.expect("Proposal")
    g.answer("Decision: ", "quit")
    assert g.end() == 3


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("name", ["approve", "approve-first", "approve-blocked", "accept"])
def test_a_terminal_shows_the_whole_screen_and_the_prompt(gate, name, size):
    """What a terminal makes of the bytes is the snapshot, with the prompt below, and no line scrolled off."""
    g = gate({"approve-first": "first", "approve-blocked": "blocked"}.get(name, name), size=size[::-1])
    prompt = "[Enter skips]: " if name == "approve-first" else "Decision: "
    g.expect(prompt)
    screen = pyte.Screen(*size)
    pyte.ByteStream(screen).feed(g.seen)
    rows = "\n".join(row.rstrip() for row in screen.display).rstrip()
    kept = (SNAPSHOTS / f"{name}-{size[0]}x{size[1]}.txt").read_text()
    rows = re.sub(r"digest [0-9a-f]{8}\b", re.search(r"digest [0-9a-f]{8}\b", kept)[0], rows)
    assert rows.startswith("\n".join(row.rstrip() for row in kept.split("\n")))
    assert rows.split("\n")[-1].startswith("Your 10/50/90" if name == "approve-first" else "Decision:")
    g.child.sendline("quit")
    assert g.end() == 3


@pytest.mark.parametrize("name", ["approve", "accept", "forecast"])
def test_a_narrow_terminal(gate, name):
    g = gate(name, size=(20, 40))
    if name == "forecast":
        g.answer("[Enter skips]: ", "")
    for key in ("1", "2", "3"):
        g.answer("Decision: ", key)
        while g.child.expect_exact(["closes: ", "Enter closes, b back: ", "Decision: "]) != 2:
            g.child.sendline("")
        g.child.sendline("")
    g.answer("Decision: ", "quit")
    assert g.end() == 3


@pytest.mark.parametrize(
    ("environ", "options", "coloured"),
    [
        ({}, {}, True),
        ({"NO_COLOR": "1"}, {}, False),
        ({"TERM": "dumb"}, {}, False),
        ({}, {"plain": True}, False),
    ],
)
def test_colour_only_where_it_is_wanted(gate, environ, options, coloured):
    g = gate("approve", environ=environ, **options)
    g.answer("Decision: ", "quit")
    g.end()
    assert (b"\x1b[" in g.seen) is coloured


def test_plain_and_ascii(gate):
    g = gate("approve", environ={"LC_ALL": "C"}, plain=True)
    g.answer("Decision: ", "quit")
    g.end()
    assert g.seen.isascii()
    assert b"| Does light symmetric" in g.seen


def test_the_terminal_mode_is_restored(tmp_path):
    """A terminal left in raw mode is read in lines all the same, and put back as it was."""
    import pexpect

    out = tmp_path / "answer.json"
    command = f"stty -icanon -echo; {sys.executable} {DRIVE} {out} approve; stty -a"
    child = pexpect.spawn("/bin/sh", ["-c", command], timeout=60, env={**os.environ, "TERM": "xterm"})
    child.expect_exact("Decision: ")
    child.sendline("quit")
    child.expect(pexpect.EOF)
    assert b"come back with" in child.before
    assert b"-icanon" in child.before


# ------------------------------------------------------------------- coming back


def test_a_forecast_stands_once_the_authors_was_shown(gate, bundle, tmp_path):
    """Left and opened again, the gate asks for no other."""
    g = gate("forecast", journal=str(tmp_path / "journal"))
    g.answer("[Enter skips]: ", "0 0.02 0.05")
    g.answer("[Enter skips]: ", "")
    g.answer("Decision: ", "quit")
    assert g.end() == 3
    g = gate("forecast", journal=str(tmp_path / "journal"))
    g.expect("Your forecast stands as you gave it before.")
    g.answer("Decision: ", "approve")
    g.answer("type", bundle[:8])
    assert b"[Enter skips]" not in g.seen
    (forecast,) = g.result()["forecasts"]
    assert forecast["quantiles"] == [0.0, 0.02, 0.05]


def test_a_forecast_skipped_stays_skipped(gate, bundle, tmp_path):
    g = gate("forecast", journal=str(tmp_path / "journal"))
    g.answer("[Enter skips]: ", "")
    g.answer("Decision: ", "quit")
    assert g.end() == 3
    g = gate("forecast", journal=str(tmp_path / "journal"))
    g.expect("You skipped your forecast before.")
    g.answer("Decision: ", "approve")
    g.answer("type", bundle[:8])
    assert g.result()["forecasts_skipped"]


def test_a_gate_left_before_the_authors_forecast_was_shown_asks_again(gate, tmp_path):
    g = gate("forecast", journal=str(tmp_path / "journal"))
    g.answer("[Enter skips]: ", "quit")
    assert g.end() == 3
    g = gate("forecast", journal=str(tmp_path / "journal"))
    g.answer("[Enter skips]: ", "quit")


def test_what_was_opened_before_counts_with_its_time(gate, subject, tmp_path):
    g = gate("accept", journal=str(tmp_path / "journal"))
    g.answer("Decision: ", "2")
    g.answer("Decision: ", "quit")
    assert g.end() == 3
    g = gate("accept", journal=str(tmp_path / "journal"))
    g.answer("Decision: ", "a")
    g.answer("type", subject[:8])
    seen = g.result()["attention"]
    assert seen["sections_opened"] == seen["sections_read"] == ["numbers"]
    assert 0 < seen["earlier_seconds"] < 60


class Journal(dict):
    note, noted = dict.__setitem__, dict.get


def test_what_was_opened_of_something_else_does_not_count():
    journal, ada, now = Journal(), Person(name="Ada", email="a@example.org"), datetime.now(UTC)
    memory = GateMemory(journal, ada, "1" * 64, "2" * 64)
    memory.opened.append("code")
    memory.keep_forecasts([])
    memory.keep_attention(memory.attention(now, now + timedelta(seconds=9)))
    same, other = GateMemory(journal, ada, "1" * 64, "2" * 64), GateMemory(journal, ada, "3" * 64, "2" * 64)
    assert (same.opened, same.seconds, same.forecasts) == (["code"], 9, [])
    assert (other.opened, other.seconds, other.forecasts) == ([], 0, [])
    assert GateMemory(journal, ada, "1" * 64, "4" * 64).forecasts is None
    assert GateMemory(journal, Person(name="Bob", email="a@example.org"), "1" * 64, "2" * 64).opened == []
    journal |= dict.fromkeys(journal, b"{")
    with pytest.raises(LedgerError, match="cannot be read"):
        GateMemory(journal, ada, "1" * 64)
