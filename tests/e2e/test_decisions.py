"""Every decision at both gates, on a real terminal: what is recorded, and what runs again."""

import json
import signal
import subprocess

import pytest

from autoresearch.records import digest_of, sha256

pytestmark = pytest.mark.docker

FIRST_ATTEMPT = [(1, kind) for kind in ("proposal", "ideas", "critique", "plan", "prediction", "preflight")]
AFTER_APPROVAL = ["run", "result", "check", "conclusion", "monitoring"]
NEW_FORECAST = ("quantiles: [0.8, 1.0, 1.2]", "quantiles: [0.7, 1.0, 1.3]")
NEW_RIVAL = ("The noise hides the shift.", "The shift is too small to be seen.")
NEW_PLAN = ("trials_per_arm: 6", "trials_per_arm: 5")
LEAVE_IT = "anything else leaves it: "


@pytest.fixture(scope="module")
def at_approve(module_desk, image, tmp_path_factory, quick_file):
    return module_desk.waiting(quick_file, tmp_path_factory.mktemp("approve") / "project")


@pytest.fixture(scope="module")
def at_accept(module_desk, at_approve, tmp_path_factory):
    """A project whose experiment ran and whose conclusions wait."""
    folder = tmp_path_factory.mktemp("accept") / "project"
    subprocess.run(["cp", "-a", at_approve, folder], check=True)
    session = module_desk.terminal("run", cwd=folder)
    session.approve()
    session.wait_for("Decision: ")
    session.type("quit")
    assert session.end() == 3
    return folder


@pytest.fixture
def project(at_approve, copy_of):
    return copy_of(at_approve)


@pytest.fixture
def concluded(at_accept, copy_of):
    return copy_of(at_accept)


def reject(desk, project, reason="the rival is vague"):
    session = desk.terminal("run", cwd=project)
    session.wait_for("May this experiment run?")
    session.decide("reject", reason)
    session.wait_for(LEAVE_IT)
    session.type("no")
    assert session.end() == 5, session.screen
    return session


# ------------------------------------------------------------------ approve gate


def test_reject_names_the_file_the_section_and_the_reason(project, desk):
    session = reject(desk, project)
    last = session.screen.split(LEAVE_IT)[-1]
    for part in ("the rival is vague", "proposal.md", "Hypotheses", "Rivals", "autoresearch run"):
        assert part in last, last
    assert desk.placed(project) == [*FIRST_ATTEMPT, (1, "approval")]
    desk.require_sound(project)


def test_run_after_a_rejection_asks_for_a_change(project, desk):
    reject(desk, project)
    before = desk.log(project)
    done = desk.run("run", cwd=project)
    assert (done.code, done.out) == (5, "")
    assert "nothing has changed since the rejection" in done.err
    assert desk.log(project) == before


def test_only_what_a_changed_proposal_touches_runs_again(project, desk, variant):
    reject(desk, project)
    variant(project / "proposal.md", NEW_FORECAST)
    done = desk.run("run", cwd=project)
    assert done.code == 3, done.err
    rows = desk.log(project)
    assert desk.placed(project)[7:] == [(2, "proposal"), (2, "prediction"), (2, "preflight")]
    session = desk.terminal("review", cwd=project)
    session.wait_for("the rival is vague")
    session.decide("approve")
    assert session.end() == 0, session.screen
    bundle = desk.show(project, "approval")["body"]["bundle"]
    assert bundle["plan"] == next(row["digest"] for row in rows if row["kind"] == "plan")
    assert bundle["prediction"] == rows[8]["digest"]
    desk.require_sound(project)


def test_a_changed_rival_runs_everything_after_it_again(project, desk, variant):
    reject(desk, project)
    variant(project / "proposal.md", NEW_RIVAL)
    assert desk.run("run", cwd=project).code == 3
    assert desk.placed(project)[7:] == [(2, kind) for _, kind in FIRST_ATTEMPT]
    changed = desk.run("diff", "proposal", cwd=project)
    assert changed.code == 0
    assert "too small to be seen" in changed.out


