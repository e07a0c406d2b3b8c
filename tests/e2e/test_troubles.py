"""What goes wrong: one clear line, the right exit code, nothing lost, nothing half-written."""

import errno
import shutil
import subprocess

import pytest

FIRST_ATTEMPT = ["proposal", "ideas", "critique", "plan", "prediction", "preflight"]
LEAVE_IT = "anything else leaves it: "
DEAD_ENGINE = "unix:///nonexistent/docker.sock"

CRASHING = """
def run_trial(arm, seed, config, data):
    assert arm != "shifted", "the shifted arm is broken"
    return {"numbers": [1.0]}
"""
ENDLESS = """
import time

def run_trial(arm, seed, config, data):
    print(arm, "shifted")
    time.sleep(60)
    return {"numbers": [1.0]}
"""
HUNGRY = """
import numpy as np

def run_trial(arm, seed, config, data):
    hoard = [np.ones(10_000_000) for _ in range(100)]
    return {"numbers": hoard[0][:5] + (arm == "shifted")}
"""
SLOW = """
import time
import numpy as np

def run_trial(arm, seed, config, data):
    time.sleep(0.4)
    return {"numbers": np.random.default_rng(seed).normal(size=9) + (arm == "shifted")}
"""


def refused(done, code):
    """A command that ended with `code` and said why, on standard error only."""
    assert done.code == code, (done.code, done.out, done.err)
    assert done.out == ""
    assert "Traceback" not in done.err
    lines = [line for line in done.err.splitlines() if line.startswith("autoresearch: ")]
    assert len(lines) == 1, done.err
    return lines[0]


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def at_gate(module_desk, image, tmp_path_factory, quick_file):
    return module_desk.waiting(quick_file, tmp_path_factory.mktemp("gate") / "project")


@pytest.fixture
def project(at_gate, copy_of):
    return copy_of(at_gate)


# ---------------------------------------------------------------- the experiment


@pytest.mark.docker
def test_a_crash_is_a_result_and_leads_back_to_the_plan(desk, image, tmp_path, variant):
    proposal = variant(tmp_path / "crash.md", code=CRASHING)
    session = desk.start(proposal, tmp_path / "crash")
    session.approve()
    session.wait_for(LEAVE_IT)
    session.type("no")
    assert session.end() == 1, session.screen
    project = tmp_path / "crash"
    assert "the experiment ended as Crashed" in session.screen
    assert "nothing has changed since the crash" in session.screen
    assert "Traceback" not in session.screen.split(LEAVE_IT)[-1]
    assert desk.kinds(project) == [*FIRST_ATTEMPT, "approval", "run", "result"]
    assert desk.show(project, "result")["body"]["status"] == "Crashed"
    assert "(shifted): AssertionError: the shifted arm is broken" in " ".join(session.screen.split())
    assert refused(desk.run("run", cwd=project), 1)
    variant(project / "proposal.md")
    session = desk.terminal("run", cwd=project)
    session.wait_for("Crashed after")
    session.decide("approve")
    session.accept()
    assert session.end() == 0, session.screen
    assert [row["attempt"] for row in desk.log(project) if row["kind"] == "plan"] == [1, 2]
    assert "Crashed" in (project / "cycles/01/report.md").read_text()
    desk.require_sound(project)
    replayed = desk.run("replay", cwd=project)
    assert replayed.code == 0, replayed.out + replayed.err


@pytest.mark.docker
@pytest.mark.parametrize(
    ("code", "limit", "status"),
    [
        (ENDLESS, ("seconds: 30", "seconds: 2"), "TimedOut"),
        (HUNGRY, ("memory_mb: 256", "memory_mb: 128"), "OutOfMemory"),
    ],
)
def test_a_limit_ends_the_experiment(desk, image, tmp_path, variant, left_behind, code, limit, status):
    proposal = variant(tmp_path / "limit.md", limit, code=code)
    session = desk.start(proposal, tmp_path / "limit")
    session.approve()
    session.wait_for(LEAVE_IT)
    session.type("no")
    assert session.end() == 1, session.screen
    project = tmp_path / "limit"
    result = desk.show(project, "result")["body"]
    assert result["status"] == status
    assert result["trials_completed"] < result["trials_issued"]
    assert f"the experiment ended as {status}" in session.screen
    desk.require_sound(project)
    assert left_behind(desk.show(project, "proposal")["body"]["project"]) == []


