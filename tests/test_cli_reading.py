"""Commands that only read: quick to start, at home in a clone and a sub-directory, and clear when they refuse."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from autoresearch import assets
from autoresearch.records import Settings
from autoresearch.testing_project import drive, make_project
from autoresearch.workflow import parse_workflow

COMMAND = str(Path(sys.executable).with_name("autoresearch"))
HEAVY = {"langgraph", "langchain_core", "anthropic", "docker", "scipy", "matplotlib", "numpy"}
READING = [["status"], ["log"], ["log", "--full"], ["show", "plan"], ["verify"]]

TELL = """
import sys
from autoresearch.cli.main import main
sys.argv = ["autoresearch", *sys.argv[1:]]
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def run(*args, cwd, **env):
    return subprocess.run(
        [COMMAND, *map(str, args)],
        cwd=cwd,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("reading") / "project"
    ledger = make_project(root, (Path(__file__).parent / "data" / "quick.md").read_text())
    drive(ledger, ["approve", "accept"])
    ledger.close()
    return root


# --------------------------------------------------------------------- imports


def imported(*args, cwd):
    done = subprocess.run(
        [sys.executable, "-c", TELL, *args], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "args",
    [["--help"], ["start", "--help"], ["--version"], *READING, ["log", "--json"], ["diff", "plan", "ideas"]],
    ids=" ".join,
)
def test_reading_imports_nothing_heavy(finished, args):
    names = imported(*args, cwd=finished)
    assert "autoresearch" in names
    assert names & HEAVY == set()


def test_the_look_at_imports_does_see_them(finished):
    assert {"langgraph", "matplotlib"} <= imported("replay", cwd=finished)


# ------------------------------------------------------------------------ place


@pytest.fixture
def clone(finished, tmp_path):
    place = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", finished, place], check=True)
    assert not (place / ".git" / "autoresearch").exists()
    return place


@pytest.mark.parametrize("args", [*READING, ["report"]], ids=" ".join)
def test_a_clone_reads_as_the_project_does(finished, clone, args):
    there, here = run(*args, cwd=clone), run(*args, cwd=finished)
    assert there.returncode == 0, there.stderr
    assert there.stdout.replace(str(clone), "") == here.stdout.replace(str(finished), "")
    shutil.rmtree(finished / "report", ignore_errors=True)


def test_a_report_that_cannot_be_written_is_named_with_the_next_step(clone):
    (clone / "report").mkdir()
    (clone / "report" / "report.html").symlink_to("/dev/full")
    done = run("report", cwd=clone)
    assert done.returncode == 1
    assert done.stderr == (
        "autoresearch: report/report.html could not be written: No space left on device\n"
        "nothing on record depends on it; once that is mended, again: autoresearch report\n"
    )


def test_an_error_at_a_terminal_breaks_between_words_and_in_no_command(finished):
    child = pexpect.spawn(
        COMMAND, ["review"], cwd=str(finished), env=os.environ, dimensions=(24, 64), timeout=60
    )
    child.expect(pexpect.EOF)
    child.close()
    assert child.before.decode().splitlines() == [
        "autoresearch: no gate is waiting for a decision; see:",
        "autoresearch status",
    ]


def test_reading_changes_nothing(clone):
    before = sorted(path for path in clone.rglob("*") if ".git/" not in str(path))
    for args in READING:
        run(*args, cwd=clone)
    assert sorted(path for path in clone.rglob("*") if ".git/" not in str(path)) == before
    assert (
        subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, check=True).stdout
        == b""
    )


@pytest.mark.parametrize("args", READING, ids=" ".join)
def test_from_a_sub_directory_and_from_elsewhere(finished, tmp_path, args):
    here = run(*args, cwd=finished)
    below = run(*args, cwd=finished / "cycles" / "01")
    elsewhere = run("-C", finished, *args, cwd=tmp_path)
    assert here.returncode == below.returncode == elsewhere.returncode == 0
    assert here.stdout == below.stdout
    if args != ["status"]:  # which names the command as it has to be typed from there
        assert here.stdout == elsewhere.stdout