def test_the_editor_at_hand_changes_the_proposal_at_once(project, desk, editor):
    session = desk.terminal("run", cwd=project, EDITOR=editor("proposal.md", "s/hides the shift/hides it/"))
    session.wait_for("May this experiment run?")
    session.decide("reject", "say it shorter")
    session.wait_for(LEAVE_IT)
    session.type("")
    session.wait_for("May this experiment run?")
    session.wait_for("Decision: ")
    session.type("quit")
    assert session.end() == 3
    assert desk.placed(project)[7] == (2, "proposal")
    desk.require_sound(project)


def test_a_broken_proposal_is_named_by_line_and_recorded_nowhere(project, desk, variant):
    reject(desk, project)
    variant(project / "proposal.md", ("trials_per_arm", "trials_per_am"))
    before = desk.log(project)
    done = desk.run("run", cwd=project)
    assert done.code == 1
    assert "proposal.md:" in done.err
    assert "trials_per_arm" in done.err
    assert desk.log(project) == before


def test_reject_twice_then_approve(project, desk, variant):
    reject(desk, project, "first reason")
    variant(project / "proposal.md", NEW_RIVAL)
    reject(desk, project, "second reason")
    variant(project / "proposal.md", NEW_RIVAL, NEW_PLAN)
    session = desk.terminal("run", cwd=project)
    session.approve()
    session.accept()
    assert session.end() == 0, session.screen
    assert "first reason" in session.screen
    assert "second reason" in session.screen
    approvals = [row for row in desk.log(project) if row["kind"] == "approval"]
    assert [(row["attempt"], row["decision"]) for row in approvals] == [
        (1, "reject"), (2, "reject"), (3, "approve"),
    ]  # fmt: skip
    report = (project / "cycles/01/report.md").read_text()
    assert "first reason" in report
    assert "second reason" in report
    desk.require_sound(project)
    replayed = desk.run("replay", cwd=project)
    assert replayed.code == 0, replayed.out + replayed.err


def test_revise_goes_back_to_the_plan(project, desk, variant):
    session = desk.terminal("run", cwd=project)
    session.wait_for("May this experiment run?")
    session.decide("revise", "fewer trials will do")
    session.wait_for(LEAVE_IT)
    session.type("no")
    assert session.end() == 5
    assert "Plan, Predictions, Decision table or Experiment" in " ".join(session.screen.split())
    variant(project / "proposal.md", NEW_PLAN)
    assert desk.run("run", cwd=project).code == 3
    assert desk.placed(project)[7:] == [(2, "proposal"), (2, "plan"), (2, "prediction"), (2, "preflight")]
    assert desk.show(project, "plan")["body"]["trials_per_arm"] == 5


def test_an_edit_is_a_plan_by_the_person_and_the_same_gate_again(project, desk, editor):
    session = desk.terminal(
        "run", cwd=project, EDITOR=editor("plan.yaml", "s/trials_per_arm: 6/trials_per_arm: 4/")
    )
    session.wait_for("May this experiment run?")
    session.decide("edit")
    session.wait_for("May this experiment run?")
    session.wait_for("8 trials (4 in each of 2 arms)")
    session.decide("approve")
    session.accept()
    assert session.end() == 0, session.screen
    plan = desk.show(project, "plan")
    assert (plan["body"]["trials_per_arm"], plan["made_by"]["author"]) == (4, "person")
    first = desk.show(project, "prediction", attempt=1)
    second = desk.show(project, "prediction", attempt=2)
    assert second["body"]["forecasts"] == first["body"]["forecasts"]
    assert second["body"]["carried_from"] == next(
        row["digest"] for row in desk.log(project) if row["kind"] == "prediction"
    )
    assert desk.show(project, "result")["body"]["trials_completed"] == 8
    desk.require_sound(project)
    replayed = desk.run("replay", cwd=project)
    assert replayed.code == 0, replayed.out + replayed.err