@pytest.mark.docker
def test_a_second_process_finds_the_project_locked(desk, image, tmp_path, variant):
    proposal = variant(tmp_path / "slow.md", code=SLOW)
    session = desk.start(proposal, tmp_path / "slow")
    project = tmp_path / "slow"
    session.approve()
    session.wait_for("elapsed")
    line = refused(desk.run("run", cwd=project), 6)
    assert "another autoresearch process" in line
    assert desk.run("status", cwd=project).code == 0, "reading needs no lock"
    session.accept()
    assert session.end() == 0, session.screen
    desk.require_sound(project)


@pytest.mark.docker
def test_ctrl_c_during_the_experiment_loses_nothing(desk, image, tmp_path, variant, left_behind):
    proposal = variant(tmp_path / "slow.md", code=SLOW)
    session = desk.start(proposal, tmp_path / "slow")
    project = tmp_path / "slow"
    session.approve()
    session.wait_for("elapsed")
    session.child.sendintr()
    assert session.end() == 130
    assert "Traceback" not in session.screen
    session = desk.terminal("run", cwd=project)
    session.accept()
    assert session.end() == 0, session.screen
    assert desk.kinds(project).count("run") == 1
    assert desk.show(project, "result")["body"]["status"] == "Completed"
    desk.require_sound(project)
    assert left_behind(desk.show(project, "proposal")["body"]["project"]) == []


# ------------------------------------------------- what is not the person's to change


@pytest.mark.docker
@pytest.mark.parametrize(
    ("path", "text", "way_on"),
    [
        ("workflow/workflow.yaml", "name: mine\n", "git checkout -- workflow/workflow.yaml"),
        (
            "workflow/prompts/extra.md",
            "more\n",
            "mkdir -p notes && mv -n -- workflow/prompts/extra.md notes/",
        ),
        ("workflow/prompts/plan.md", None, "git checkout -- workflow/prompts/plan.md"),
        ("cycles/01/attempt-1/plan.json", "{}\n", "git checkout -- cycles/01/attempt-1/plan.json"),
        ("scratch.py", "print()\n", "mkdir -p notes && mv -n -- scratch.py notes/"),
        ("two words/a;b.txt", "x\n", "mkdir -p notes && mv -n -- 'two words/a;b.txt' notes/"),
    ],
)
def test_a_change_that_is_nobodys_is_named_with_what_mends_it(project, desk, path, text, way_on):
    place = project / path
    if text is None:
        place.unlink()
    else:
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
    line = refused(desk.run("run", cwd=project), 1)
    assert f"{path} is " in line
    untracked = way_on.startswith("mkdir")
    assert line.endswith(f"{'keep it' if untracked else 'undo'} with: {way_on}")
    if path.startswith("workflow/"):
        assert "--workflow" in desk.run("run", cwd=project).err
    assert (place.read_text() if place.exists() else None) == text
    subprocess.run(["sh", "-c", way_on], cwd=project, env=desk.env, check=True, capture_output=True)
    if untracked:
        assert (project / "notes" / place.name).read_text() == text, "what git does not have is not lost"
        shutil.rmtree(project / "notes")
    assert desk.run("run", cwd=project).code == 3
    desk.require_sound(project)


@pytest.mark.docker
@pytest.mark.parametrize(("path", "what"), [("scratch.py", "keep it"), ("workflow/workflow.yaml", "undo")])
def test_the_way_on_fits_where_the_command_was_typed(project, desk, tmp_path, path, what):
    (project / path).write_text("print()\n")
    line = refused(desk.run("-C", "copy", "run", cwd=tmp_path), 1)
    way_on = line.partition(f"{what} with: ")[2]
    subprocess.run(["sh", "-c", way_on], cwd=tmp_path, env=desk.env, check=True, capture_output=True)
    assert desk.git("status", "--porcelain", "--", ":!notes", cwd=project) == ""


