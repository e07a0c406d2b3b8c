"""Objects through a kept `git cat-file`: what git has, what it has not, and when it dies."""

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from autoresearch.adapters.git_reader import ObjectReader
from autoresearch.errors import LedgerError


def git(root, *args):
    return subprocess.run(
        ["git", "-C", root, *args], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """Two commits; the second changes, adds, deletes, turns a file into a folder and sets a mode."""
    git(tmp_path, "init", "-q", "-b", "main")
    for path in ("same", "deep/er/kept", "deep/changed", "gone", "becomes", "mode"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    (tmp_path / "deep/changed").write_text("anew\n" * 100_000)
    (tmp_path / "deep/added name").write_text("")
    (tmp_path / "gone").unlink()
    (tmp_path / "becomes").unlink()
    (tmp_path / "becomes").mkdir()
    (tmp_path / "becomes" / "folder").write_text("x")
    (tmp_path / "mode").chmod(0o755)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "two")
    return tmp_path


@pytest.fixture
def reader(repository):
    made = ObjectReader(repository / ".git", os.environ)
    yield made
    made.close()


def test_finds_what_git_knows_by_any_name(repository, reader):
    head = git(repository, "rev-parse", "HEAD")
    assert reader.find("refs/heads/main^{commit}")[:2] == (head, "commit")
    assert reader.find(f"{head}:deep/added name") == (
        git(repository, "hash-object", "-t", "blob", "/dev/null"),
        "blob",
        b"",
    )
    assert reader.find("HEAD:deep/changed").data == b"anew\n" * 100_000
    assert reader.find("HEAD:gone") is None
    assert reader.find("HEAD:no such missing") is None
    assert reader.find("0" * 40) is None
    assert reader.find("HEAD\nHEAD") is None
    assert reader.find("HEAD").oid == head  # the answers did not get out of step


def test_a_difference_is_gits_own(repository, reader):
    rows = git(repository, "diff-tree", "-r", "--no-renames", "HEAD~", "HEAD").splitlines()
    expected = {}
    for row in rows:
        (_, new_mode, old, new, status), path = row.split("\t")[0].lstrip(":").split(), row.split("\t")[1]
        expected[path] = (status, "" if status == "D" else new_mode, new, old)
    found = dict(reader.difference("HEAD~^{tree}", "HEAD^{tree}"))
    none = "0" * 40
    assert {
        path: (
            c.status,
            "" if c.status == "D" else c.mode,
            none if c.status == "D" else c.oid,
            c.before or none,
        )
        for path, c in found.items()
    } == expected
    assert {path for path, change in found.items() if change.status == "A"} == {
        "deep/added name",
        "becomes/folder",
    }


def test_files_are_gits_own(repository, reader):
    rows = git(repository, "ls-tree", "-r", "HEAD").splitlines()
    expected = [(row.split("\t")[1], row.split()[0], row.split()[2]) for row in rows]
    assert sorted(reader.files("HEAD^{tree}")) == sorted(expected)


def test_a_git_that_was_killed_is_asked_again(reader):
    assert reader.find("HEAD") is not None
    os.kill(reader._process.pid, signal.SIGKILL)
    reader._process.wait()
    assert reader.find("HEAD") is not None


def test_a_broken_object_is_no_object(repository, reader):
    oid = git(repository, "rev-parse", "HEAD:same")
    place = repository / ".git" / "objects" / oid[:2] / oid[2:]
    place.chmod(0o644)
    place.write_bytes(b"not an object")
    assert reader.find("HEAD:same") is None
    assert reader.find("HEAD:mode") is not None
    with pytest.raises(LedgerError, match="no object"):
        reader.blob(oid)


def test_threads_get_their_own_answers(repository, reader):
    """LangGraph walks in threads; without a lock two questions wait for one answer for ever."""
    paths = ["same", "deep/er/kept", "mode"] * 100
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda path: reader.find(f"HEAD:{path}"), paths))
    assert [f.data.decode() for f in found] == paths


def test_no_process_is_left(repository):
    made = ObjectReader(repository / ".git", os.environ)
    made.find("HEAD")
    process = made._process
    del made
    assert process.returncode is not None
