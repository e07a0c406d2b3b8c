"""Projects to fork, and forks of them."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from autoresearch.adapters.scratch_ledger import ScratchLedger
from autoresearch.errors import AutoresearchError
from autoresearch.replay import replay
from autoresearch.testing import FixedClock
from autoresearch.testing_project import drive, make_fork, make_project
from autoresearch.verify import verify
from autoresearch.workflow import parse_workflow

COMMAND = str(Path(sys.executable).with_name("autoresearch"))
TEXT = (Path(__file__).parents[1] / "data" / "quick.md").read_text()


@pytest.fixture
def text():
    return TEXT


@pytest.fixture(scope="session")
def accepted(tmp_path_factory):
    """A project from its start to its report."""
    ledger = make_project(tmp_path_factory.mktemp("accepted") / "project", TEXT)
    drive(ledger, ["approve", "accept"])
    yield ledger
    ledger.close()


@pytest.fixture
def opened():
    """Ledgers to be closed at the end."""
    ledgers = []

    def add(ledger):
        ledgers.append(ledger)
        return ledger

    yield add
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def fork(opened, tmp_path):
    """`fork(source, step)`: a fork of a ledger, in a directory of its own."""

    def make(source, step, name="fork", **more):
        return opened(make_fork(source, step, tmp_path / name, **more))

    return make


@pytest.fixture
def project(opened, tmp_path):
    """A new project of the quick study; `decisions` are made, and then it waits or ends."""

    def make(*decisions, name="project", **more):
        doubles = {key: more.pop(key) for key in ("desk", "sandbox", "signer") if key in more}
        ledger = opened(make_project(tmp_path / name, TEXT, **more))
        with suppress(AutoresearchError):  # it waits for a person
            drive(ledger, decisions, **doubles)
        return ledger

    return make


class At(FixedClock):
    """The time of the record that comes next."""

    def __init__(self, time):
        self.now = time


@pytest.fixture
def replayed(tmp_path, opened):
    """Derive the project of a ledger again; the head that comes out, and the records made."""

    def make(ledger, name="scratch"):
        made, scratches = [], []
        (tmp_path / name).mkdir()

        def make_scratch(time):
            scratches.append(opened(ScratchLedger.create(tmp_path / name, At(time))))
            return scratches[-1]

        first = ledger.entries()[0].commit
        workflow = parse_workflow(ledger.read("workflow/workflow.yaml", first).decode())
        replay(ledger, make_scratch, workflow, made.append)
        return scratches[-1].head(), made

    return make


@pytest.fixture
def sound():
    """The verdict on a ledger is that nothing is wrong; else the problems are shown."""

    def check(ledger):
        wrong = {row.name: row.problems for row in verify(ledger).rows if not row.ok}
        assert wrong == {}

    return check


def git(root, *args, data=None):
    done = subprocess.run(["git", "-C", str(root), *args], input=data, capture_output=True, check=True)
    return done.stdout.decode()


@pytest.fixture(name="git")
def git_command():
    return git


def places(ledger):
    """`attempt.kind` of every record."""
    return [f"{e.record.cycle}.{e.record.attempt} {e.record.kind}" for e in ledger.entries()]


@pytest.fixture(name="places")
def places_of():
    return places


@pytest.fixture
def typed(tmp_path):
    """The installed command, as Ada types it, without a terminal; what it said."""
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Ada Reviewer\n\temail = ada@example.org\n")
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def run(*args, code=0):
        done = subprocess.run(
            [COMMAND, *map(str, args)], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return run