@pytest.mark.docker
def test_notes_belong_to_the_person(project, desk):
    notes = project / "notes"
    notes.mkdir()
    (notes / "committed.md").write_text("first thought\n")
    desk.git("add", "notes", cwd=project)
    desk.git("commit", "-qm", "My notes", cwd=project)
    (notes / "committed.md").write_text("second thought\n")
    (notes / "loose.md").write_text("third thought\n")
    session = desk.terminal("run", cwd=project)
    session.approve()
    session.accept()
    assert session.end() == 0, session.screen
    assert (notes / "committed.md").read_text() == "second thought\n"
    assert (notes / "loose.md").read_text() == "third thought\n"
    assert desk.git("status", "--porcelain", cwd=project).split() == [
        "M", "notes/committed.md", "??", "notes/loose.md",
    ]  # fmt: skip
    assert desk.run("verify", cwd=project).code == 0
    replayed = desk.run("replay", cwd=project)
    assert replayed.code == 0, replayed.out + replayed.err


@pytest.mark.docker
def test_a_foreign_commit_outside_notes_is_named(project, desk):
    (project / "README.md").write_text("mine\n")
    desk.git("add", "README.md", cwd=project)
    desk.git("commit", "-qm", "My readme", cwd=project)
    line = refused(desk.run("run", cwd=project), 1)
    assert "Ada Reviewer" in line
    assert desk.git("rev-parse", "HEAD", cwd=project)[:12] in line
    assert desk.run("verify", cwd=project).code == 1


@pytest.mark.docker
def test_a_change_made_while_the_gate_is_open_survives_the_decision(project, desk, variant):
    session = desk.terminal("approve", cwd=project)
    session.wait_for("May this experiment run?")
    variant(project / "proposal.md", ("The shift moves the mean", "The shift always moves the mean"))
    mine = (project / "proposal.md").read_text()
    session.type(session.digest())
    assert session.end() == 0, session.screen
    assert (project / "proposal.md").read_text() == mine
    assert desk.kinds(project)[-1] == "approval"


# ------------------------------------------------------------------------ settings


def change_setting(project, old="max_attempts = 8", new="max_attempts = 5"):
    settings = project / "autoresearch.toml"
    assert old in settings.read_text()
    settings.write_text(settings.read_text().replace(old, new))


@pytest.mark.docker
def test_a_confirmed_setting_is_a_record(project, desk):
    change_setting(project)
    session = desk.terminal("run", cwd=project)
    session.wait_for("max_attempts: 8 → 5")
    session.type(session.digest())
    session.wait_for("May this experiment run?")
    session.wait_for("Decision: ")
    session.type("quit")
    assert session.end() == 3
    assert desk.kinds(project) == [*FIRST_ATTEMPT, "config"]
    assert desk.show(project, "config")["body"]["settings"]["max_attempts"] == 5
    desk.require_sound(project)


@pytest.mark.docker
def test_a_setting_changed_again_while_it_is_asked_for_survives(project, desk):
    change_setting(project)
    session = desk.terminal("run", cwd=project)
    digest = session.digest()
    change_setting(project, "max_attempts = 5", "max_attempts = 4")
    session.type(digest)
    session.wait_for("May this experiment run?")
    session.wait_for("Decision: ")
    session.type("quit")
    assert session.end() == 3
    assert desk.show(project, "config")["body"]["settings"]["max_attempts"] == 5, "what was shown"
    assert "max_attempts = 4" in (project / "autoresearch.toml").read_text()
    assert desk.git("show", "HEAD:autoresearch.toml", cwd=project).count("max_attempts = 5") == 1
    assert desk.run("verify", cwd=project).code == 0


@pytest.mark.docker
def test_a_declined_setting_is_not_in_force(project, desk):
    change_setting(project)
    session = desk.terminal("run", cwd=project)
    session.wait_for("put them in force")
    session.type("no")
    session.wait_for("May this experiment run?")
    session.wait_for("Decision: ")
    session.type("quit")
    assert session.end() == 3
    assert desk.kinds(project) == FIRST_ATTEMPT


