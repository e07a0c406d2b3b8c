"""Proposal to report on a real terminal, in Docker, and every reading command on what it made."""

import json

import pytest

pytestmark = pytest.mark.docker

KINDS = [
    "proposal", "ideas", "critique", "plan", "prediction", "preflight", "approval", "run",
    "result", "check", "conclusion", "monitoring", "acceptance", "report",
]  # fmt: skip
MINIMUM_ANSWERS = 4


@pytest.fixture(scope="module")
def course(module_desk, image, tmp_path_factory, quick_file):
    """(session, project) of the main job, done once for every test of this file."""
    folder = tmp_path_factory.mktemp("main") / "quick"
    session = module_desk.start(quick_file, folder)
    session.approve()
    session.accept()
    session.code = session.end()
    return session, folder


@pytest.fixture
def project(course):
    return course[1]


def test_four_answers_take_a_proposal_to_its_report(course, module_desk):
    session, project = course
    assert session.code == 0, session.screen
    assert session.answers == MINIMUM_ANSWERS
    assert module_desk.kinds(project) == KINDS
    module_desk.require_sound(project)


def test_progress_and_the_commands_to_go_on_with_are_on_the_screen(course):
    session, _ = course
    assert "trials " in session.screen
    assert "12" in session.screen
    for command in ("report", "log", "replay", "verify"):
        assert f"autoresearch -C quick {command}" in session.screen


def test_the_report_is_committed_with_its_figures(project, module_desk):
    tracked = module_desk.git("ls-files", "cycles/01", cwd=project).split()
    assert {"cycles/01/report.md", "cycles/01/report.html"} <= set(tracked)
    figures = [path for path in tracked if path.startswith("cycles/01/figures/")]
    assert {path.rsplit(".", 1)[1] for path in figures} == {"svg", "png", "json"}
    text = (project / "cycles/01/report.md").read_text()
    assert "Does a larger shift show up" in text
    assert "Ada Reviewer" in text
    assert "demonstration" not in text.lower()


def test_log_is_a_page_on_standard_output(project, module_desk):
    done = module_desk.run("log", cwd=project)
    assert (done.code, done.err) == (0, "")
    assert "APPROVE" in done.out
    assert "ACCEPT" in done.out
    assert len(done.out.splitlines()) < len(KINDS)
    assert "\x1b" not in done.out
    last = module_desk.run("log", "-n", "3", cwd=project)
    assert (last.code, last.err) == (0, "")
    assert "ACCEPT" in last.out
    assert "APPROVE" not in last.out
    full = module_desk.run("log", "--full", cwd=project)
    assert full.code == 0
    assert len(full.out.splitlines()) > len(done.out.splitlines())


def test_status_says_that_nothing_is_left_to_do(project, module_desk):
    done = module_desk.run("status", cwd=project)
    assert (done.code, done.err) == (0, "")
    assert "Does a larger shift show up" in done.out
    assert module_desk.status(project)["state"] == "finished"


def test_json_of_the_reading_commands_parses(project, module_desk):
    for args in (("status",), ("log",), ("show", "plan"), ("verify",)):
        done = module_desk.run(*args, "--json", cwd=project)
        assert (done.code, done.err) == (0, ""), args
        json.loads(done.out)
    plan = json.loads(module_desk.run("show", "plan", "--json", "--attempt", "1", cwd=project).out)
    assert plan["body"]["trials_per_arm"] == 6
    state = json.loads(module_desk.run("status", "--json", cwd=project).out)
    assert state["state"] == "finished"
    rows = json.loads(module_desk.run("log", "--json", cwd=project).out)["records"]
    assert [row["kind"] for row in rows] == KINDS
    verified = json.loads(module_desk.run("verify", "--json", cwd=project).out)
    assert verified["sound"] is True