def test_an_edited_comparison_does_not_carry_forecasts(project, desk, editor):
    session = desk.terminal(
        "run", cwd=project, EDITOR=editor("plan.yaml", "s/smallest_effect: 0.1/smallest_effect: 0.3/")
    )
    session.wait_for("May this experiment run?")
    session.decide("edit")
    session.wait_for("May this experiment run?")
    session.wait_for("Decision: ")
    session.type("quit")
    assert session.end() == 3
    assert desk.show(project, "prediction", attempt=2)["body"]["carried_from"] is None


def test_edited_code_shows_what_changed_and_runs_as_approved(project, desk, editor):
    session = desk.terminal("run", cwd=project, EDITOR=editor("experiment.py", "s/size=50/size=60/"))
    session.wait_for("May this experiment run?")
    session.decide("edit")
    session.wait_for("May this experiment run?")
    session.wait_for("experiment.py +1 -1")
    session.decide("approve")
    session.accept()
    assert session.end() == 0, session.screen
    code = (project / "cycles/01/attempt-2/experiment/experiment.py").read_text()
    assert "size=60" in code
    desk.require_sound(project)


def test_an_edit_that_changes_nothing_asks_again(project, desk, editor):
    session = desk.terminal("run", cwd=project, EDITOR=editor("plan.yaml", "s/nothing like it/x/"))
    session.wait_for("Decision: ")
    session.type("edit")
    session.wait_for("Nothing was changed.")
    session.wait_for("Decision: ")
    session.type("quit")
    assert session.end() == 3
    assert desk.placed(project) == FIRST_ATTEMPT


def test_terminate_ends_the_project_with_a_report_to_build(project, desk):
    session = desk.terminal("run", cwd=project)
    session.wait_for("May this experiment run?")
    session.decide("terminate")
    assert session.end() == 5, session.screen
    assert "terminated by Ada Reviewer" in session.screen
    built = desk.run("report", cwd=project)
    assert built.code == 0, built.err
    assert "terminate" in (project / "report/report.md").read_text().lower()
    again = desk.run("run", cwd=project)
    assert again.code == 5
    assert desk.kinds(project)[-1] == "approval"
    desk.require_sound(project)


# ------------------------------------------------------------------- accept gate


def test_revise_at_accept_concludes_again_from_the_same_result(concluded, desk, variant):
    table = "\n## Decision table\n\n```yaml\n" + "".join(
        f"- outcome: {outcome}\n  conclusion: The numbers came out {outcome}.\n  supports: [{s}]\n  refutes: [{r}]\n"
        for outcome, s, r in (
            ("positive", "H1", "R1"), ("negative", "", "H1, R1"),
            ("negligible", "R1", "H1"), ("inconclusive", "R1", ""),
        )
    ) + "```\n"  # fmt: skip
    session = desk.terminal("run", cwd=concluded)
    session.wait_for("Do these conclusions follow?")
    session.decide("revise", "say it plainly")
    session.wait_for(LEAVE_IT)
    session.type("no")
    assert session.end() == 5
    assert "Decision table" in session.screen
    variant(concluded / "proposal.md", ("\n## Predictions", table + "\n## Predictions"))
    session = desk.terminal("run", cwd=concluded)
    session.wait_for("Decision: ")
    session.type("7")
    session.wait_for("say it plainly")
    session.accept_rest()
    assert session.end() == 0, session.screen
    rows = [kind for attempt, kind in desk.placed(concluded) if attempt == 2]
    assert rows == ["proposal", "conclusion", "monitoring", "acceptance", "report"]
    assert desk.kinds(concluded).count("result") == 1
    assert "came out positive" in desk.show(concluded, "conclusion")["body"]["prose"]
    desk.require_sound(concluded)