@pytest.mark.docker
def test_a_setting_waits_for_a_person(project, desk):
    change_setting(project)
    line = refused(desk.run("run", cwd=project), 3)
    assert "settings" in line
    assert desk.kinds(project) == FIRST_ATTEMPT


@pytest.mark.docker
@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("max_atempts = 5", "did you mean `max_attempts`?"),
        ("max_attempts = 0", "max_attempts"),
        ("max_attempts =", "not TOML"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(project, desk, new, said):
    change_setting(project, new=new)
    line = refused(desk.run("run", cwd=project), 1)
    assert "autoresearch.toml" in line
    assert said in line


@pytest.mark.docker
def test_missing_settings_are_named_with_what_brings_them_back(project, desk):
    (project / "autoresearch.toml").unlink()
    line = refused(desk.run("run", cwd=project), 1)
    assert "git checkout -- autoresearch.toml" in line


# ------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"# caf\xe9\n", "not UTF-8"),
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"x" * 50_000_000, "50.0 MB"),
        (b"# title\n\0\1\2", "not a text file"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8"),
        (None, "does not exist"),
    ],
    ids=["latin-1", "empty", "blank", "50-MB", "NUL", "PNG", "missing"],
)
def test_a_file_that_is_no_proposal(desk, tmp_path, data, said):
    if data is not None:
        (tmp_path / "bad.md").write_bytes(data)
    before = left_in(tmp_path)
    line = refused(desk.run("start", "bad.md", cwd=tmp_path), 1)
    assert "bad.md" in line
    assert said in line
    assert left_in(tmp_path) == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("## Predictions", "## Predictons", ("bad.md:39:", "Predictions")),
        ("stopping_rule: fixed", "stoping_rule: fixed", ("bad.md:33:", "stopping_rule")),
        ("    rng = np.random", "    rng == = np.random", ("bad.md:57:",)),
        ("trials_per_arm: 6", "trials_per_arm: six", ("bad.md:32:", "trials_per_arm")),
    ],
    ids=["section", "key", "syntax", "value"],
)
def test_a_proposal_that_does_not_parse_names_line_and_nearest_word(desk, tmp_path, variant, old, new, said):
    proposal = variant(tmp_path / "bad.md", (old, new))
    number = next(n for n, line in enumerate(proposal.read_text().splitlines(), 1) if new in line)
    before = left_in(tmp_path)
    line = refused(desk.run("start", "bad.md", cwd=tmp_path), 1)
    assert f"bad.md:{number}:" in line
    for word in said[1:]:
        assert word in line
    assert left_in(tmp_path) == before


