"""The demonstration: complete without a person, says so on its face, and opens the sandbox for nothing else."""

import io
import json
import os

import pytest

from autoresearch import assets
from autoresearch.adapters.demonstration import DemonstrationReviewer
from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.shipped_process import ProcessSandbox
from autoresearch.adapters.stderr_progress import StderrProgress
from autoresearch.cli.start import Choices, start_project
from autoresearch.cli.system import SystemEntropy
from autoresearch.cli.wiring import CLOCK, build_driver, open_sandbox
from autoresearch.errors import NotApproved

EXAMPLE = "label-noise"  # the faster of the two
DEAD_ENGINE = "unix:///nonexistent/docker.sock"
NOBODY = "no person decided"
UNISOLATED = "no isolation: shipped code only"


@pytest.fixture(scope="module")
def demonstrated(module_desk, image, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return module_desk.run("demo", EXAMPLE, cwd=folder), folder / "demo" / EXAMPLE


@pytest.fixture(scope="module")
def unisolated(module_desk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bare")
    done = module_desk.run("demo", EXAMPLE, "here", cwd=folder, DOCKER_HOST=DEAD_ENGINE)
    return done, folder / "here"


@pytest.mark.docker
def test_it_ends_well_and_names_the_commands_to_look_with(demonstrated, module_desk):
    done, project = demonstrated
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    for command in ("report", "log", "replay", "verify"):
        assert f"autoresearch -C demo/{EXAMPLE} {command}" in done.err
    module_desk.require_sound(project)
    assert module_desk.kinds(project)[-1] == "report"


@pytest.mark.docker
def test_its_pages_say_that_no_person_decided(demonstrated, module_desk):
    _, project = demonstrated
    for page in ("cycles/01/report.md", "cycles/01/report.html", "report/report.html"):
        text = (project / page).read_text().lower()
        assert NOBODY in text, page
        assert "demonstration script (not a person)" in text
        assert UNISOLATED not in text
    for command in ("status", "log"):
        assert NOBODY in module_desk.run(command, cwd=project).out
    decisions = [row for row in module_desk.log(project) if "is_person" in row]
    assert len(decisions) == 2
    assert not any(row["is_person"] for row in decisions)
    assert module_desk.show(project, "result")["body"]["isolation"]["tier"] == "docker"


@pytest.mark.docker
def test_its_check_has_the_data_and_the_effort_of_every_arm(demonstrated, module_desk):
    """Of what the harness measures in real containers: 20 seeds, and arms of 15 and of 300 epochs."""
    _, project = demonstrated
    check = module_desk.show(project, "check")["body"]
    assert (check["data"]["seeds"], check["data"]["different"], check["data"]["note"]) == (20, 20, None)
    assert {again["same_data"] for again in check["rechecks"]} == {True, None}
    taken = {arm["arm"]: arm["cpu_seconds"] for arm in check["arms"]}
    assert taken["structured-long"] > 3 * taken["structured-short"] > 0
    assert check["deviations"] == []


@pytest.mark.docker
@pytest.mark.parametrize("command", [("run",), ("review",), ("approve",), ("reject", "-m", "no")])
def test_no_person_can_take_it_over(demonstrated, module_desk, command):
    _, project = demonstrated
    before = module_desk.git("rev-parse", "HEAD", cwd=project)
    done = module_desk.run(*command, cwd=project)
    assert done.code == 1
    assert "this project is a demonstration" in done.err
    assert module_desk.git("rev-parse", "HEAD", cwd=project) == before


@pytest.mark.docker
def test_without_an_engine_it_says_that_nothing_was_isolated(unisolated, module_desk):
    done, project = unisolated
    assert done.code == 0, done.err
    assert "no isolation" in done.err
    assert module_desk.show(project, "result")["body"]["isolation"]["tier"] == "none: shipped code only"
    for page in ("report/report.md", "report/report.html", "cycles/01/report.md"):
        text = (project / page).read_text().lower()
        assert UNISOLATED in text, page
        assert NOBODY in text
    module_desk.require_sound(project)
    verified = json.loads(module_desk.run("verify", "--json", cwd=project).out)
    assert verified["sound"] is True
    replayed = module_desk.run("replay", cwd=project)
    assert replayed.code == 0, replayed.out + replayed.err


def test_an_ordinary_project_never_runs_without_an_engine(desk, tmp_path):
    shipped = assets.examples() / EXAMPLE / "proposal.md"
    done = desk.run("start", shipped, "mine", cwd=tmp_path, DOCKER_HOST=DEAD_ENGINE)
    assert done.code == 4, done.err
    assert "no Docker engine answers" in done.err
    assert "run" not in desk.kinds(tmp_path / "mine")


def test_an_example_that_does_not_exist(desk, tmp_path):
    done = desk.run("demo", "label-nose", cwd=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert "did you mean label-noise?" in done.err
    assert list(tmp_path.iterdir()) == []


def forged(proposal, folder, example=None):
    """A project whose first commit calls it a demonstration, made by hand from somebody's own code."""
    reviewer = DemonstrationReviewer(CLOCK)
    choices = Choices(demonstration=True, example=example)
    start_project(proposal, folder, choices, SystemEntropy(), reviewer.identity().person)
    return GitLedger(folder, CLOCK), reviewer


@pytest.fixture
def container_sandbox(image):
    sandbox = open_sandbox("docker")
    yield lambda: sandbox
    sandbox.close()
    open_sandbox.cache_clear()


@pytest.mark.docker
@pytest.mark.parametrize("example", [None, EXAMPLE])
def test_a_forged_demonstration_is_refused_by_the_container(
    quick, tmp_path, container_sandbox, left_behind, example
):
    ledger, reviewer = forged(quick, tmp_path / "forged", example)
    driver = build_driver(
        ledger, reviewer, StderrProgress(CLOCK, os.environ, io.StringIO()), container_sandbox
    )
    with pytest.raises(NotApproved):
        driver.run()
    entries = ledger.entries()
    assert [entry.record.kind for entry in entries if entry.record.kind in ("approval", "result")] == [
        "approval"
    ]
    assert left_behind(entries[0].record.body.project) == []
    ledger.close()


@pytest.mark.parametrize("example", [None, EXAMPLE])
def test_a_forged_demonstration_is_refused_without_isolation(quick, tmp_path, example):
    ledger, reviewer = forged(quick, tmp_path / "forged", example)
    sandbox = ProcessSandbox(
        harness=(assets.sandbox() / "harness.py").read_bytes(), shipped=assets.shipped_experiments()
    )
    driver = build_driver(ledger, reviewer, StderrProgress(CLOCK, os.environ, io.StringIO()), lambda: sandbox)
    with pytest.raises(NotApproved):
        driver.run()
    assert "result" not in [entry.record.kind for entry in ledger.entries()]
    ledger.close()


def test_a_person_cannot_take_a_forged_demonstration_to_the_sandbox(desk, quick, tmp_path):
    ledger, _ = forged(quick, tmp_path / "forged")
    ledger.close()
    done = desk.run("run", cwd=tmp_path / "forged")
    assert done.code == 1
    assert "this project is a demonstration" in done.err