def test_redo_needs_a_new_plan_and_a_new_approval(concluded, desk, variant):
    session = desk.terminal("run", cwd=concluded)
    session.wait_for("Do these conclusions follow?")
    session.decide("redo", "more seeds")
    session.wait_for(LEAVE_IT)
    session.type("no")
    assert session.end() == 5
    variant(concluded / "proposal.md", ("trials_per_arm: 6", "trials_per_arm: 7"))
    session = desk.terminal("run", cwd=concluded)
    session.approve()
    # The same comparison a second time, after its result was seen: taking it takes a reason.
    session.wait_for("Do these conclusions follow?")
    session.wait_for("EXPLORES")
    session.decide("accept", "one more seed was the plan's own slip")
    assert session.end() == 0, session.screen
    rows = [kind for attempt, kind in desk.placed(concluded) if attempt == 2]
    assert rows == [
        "proposal",
        "plan",
        "prediction",
        "preflight",
        "approval",
        *AFTER_APPROVAL,
        "acceptance",
        "report",
    ]
    results = [row for row in desk.log(concluded) if row["kind"] == "result"]
    report = (concluded / "cycles/01/report.md").read_text()
    assert all(row["digest"][:12] in report for row in results), "every result stands in the report"
    assert "look 2 at this comparison" in report
    assert "recorded after seeing the result of attempt 1" in report
    desk.require_sound(concluded)


def test_reject_at_accept_ends_with_a_report_that_says_so(concluded, desk):
    session = desk.terminal("run", cwd=concluded)
    session.wait_for("Do these conclusions follow?")
    session.decide("reject", "the control is missing")
    assert session.end() == 5, session.screen
    assert desk.kinds(concluded)[-2:] == ["acceptance", "report"]
    verdicts = desk.show(concluded, "acceptance")["body"]["claims"]
    assert set(verdicts.values()) == {"reject"}
    report = (concluded / "cycles/01/report.md").read_text()
    assert "rejected" in report
    assert "the control is missing" in report
    assert desk.run("run", cwd=concluded).code == 5
    desk.require_sound(concluded)


def test_a_single_claim_can_be_downgraded(concluded, desk):
    session = desk.terminal("run", cwd=concluded)
    session.wait_for("Do these conclusions follow?")
    session.wait_for("Decision: ")
    session.type("1d")
    session.accept_rest()
    assert session.end() == 0, session.screen
    verdicts = list(desk.show(concluded, "acceptance")["body"]["claims"].values())
    assert verdicts[0] == "downgrade"
    assert set(verdicts[1:]) == {"accept"}


def test_follow_up_reports_and_begins_a_second_cycle(concluded, desk, variant):
    session = desk.terminal("run", cwd=concluded)
    session.wait_for("Do these conclusions follow?")
    session.decide("follow-up", "half the shift next")
    session.wait_for(LEAVE_IT)
    session.type("no")
    assert session.end() == 3, session.screen
    assert desk.kinds(concluded)[-1] == "report"
    assert "cycle 2 starts from a changed proposal.md" in " ".join(session.screen.split())
    variant(concluded / "proposal.md", ("rng.normal(1.0, 0.1)", "rng.normal(0.5, 0.1)"))
    session = desk.terminal("run", cwd=concluded)
    session.approve()
    session.wait_for("Do these conclusions follow?")
    session.wait_for("surprise-unexplained")
    session.wait_for("Decision: ")
    session.type("accept")
    session.wait_for("Second look:")
    session.type("accept")
    session.wait_for("Why accept?")
    session.type("the shift was halved on purpose")
    session.type(session.digest())
    assert session.end() == 0, session.screen
    assert desk.show(concluded, "acceptance")["body"]["reason"] == "the shift was halved on purpose"
    assert "half the shift next" in (concluded / "cycles/02/report.md").read_text()
    second = [(row["attempt"], row["kind"]) for row in desk.log(concluded) if row["cycle"] == 2]
    assert [kind for _, kind in second] == [
        *(kind for _, kind in FIRST_ATTEMPT), "approval", *AFTER_APPROVAL, "acceptance", "report",
    ]  # fmt: skip
    assert (concluded / "cycles/02/report.html").is_file()
    desk.require_sound(concluded)
    replayed = desk.run("replay", cwd=concluded)
    assert replayed.code == 0, replayed.out + replayed.err