@pytest.mark.parametrize("kind", KINDS)
def test_show_finds_every_record(project, module_desk, kind):
    done = module_desk.run("show", kind, cwd=project)
    assert (done.code, done.err) == (0, ""), done.err
    assert done.out.strip()


def test_show_of_an_unknown_step_names_the_nearest(project, module_desk):
    done = module_desk.run("show", "plam", cwd=project)
    assert (done.code, done.out) == (1, "")
    assert "did you mean plan?" in done.err


def test_diff_of_two_records_and_of_a_step_with_one_version(project, module_desk):
    done = module_desk.run("diff", "ideas", "critique", cwd=project)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("--- ideas (cycle 1, attempt 1)")
    single = module_desk.run("diff", "plan", cwd=project)
    assert (single.code, single.out) == (1, "")
    assert "only one version" in single.err


def test_verify_ends_with_what_it_cannot_see(project, module_desk):
    done = module_desk.run("verify", cwd=project)
    assert (done.code, done.err) == (0, "")
    assert "cannot" in done.out.strip().splitlines()[-1]


def test_replay_derives_every_record_again(project, module_desk):
    done = module_desk.run("replay", cwd=project)
    assert (done.code, done.err) == (0, ""), done.out + done.err
    assert sum(line.startswith("✓") for line in done.out.splitlines()) == len(KINDS)
    assert "✗" not in done.out


def test_report_builds_pages_that_git_ignores(copy_of, project, module_desk):
    mine = copy_of(project)
    done = module_desk.run("report", cwd=mine)
    assert (done.code, done.err) == (0, "")
    assert "report/report.html" in done.out.split()
    assert (mine / "report/report.html").stat().st_size > 1000
    module_desk.require_sound(mine)


def test_run_afterwards_does_nothing(project, module_desk):
    before = module_desk.git("rev-parse", "HEAD", cwd=project)
    done = module_desk.run("run", cwd=project)
    assert (done.code, done.out) == (0, ""), done.err
    assert module_desk.git("rev-parse", "HEAD", cwd=project) == before


def test_nothing_waits_for_a_decision_afterwards(project, module_desk):
    for args in (("review",), ("approve",), ("reject", "-m", "no")):
        done = module_desk.run(*args, cwd=project)
        assert (done.code, done.out) == (1, "")
        assert "no gate is waiting" in done.err


def test_the_experiments_again_after_a_typed_confirmation(copy_of, project, module_desk):
    mine = copy_of(project)
    session = module_desk.terminal("replay", "--experiments", cwd=mine)
    session.wait_for("Type ")
    head = module_desk.git("rev-parse", "HEAD", cwd=mine)[:8]
    session.type(head)
    assert session.end() == 0, session.screen
    assert "equal" in session.screen
    assert "fresh seed" in session.screen
    module_desk.require_sound(mine)


def test_the_experiments_do_not_run_again_without_a_terminal(project, module_desk):
    done = module_desk.run("replay", "--experiments", cwd=project)
    assert done.code == 3
    assert "nothing was run" in done.err


def test_a_walk_by_key(project, module_desk):
    session = module_desk.terminal("replay", "--walk", cwd=project)
    keys = (
        ("", "1 of 14"), ("4", "2 of 14"), ("o", "4 of 14"), ("d", "plan"), ("x", "has only one version"),
        ("f", "no model was asked"), ("14", "stand with a report"), ("f", "14 of 14"), ("b", "figures/result.json"),
        ("q", "13 of 14"),
    )  # fmt: skip
    for key, shown in keys:
        session.wait_for(shown)
        session.wait_for("q quit: ")
        session.type(key)
    assert session.end() == 0, session.screen
    assert "␛" not in session.screen


def test_the_project_works_from_a_directory_below(project, module_desk):
    done = module_desk.run("status", cwd=project / "cycles" / "01")
    assert done.code == 0, done.err


def test_no_container_is_left(project, module_desk, left_behind):
    assert left_behind(module_desk.show(project, "proposal")["body"]["project"]) == []
