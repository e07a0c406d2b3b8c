"""`status` is worked out once for each head, and then read from the person's own home."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.testing_project import STILL, drive, make_project

PROPOSAL = (Path(__file__).parent / "data" / "quick.md").read_text()
TELL = """
import sys
from autoresearch.cli.main import main
sys.argv = ["autoresearch", "status"]
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    ledger = make_project(root, PROPOSAL)
    drive(ledger, ["approve", "accept"])
    ledger.close()
    return root


@pytest.fixture
def status(tmp_path):
    """(what it prints, the modules it loaded)."""
    home = tmp_path / "home"
    environ = {**os.environ, "HOME": str(home), "COLUMNS": "80"}
    environ.pop("XDG_STATE_HOME", None)

    def run(root):
        done = subprocess.run(
            [sys.executable, "-c", TELL], cwd=root, env=environ, capture_output=True, text=True, check=True
        )
        return done.stdout, set(done.stderr.splitlines()[-1].split())

    run.kept = lambda: list(home.glob(".local/state/autoresearch/status/*"))
    return run


READS_RECORDS = {"pydantic", "git"}


def test_asked_again_it_says_the_same_and_reads_nothing(project, status):
    first, loaded = status(project)
    assert loaded >= READS_RECORDS
    again, loaded = status(project)
    assert again == first
    assert "Accepted by" in again
    assert not loaded & READS_RECORDS


def test_after_a_new_record_it_is_worked_out_again(tmp_path, status):
    ledger = make_project(tmp_path / "project", PROPOSAL)
    before, _ = status(ledger.root)
    drive(ledger, ["approve", "accept"])
    ledger.close()
    after, loaded = status(ledger.root)
    assert loaded >= READS_RECORDS
    assert "1 record\n" in before
    assert "Accepted by" in after


def test_changed_settings_are_named_until_they_say_the_same_again(project, status):
    told, _ = status(project)
    file = project / "autoresearch.toml"
    before = file.read_text()
    file.write_text("max_attempts = 3\n")
    changed, _ = status(project)
    file.write_text(before + "# a remark\n")
    again, _ = status(project)
    said = "settings    autoresearch.toml was changed and is not in force"
    assert said in changed
    assert again == told
    assert said not in told


def test_another_project_in_the_same_place_is_another(project, status, tmp_path):
    told, _ = status(project)
    shutil.rmtree(project)
    make_project(project, PROPOSAL).close()
    assert "Accepted by" in told
    assert "Under way" in status(project)[0]


@pytest.mark.parametrize(
    "harm",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: json.dumps(json.loads(text) | {"version": "0.0.0"}),
        lambda text: json.dumps(json.loads(text) | {"status": {"title": "x"}}),
        lambda text: json.dumps(json.loads(text) | {"status": None}),
    ],
    ids=["empty", "torn", "a list", "another version", "other fields", "nothing"],
)
def test_what_cannot_be_used_is_worked_out_again(project, status, harm):
    told, _ = status(project)
    (kept,) = status.kept()
    kept.write_text(harm(kept.read_text()))
    again, loaded = status(project)
    assert (again, loaded >= READS_RECORDS) == (told, True)


def test_the_project_cannot_say_what_its_status_is(project, status):
    """Whoever made the project wrote everything below it."""
    told, _ = status(project)
    (kept,) = status.kept()
    forged = kept.read_text().replace("Accepted by", "Proven by")
    assert forged != kept.read_text()
    kept.unlink()
    for folder in (".git/autoresearch", ".git/autoresearch/status", ".local/state/autoresearch/status"):
        (project / folder).mkdir(parents=True, exist_ok=True)
        (project / folder / kept.name).write_text(forged)
        (project / folder / "status.json").write_text(forged)
    assert status(project)[0] == told


def test_a_home_that_cannot_be_written_costs_time_only(project, status, tmp_path):
    (tmp_path / "home").write_text("not a directory")
    assert status(project)[0] == status(project)[0]


def test_it_is_what_the_records_say(project, status):
    """Kept or not, by another reader of the same history."""
    from autoresearch.reporting.status import status as worked_out
    from autoresearch.reporting.status_page import status_lines

    ledger = GitLedger(project, STILL)
    expected = "\n".join(status_lines(worked_out(ledger.entries()), width=80, color=False)) + "\n"
    ledger.close()
    assert [status(project)[0], status(project)[0]] == [expected, expected]