# ------------------------------------------------------------------------ bounds


def test_the_bound_on_attempts_stops_and_names_the_setting(project, desk, variant):
    settings = project / "autoresearch.toml"
    settings.write_text(settings.read_text().replace("max_attempts = 8", "max_attempts = 2"))
    session = desk.terminal("run", cwd=project)
    session.type(session.digest())
    session.wait_for("May this experiment run?")
    session.decide("reject", "once")
    session.wait_for(LEAVE_IT)
    session.type("no")
    assert session.end() == 5
    variant(project / "proposal.md", NEW_RIVAL)
    session = desk.terminal("run", cwd=project)
    session.wait_for("May this experiment run?")
    session.decide("reject", "twice")
    assert session.end() == 5, session.screen
    assert "max_attempts" in " ".join(session.screen.splitlines()[-3:])
    assert desk.kinds(project)[-1] == "approval"
    settings.write_text(settings.read_text().replace("max_attempts = 2", "max_attempts = 3"))
    session = desk.terminal("run", cwd=project)
    session.type(session.digest())
    session.wait_for(LEAVE_IT)
    session.type("no")
    assert session.end() == 5
    assert desk.kinds(project).count("config") == 2
    desk.require_sound(project)


# ------------------------------------------------------------- leaving a gate open


def test_quit_leaves_the_gate_for_later(project, desk):
    for command in ("run", "review"):
        session = desk.terminal(command, cwd=project)
        session.wait_for("Decision: ")
        session.type("quit")
        assert session.end() == 3
        assert "autoresearch review" in session.screen
    assert desk.placed(project) == FIRST_ATTEMPT
    assert desk.status(project)["state"] == "waiting"
    session = desk.terminal("run", cwd=project)
    session.approve()
    session.wait_for("Do these conclusions follow?")
    session.wait_for("Decision: ")
    session.type("quit")
    assert session.end() == 3
    desk.require_sound(project)


def test_ctrl_c_at_a_gate_is_130_and_decides_nothing(project, desk):
    session = desk.terminal("run", cwd=project)
    session.wait_for("Decision: ")
    session.child.sendintr()
    assert session.end() == 130
    assert "Traceback" not in session.screen
    said = "interrupted; the gate approve stays open; come back with: autoresearch review"
    assert said in " ".join(session.screen.split())
    assert "goes on in its container" not in session.screen
    assert desk.placed(project) == FIRST_ATTEMPT


def test_ctrl_c_at_the_digest_decides_nothing(project, desk):
    session = desk.terminal("run", cwd=project)
    session.wait_for("Decision: ")
    session.type("approve")
    session.digest()
    session.child.sendintr()
    assert session.end() == 130
    assert desk.placed(project) == FIRST_ATTEMPT


def test_end_of_input_at_a_gate_decides_nothing(project, desk):
    session = desk.terminal("run", cwd=project)
    session.wait_for("Decision: ")
    session.child.sendeof()
    assert session.end() == 3
    assert "end of input" in session.screen
    assert desk.placed(project) == FIRST_ATTEMPT


def test_a_terminal_that_hangs_up_decides_nothing(project, desk):
    session = desk.terminal("run", cwd=project)
    session.wait_for("Decision: ")
    session.type("approve")
    session.digest()
    session.child.close(force=True)
    assert desk.placed(project) == FIRST_ATTEMPT