def test_a_directory_that_is_not_empty(desk, quick, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    line = refused(desk.run("start", quick, "taken", cwd=tmp_path), 2)
    assert "not empty" in line
    assert left_in(tmp_path / "taken") == ["mine.txt"]
    assert left_in(tmp_path) == ["taken"]


@pytest.mark.docker
def test_a_directory_inside_another_repository(desk, image, quick, tmp_path):
    desk.git("init", "-q", ".", cwd=tmp_path)
    done = desk.run("start", quick, "project", cwd=tmp_path)
    assert "does not ignore it" in refused(done, 2)
    assert left_in(tmp_path) == [".git"]
    mend = done.err.strip().splitlines()[-1].partition("or: ")[2]
    subprocess.run(["sh", "-c", mend], cwd=tmp_path, env=desk.env, check=True)
    assert desk.run("start", quick, "project", cwd=tmp_path).code == 3
    assert desk.git("status", "--porcelain", cwd=tmp_path).split() == ["??", ".gitignore"]


def test_no_git_identity(desk, quick, tmp_path):
    (desk.home / ".gitconfig").unlink()
    done = desk.run("start", quick, cwd=tmp_path)
    assert "git knows no name" in refused(done, 1)
    assert "git config --global user.name" in done.err
    assert left_in(tmp_path) == []


@pytest.mark.docker
@pytest.mark.parametrize("limit", [("cpus: 2,", "cpus: 500,"), ("memory_mb: 256", "memory_mb: 900000")])
def test_limits_above_the_machines_cannot_be_approved(desk, image, tmp_path, variant, limit):
    proposal = variant(tmp_path / "greedy.md", limit)
    session = desk.start(proposal, tmp_path / "greedy")
    session.wait_for("May this experiment run?")
    session.wait_for("A finding blocks it")
    session.wait_for("Decision: ")
    session.type("approve")
    session.wait_for("This cannot be approved")
    session.wait_for("limits.")
    session.wait_for("Decision: ")
    session.type("quit")
    assert session.end() == 3
    assert desk.kinds(tmp_path / "greedy") == FIRST_ATTEMPT
    findings = desk.show(tmp_path / "greedy", "preflight")["body"]["findings"]
    blocking = [finding["explanation"] for finding in findings if finding["severity"] == "block"]
    assert len(blocking) == 1
    assert "this machine has" in blocking[0]


@pytest.mark.parametrize("command", [("run",), ("status",), ("log",), ("verify",), ("report",)])
def test_outside_a_project_a_command_says_how_to_make_one(desk, tmp_path, command):
    line = refused(desk.run(*command, cwd=tmp_path), 1)
    assert "autoresearch start PROPOSAL" in line


# ------------------------------------------------------------- the machine's troubles


@pytest.mark.docker
def test_without_an_engine_nothing_is_lost(desk, image, quick, tmp_path):
    done = desk.run("start", quick, "project", cwd=tmp_path, DOCKER_HOST=DEAD_ENGINE)
    line = refused(done, 4)
    assert "no Docker engine answers" in line
    assert DEAD_ENGINE in done.err
    project = tmp_path / "project"
    assert desk.kinds(project) == FIRST_ATTEMPT[:-1]
    desk.require_sound(project)
    assert desk.run("run", cwd=project).code == 3
    session = desk.terminal("run", cwd=project, DOCKER_HOST=DEAD_ENGINE)
    assert session.end() == 4, session.screen
    session = desk.terminal("run", cwd=project)
    session.approve()
    session.accept()
    assert session.end() == 0, session.screen
    desk.require_sound(project)


@pytest.mark.docker
def test_an_engine_that_is_gone_after_the_approval_loses_nothing(project, desk):
    session = desk.terminal("approve", cwd=project)
    session.type(session.digest())
    assert session.end() == 0
    refused(desk.run("run", cwd=project, DOCKER_HOST=DEAD_ENGINE), 4)
    assert desk.kinds(project)[-1] == "approval", "the approval is not used up"
    session = desk.terminal("run", cwd=project)
    session.accept()
    assert session.end() == 0, session.screen
    desk.require_sound(project)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 600 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "none", folder],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder, keep=0):
    """Use the disk up to its last `keep` bytes."""
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - the loop ends so and only so
        file.truncate(max(file.tell() - keep, 0))


@pytest.mark.parametrize("room", [0, 20_000, 60_000])
def test_no_space_to_make_a_project(desk, quick, small_disk, room):
    fill(small_disk, room)
    done = desk.run("start", quick, "project", cwd=small_disk)
    line = refused(done, 1)
    assert "no project was made" in line
    assert "No space left on device" in line
    assert "autoresearch run" not in line
    assert left_in(small_disk) == ["filler"]


@pytest.mark.docker
@pytest.mark.parametrize("room", [0, 12_000, 30_000])
def test_no_space_to_go_on_loses_nothing(desk, at_gate, variant, small_disk, room):
    project = small_disk / "project"
    subprocess.run(["cp", "-a", at_gate, project], check=True)
    session = desk.terminal("reject", "-m", "again", cwd=project)
    session.type(session.digest())
    assert session.end() == 0
    variant(project / "proposal.md", ("The noise hides the shift.", "The shift is small."))
    before = desk.kinds(project)
    fill(small_disk, room)
    done = desk.run("run", cwd=project)
    line = refused(done, 1)
    # Git leaves the reason out when it cannot write the branch.
    assert "No space left on device" in line or "write '" in line
    assert "stderr" not in line
    (small_disk / "filler").unlink()
    assert desk.kinds(project)[: len(before)] == before
    assert desk.run("verify", cwd=project).code == 0
    assert desk.run("run", cwd=project).code == 3
    assert desk.kinds(project) == [*before, *FIRST_ATTEMPT]
    desk.require_sound(project)
