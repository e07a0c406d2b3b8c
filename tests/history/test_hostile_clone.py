"""A clone that somebody prepared is safe to open: nothing of it executes, and nothing but its true bytes is shown."""

import contextlib
import io
import json
import os
import shutil
import subprocess

import pytest

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.cli.main import cli
from autoresearch.cli.replay import derive_again
from autoresearch.errors import AutoresearchError, Pending
from autoresearch.testing_project import STILL, TextDesk, drive
from autoresearch.verify import verify
from history.hostile import TRICKS, Clone

READING = {
    "status": ["status", "--json"],
    "log": ["log", "--full"],
    "log --json": ["log", "--json"],
    "show": ["show", "plan"],
    "diff": ["diff", "ideas"],
}


@pytest.fixture
def clone(waiting, tmp_path, git):
    root, mark, outside = tmp_path / "clone", tmp_path / "PWNED", tmp_path / "outside"
    shutil.copytree(waiting, root)
    outside.mkdir()
    script = tmp_path / "evil"
    script.write_text(f"#!/bin/sh\ntouch {mark}\n")
    script.chmod(0o755)
    return Clone(root, mark, script, outside, git)


def read(root, argv):
    """What a command prints, or the error it refuses with."""
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            cli.main(["-C", str(root), *argv], standalone_mode=False)
    except AutoresearchError as error:
        return f"refused: {error}"
    return out.getvalue()


def replayed(root):
    out, ledger = io.StringIO(), GitLedger(root, STILL)
    try:
        with contextlib.redirect_stdout(out):
            derive_again(ledger)
    except AutoresearchError as error:
        return f"refused: {error}"
    finally:
        ledger.close()
    return out.getvalue()


def went_on(root):
    """The error that `run` stops with: there is nobody to ask here, so there always is one."""
    try:
        ledger = GitLedger(root, STILL)
        drive(ledger, [], desk=TextDesk(ledger))
    except AutoresearchError as error:
        return error
    raise AssertionError("nobody decided, and it went on")


@pytest.fixture(scope="session")
def truth(waiting):
    """What every command says of the clean twin."""
    return {name: read(waiting, argv) for name, argv in READING.items()} | {"replay": replayed(waiting)}


def test_the_clean_twin_says_something(truth, waiting):
    assert all(len(said) > 100 and not said.startswith("refused") for said in truth.values())
    assert isinstance(went_on(waiting), Pending)


def listing(folder):
    """Every file below, and its bytes."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.name)
def test_nothing_executes_and_no_other_bytes_are_shown(trick, clone, truth):
    trick.lay(clone)
    head = clone.git(clone.root, "rev-parse", "refs/heads/main")
    outside = listing(clone.outside)
    found = verify(GitLedger(clone.root, STILL))
    problems = [problem for row in found.rows for problem in row.problems]
    if trick.named:
        assert any(trick.named in problem for problem in problems), problems
    else:
        assert problems == []
    json.loads(read(clone.root, ["verify", "--json"]) if found.sound else json.dumps(found.as_json()))
    for name, argv in READING.items():
        said = read(clone.root, argv)
        assert said == truth[name] or said.startswith("refused: ") or moved(said, truth[name], clone), name
        assert "\x1b" not in said
    again = replayed(clone.root)
    assert again == truth["replay"] or trick.named or moved(again, truth["replay"], clone), again
    stopped = went_on(clone.root)
    assert isinstance(stopped, Pending) or trick.named or "the work tree" in str(stopped), stopped
    assert clone.git(clone.root, "rev-parse", "refs/heads/main") == head, "nothing was recorded"
    assert listing(clone.outside) == outside, "nothing was written outside"
    assert not clone.mark.exists(), "something executed"


def moved(said, before, clone):
    """Equal but for the id of the last commit, where the trick made another one of it."""
    old, new = (
        (clone.git(clone.root, "rev-parse", name).decode().strip() for name in ("base", "main"))
        if has(clone)
        else ("", "")
    )
    return bool(old) and said.replace(new, old) == before


def has(clone):
    return b"refs/tags/base" in clone.git(clone.root, "for-each-ref")


@pytest.mark.parametrize("trick", [t for t in TRICKS if t.canary], ids=lambda trick: trick.name)
def test_the_trap_is_real(trick, clone):
    """Git as people use it falls for it, so that what is not seen above was prevented."""
    trick.lay(clone)
    subprocess.run(
        ["git", *trick.canary], cwd=clone.root, env=dict(os.environ), capture_output=True, check=False
    )
    if trick.canary[0] == "var":
        subprocess.run(["git", "st"], cwd=clone.root, capture_output=True, check=False)
    assert clone.mark.exists()