def test_three_wrong_digests_leave_the_gate_open(project, desk):
    session = desk.terminal("run", cwd=project)
    session.wait_for("Decision: ")
    session.type("approve")
    for _ in range(3):
        shown = session.digest()
        session.type("00000000" if shown != "00000000" else "11111111")
    assert session.end() == 3
    assert desk.placed(project) == FIRST_ATTEMPT


def test_typed_ahead_answers_are_thrown_away(project, desk):
    session = desk.terminal("run", cwd=project)
    session.child.send("approve\napprove\n" * 20)
    session.wait_for("Decision: ")
    session.type("quit")
    assert session.end() == 3
    assert "To approve" not in session.screen
    assert desk.placed(project) == FIRST_ATTEMPT


def test_a_pipe_of_yes_is_inert_even_with_a_terminal_beside_it(project, desk):
    session = desk.shell("yes approve | autoresearch run", cwd=project)
    session.wait_for("Decision: ")
    session.type("quit")
    session.end()
    assert "come back with" in session.screen
    assert desk.placed(project) == FIRST_ATTEMPT


@pytest.mark.parametrize("command", [("run",), ("review",), ("approve",), ("reject", "-m", "because")])
def test_without_a_terminal_a_gate_stays_open(project, desk, command):
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as flood:
        for stdin in (subprocess.DEVNULL, flood.stdout):
            done = desk.run(*command, cwd=project, stdin=stdin)
            assert (done.code, done.out) == (3, ""), done.err
            assert "no terminal to ask at" in done.err
            assert "autoresearch review" in done.err
        flood.kill()
    assert desk.placed(project) == FIRST_ATTEMPT
    desk.require_sound(project)


# ------------------------------------------------------- approve, reject, review


def test_approve_shows_the_gate_confirms_and_stops_there(project, desk):
    session = desk.terminal("approve", cwd=project)
    session.wait_for("May this experiment run?")
    session.type(session.digest())
    assert session.end() == 0, session.screen
    assert session.answers == 1
    assert "autoresearch run" in session.screen
    assert desk.placed(project) == [*FIRST_ATTEMPT, (1, "approval")]
    session = desk.terminal("run", cwd=project)
    session.wait_for("Do these conclusions follow?")
    session.accept_rest()
    assert session.end() == 0, session.screen


def test_reject_with_its_reason_shows_the_gate_and_confirms(project, desk):
    session = desk.terminal("reject", "-m", "not worth it", cwd=project)
    session.wait_for("May this experiment run?")
    session.type(session.digest())
    assert session.end() == 0, session.screen
    body = desk.show(project, "approval")["body"]
    assert (body["decision"], body["reason"]) == ("reject", "not worth it")


def test_reject_without_a_reason_is_a_usage_error(project, desk):
    done = desk.run("reject", cwd=project)
    assert done.code == 2
    assert "Traceback" not in done.err


def test_approve_at_the_second_gate_accepts(concluded, desk):
    session = desk.terminal("approve", cwd=concluded)
    session.wait_for("Do these conclusions follow?")
    session.type(session.digest())
    assert session.end() == 0, session.screen
    assert desk.show(concluded, "acceptance")["body"]["decision"] == "accept"
    done = desk.run("run", cwd=concluded)
    assert done.code == 0, done.err
    assert desk.kinds(concluded)[-1] == "report"


def test_review_asks_in_full(project, desk):
    session = desk.terminal("review", cwd=project)
    session.wait_for("May this experiment run?")
    session.decide("approve")
    assert session.end() == 0, session.screen
    assert desk.kinds(project)[-1] == "approval"