@pytest.mark.parametrize("args", READING, ids=" ".join)
def test_outside_of_a_project(tmp_path, args):
    done = run(*args, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not in an autoresearch project; make one with: autoresearch start PROPOSAL" in done.stderr


def test_an_ordinary_repository_is_no_project(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    done = run("status", cwd=tmp_path)
    assert done.returncode == 1
    assert "is not in an autoresearch project" in done.stderr


def test_a_folder_that_does_not_exist(tmp_path):
    done = run("-C", tmp_path / "none", "status", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"autoresearch: {tmp_path}/none does not exist\n"


@pytest.mark.parametrize(
    "args",
    [
        ["-C", "nosuch/deeper", "status"],
        ["-C", "proposal.md", "status"],
        ["diff", "--with", "nosuch"],
        ["diff", "plan", "--with", "nosuch"],
        ["forecasts", "nosuch"],
    ],
    ids=" ".join,
)
def test_a_mistyped_folder_inside_a_project_is_not_the_project(finished, args):
    done = run(*args, cwd=finished)
    assert (done.returncode, done.stdout) == (1, "")
    named = next(word for word in args if word.startswith(("nosuch", "proposal.md")))
    what = "is not a directory" if named == "proposal.md" else "does not exist"
    assert done.stderr == f"autoresearch: {finished}/{named} {what}\n"


@pytest.mark.parametrize("args", [["status"], ["log"], ["show", "plan"], ["verify"]], ids=" ".join)
def test_json_is_one_document_on_standard_output(finished, args):
    done = run(*args, "--json", cwd=finished)
    assert (done.returncode, done.stderr) == (0, "")
    json.loads(done.stdout)


def test_a_reader_that_goes_away_gets_no_traceback(finished):
    done = subprocess.run(
        f"{COMMAND} log --full | head -n 1",
        shell=True,
        cwd=finished,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_an_unknown_record_names_the_nearest(finished):
    done = run("show", "plna", cwd=finished)
    assert done.returncode == 1
    assert "did you mean plan?" in done.stderr


@pytest.mark.parametrize(
    ("where", "said"), [(["--cycle", 9], "cycle 9"), (["--cycle", 1, "--attempt", 2], "cycle 1, attempt 2")]
)
def test_a_record_of_a_cycle_that_has_none_is_told_where_there_is_one(finished, where, said):
    done = run("show", "ideas", *where, cwd=finished)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"autoresearch: no record in {said} goes by 'ideas'; the last one that does: ideas (cycle 1, attempt 1)\n"
    )


# ------------------------------------------------------------------- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(tmp_path, shell):
    done = run(cwd=tmp_path, _AUTORESEARCH_COMPLETE=f"{shell}_source")
    assert done.returncode == 0, done.stderr
    assert "_AUTORESEARCH_COMPLETE" in done.stdout


def test_completion_knows_the_commands(tmp_path):
    done = run(
        cwd=tmp_path, _AUTORESEARCH_COMPLETE="bash_complete", COMP_WORDS="autoresearch re", COMP_CWORD="1"
    )
    assert {line.partition(",")[2] for line in done.stdout.split()} >= {
        "reject",
        "replay",
        "report",
        "review",
    }


def test_help_is_not_cut_and_names_what_can_be_given(tmp_path):
    assert "..." not in run("--help", cwd=tmp_path, COLUMNS="80").stdout.partition("Commands:")[2]
    demo, shown = run("demo", "--help", cwd=tmp_path).stdout, run("show", "--help", cwd=tmp_path).stdout
    assert all(folder.name in demo for folder in assets.examples().iterdir() if folder.is_dir())
    steps = parse_workflow(STANDARD).steps
    assert not [step for step in steps if not re.search(rf"\b{step}\b", shown)]


# --------------------------------------------------------------- workflow check


STANDARD = (assets.workflows() / "standard" / "workflow.yaml").read_text()
BAD = {
    "a way round approve": (STANDARD.replace("next: approve\n", "next: experiment\n"), "gate: "),
    "a way round accept": (STANDARD.replace("revise: conclude", "revise: writeup"), "gate: "),
    "a loop without approval": (STANDARD.replace("lost: approve ", "lost: experiment "), "experiment"),
    "an unknown step": (STANDARD.replace("next: critique", "next: critqiue"), "did you mean critique?"),
    "an unknown key": (STANDARD.replace("start: ideate", "start: ideate\ncolour: red"), "colour"),
    "no YAML": ("steps: [", "not YAML"),
    "a list": ("- a\n", "a workflow is a mapping"),
    "empty": ("", "a workflow is a mapping"),
    "bytes": (b"\xff\xfe\x00", ""),
}


def test_the_shipped_workflow_passes(tmp_path):
    (tmp_path / "mine.yaml").write_text(STANDARD)
    done = run("workflow", "check", "mine.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "mine.yaml: standard, 12 steps, both gates stand on every path\n"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_workflow_is_refused(tmp_path, name):
    text, said = BAD[name]
    assert text != STANDARD
    (tmp_path / "mine.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    done = run("workflow", "check", "mine.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("autoresearch: mine.yaml")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_way_round_a_gate_is_named_step_by_step(tmp_path):
    (tmp_path / "mine.yaml").write_text(BAD["a way round approve"][0])
    done = run("workflow", "check", "mine.yaml", cwd=tmp_path)
    assert "preflight → experiment" in done.stderr


def test_a_missing_workflow_and_no_workflow(tmp_path):
    done = run("workflow", "check", "none.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert "none.yaml: No such file or directory" in done.stderr
    assert run("workflow", "check", cwd=tmp_path).returncode == 2


def test_the_workflows_schema(tmp_path):
    done = run("workflow", "check", "--schema", cwd=tmp_path)
    assert set(json.loads(done.stdout)["properties"]) == {"schema", "name", "start", "steps"}


# --------------------------------------------------------------------- template


def test_a_template_is_a_proposal_once_it_is_filled_in(tmp_path):
    """What is printed can be started from as it is, or says which lines are still to be written."""
    printed = run("template", cwd=tmp_path)
    assert printed.returncode == 0
    (tmp_path / "mine.md").write_text(printed.stdout)
    again = run("template", "mine.md", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, printed.stdout), "complete already"


def test_a_free_form_text_is_completed_and_keeps_its_words(tmp_path):
    free = (Path(__file__).parent / "data" / "free_form.md").read_text()
    (tmp_path / "free.md").write_text(free)
    done = run("template", "free.md", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert free.strip() in done.stdout
    (tmp_path / "whole.md").write_text(done.stdout)
    assert run("template", "whole.md", cwd=tmp_path).stdout == done.stdout
    start = run("start", "whole.md", cwd=tmp_path)
    assert start.returncode == 1
    assert "still to be written" in start.stderr
    assert not (tmp_path / "whole").exists()


def test_a_template_for_no_file(tmp_path):
    done = run("template", "none.md", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "none.md does not exist" in done.stderr


# ----------------------------------------------------------------------- doctor


def test_doctor_without_an_identity_or_an_engine_says_what_to_type(tmp_path, home):
    (home / ".gitconfig").unlink()
    done = run("doctor", cwd=tmp_path, DOCKER_HOST="unix:///nowhere.sock")
    assert done.returncode == 4
    assert "git config --global user.name" in done.stdout
    missing = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("missing")]
    assert {"identity", "engine"} <= set(missing)
    assert done.stderr.startswith("autoresearch: missing: identity, engine")
    assert "Traceback" not in done.stderr


@pytest.mark.docker
def test_doctor_with_everything_is_content(tmp_path):
    done = run("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    for name in ("python", "git", "identity", "sources", "engine", "disk"):
        assert any(line.split()[:2] == ["ok", name] for line in done.stdout.splitlines()), name


def test_doctor_never_shows_a_key(tmp_path):
    done = run("doctor", cwd=tmp_path, ANTHROPIC_API_KEY="sk-canary-0123456789-abcdefghij")
    assert "canary" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("models", "environ", "lines"),
    [
        ({}, {}, ["missing  model      no credential for anthropic:a"]),
        ({}, {"ANTHROPIC_API_KEY": "sk-canary-0123456789"}, [
            "ok       model      anthropic:a for ideate, critique, plan, predict, conclude, writeup: a credential is set",
        ]),
        ({"critique": {"use": "command:no-such-program -x"}, "plan": {"use": "none"}}, {"ANTHROPIC_API_KEY": "k"}, [
            "missing  model      no program no-such-program",
            "ok       model      none for plan: they read proposal.md",
            "ok       model      anthropic:a for ideate, predict, conclude, writeup",
        ]),
        ({"critique": {"use": "openai:x"}}, {"ANTHROPIC_API_KEY": "k"}, ["missing  model      unknown model 'openai:x'"]),
        ({"critique": {"base_url": "http://127.0.0.1:1", "headers": {"x-api-key": "$GATE"}}}, {"ANTHROPIC_API_KEY": "k"}, [
            "missing  model      the header x-api-key of anthropic:a is to come from GATE, which is not set",
        ]),
    ],
)  # fmt: skip
def test_doctor_looks_at_every_model_of_a_project(tmp_path, quick, models, environ, lines):
    settings = Settings(model={"use": "anthropic:a"}, models=models)
    make_project(tmp_path / "p", quick.read_text(), settings=settings).close()
    cleared = dict.fromkeys(("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"), "")
    done = run("doctor", cwd=tmp_path / "p", DOCKER_HOST="unix:///nowhere.sock", **(cleared | environ))
    for line in lines:
        assert any(printed.startswith(line) for printed in done.stdout.splitlines()), done.stdout
    assert "canary" not in done.stdout + done.stderr
    assert done.returncode == 4


def test_start_takes_a_shipped_workflow_by_name_and_lists_them_for_an_unknown_one(tmp_path, quick):
    (tmp_path / "study.md").write_text(quick.read_text())
    unknown = run("start", "study.md", "--workflow", "weak-prox", cwd=tmp_path)
    assert unknown.returncode == 1
    assert "standard, replication, weak-proxy" in unknown.stderr
    assert not (tmp_path / "study").exists()
    nowhere = {"DOCKER_HOST": "unix:///nowhere.sock"}
    run("start", "study.md", "--workflow", "weak-proxy", cwd=tmp_path, **nowhere)
    chosen = tmp_path / "study" / "workflow"
    assert "\nname: weak-proxy\n" in (chosen / "workflow.yaml").read_text()
    shipped = assets.workflow_files(assets.workflow_file("weak-proxy"))
    there = {str(path.relative_to(chosen)): path.read_bytes() for path in chosen.rglob("*.*")}
    assert there == shipped


# ------------------------------------------------------------------- forecasts


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory):
    root = tmp_path_factory.mktemp("demonstration") / "project"
    text = (Path(__file__).parent / "data" / "quick.md").read_text()
    make_project(root, text, title="Shown", demonstration=True).close()
    return root


def test_forecasts_of_several_projects_leave_demonstrations_out_and_count_a_clone_once(
    finished, demonstration, tmp_path
):
    subprocess.run(["git", "clone", "-q", finished, tmp_path / "clone"], check=True)
    done = run("forecasts", finished, tmp_path / "clone", demonstration, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["projects"], found["left_out"]) == (1, ["Shown"])
    (who,) = found["forecasters"]
    assert (who["forecasts"], who["results"], who["intervals"]) == (2, 1, 1)
    page = run("forecasts", cwd=finished).stdout
    assert "1 result in 1 project" in page
    assert "of 1; no interval for that: needs 5, has 1" in page


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_forecasts_draw_a_figure(finished, tmp_path, suffix):
    figure = tmp_path / f"record.{suffix}"
    for _ in range(2):
        done = run("-C", finished, "forecasts", "--figure", figure, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert figure.read_bytes().startswith({"svg": b"<?xml", "png": b"\x89PNG"}[suffix])


def test_forecasts_refuse_what_is_no_project_and_no_figure(finished, tmp_path):
    done = run("forecasts", tmp_path, cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert str(tmp_path) in done.stderr
    done = run("forecasts", "--figure", "x.pdf", cwd=finished)
    assert done.returncode == 1
    assert "must end in .svg or .png" in done.stderr