def test_review_as_json_prints_the_whole_gate_and_decides_nothing(project, desk):
    done = desk.run("review", "--json", cwd=project)
    assert done.code == 0, done.err
    gate = json.loads(done.out)
    assert (gate["gate"], gate["kind"]) == ("approve", "approval")
    assert gate["digest"] == digest_of(gate["bundle"])
    code = gate["files"]["experiment/experiment.py"]["text"]
    assert sha256(code.encode()) == gate["bundle"]["files"]["experiment/experiment.py"]
    assert gate["plan"]["question"]
    assert isinstance(gate["forecasts"], list)  # they are this reviewer's own
    assert desk.placed(project) == FIRST_ATTEMPT
    session = desk.terminal("approve", cwd=project)
    assert session.digest() == gate["digest"][:8]
    session.type("quit")
    assert session.end() == 3
    (desk.home / ".gitconfig").write_text("[user]\n\tname = Bob Other\n\temail = bob@example.org\n")
    withheld = json.loads(desk.run("review", "--json", cwd=project).out)
    assert withheld["forecasts"].startswith("not shown before the reviewer has given")


def test_the_persons_own_command_is_told_that_a_gate_waits(project, desk, tmp_path):
    told = tmp_path / "told"
    config = desk.home / ".config" / "autoresearch" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        f"""notify_command = ["sh", "-c", 'echo "$1" >> {told}; exit 7', "sh", "{{gate}}: {{title}}"]\n"""
    )
    config.chmod(0o600)
    done = desk.run("run", cwd=project)
    assert done.code == 3
    assert "notify_command ended with 7" in done.err
    assert told.read_text().startswith("approve: ")
    # Whoever opens the gate themselves need not be told.
    assert desk.run("review", cwd=project).code == 3
    assert len(told.read_text().splitlines()) == 1


# ----------------------------------------------------------- who decides, and when


def test_another_reviewer_is_asked_for_a_forecast_first(project, desk):
    (desk.home / ".gitconfig").write_text("[user]\n\tname = Bob Other\n\temail = bob@example.org\n")
    session = desk.terminal("approve", cwd=project)
    session.wait_for("Your 10/50/90 for")
    session.wait_for("[Enter skips]: ")
    session.type("0.5 0.9 1.4")
    session.type(session.digest())
    assert session.end() == 0, session.screen
    body = desk.show(project, "approval")["body"]
    assert body["forecasts"][0]["quantiles"] == [0.5, 0.9, 1.4]
    assert body["reviewer"]["person"]["name"] == "Bob Other"
    assert desk.git("log", "-1", "--format=%an <%ae>", cwd=project).strip() == "Bob Other <bob@example.org>"
    desk.require_sound(project)


def test_the_slower_of_two_reviewers_is_told(project, desk):
    slow = desk.terminal("review", cwd=project)
    slow.wait_for("Decision: ")
    fast = desk.terminal("review", cwd=project)
    fast.wait_for("Decision: ")
    fast.type("reject")
    fast.wait_for("Why reject?")
    fast.type("first come")
    fast.type(fast.digest())
    assert fast.end() == 0
    slow.type("approve")
    slow.type(slow.digest())
    assert slow.end() == 6, slow.screen
    assert "somebody else decided meanwhile" in slow.screen
    assert desk.kinds(project).count("approval") == 1
    desk.require_sound(project)


def test_a_settings_change_after_an_approval_does_not_void_it(project, desk):
    session = desk.terminal("approve", cwd=project)
    session.type(session.digest())
    assert session.end() == 0
    settings = project / "autoresearch.toml"
    settings.write_text(settings.read_text().replace("max_attempts = 8", "max_attempts = 9"))
    session = desk.terminal("run", cwd=project)
    session.accept()
    session.type(session.digest())
    assert session.end() == 0, session.screen
    kinds = desk.kinds(project)
    assert kinds[6:8] == ["approval", "run"]
    assert kinds.count("config") == 1
    desk.require_sound(project)


def test_sighup_at_a_gate_decides_nothing(project, desk):
    session = desk.terminal("run", cwd=project)
    session.wait_for("Decision: ")
    session.child.kill(signal.SIGHUP)
    session.end()
    assert desk.placed(project) == FIRST_ATTEMPT
    assert json.loads(desk.run("verify", "--json", cwd=project).out)["sound"]
