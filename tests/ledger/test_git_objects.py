"""Our object writer against git itself: same names, and fsck finds nothing."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch.adapters.git_objects import (
    BLOB_MODE,
    TREE_MODE,
    CommitParts,
    ObjectWriter,
    grow_tree,
    object_id,
    parse_tree,
    write_durably,
)
from autoresearch.records import Person

ADA = Person(name="Ada <x>", email="ada@example.org")


def git(repo: Path, *args: str, data: bytes | None = None) -> str:
    done = subprocess.run(["git", "-C", str(repo), *args], input=data, capture_output=True, check=True)
    return done.stdout.decode().strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    return tmp_path


def test_git_reads_every_kind_of_object_back(repo):
    writer = ObjectWriter(repo / ".git" / "objects")
    blob = writer.blob(b"hello\n")
    inner = writer.tree({"z": (BLOB_MODE, blob)})
    # Git sorts folders as if their name ended in a slash: a.b < a/ < ab.
    tree = writer.tree({"ab": (BLOB_MODE, blob), "a": (TREE_MODE, inner), "a.b": (BLOB_MODE, blob)})
    commit = writer.commit(
        CommitParts(tree, (), ADA, datetime(2026, 1, 1, tzinfo=UTC), "one: two\n").payload()
    )
    writer.sync()
    git(repo, "update-ref", "refs/heads/main", commit)
    assert git(repo, "fsck", "--strict", "--full") == ""
    assert git(repo, "show", "main:a/z") == "hello"
    assert git(repo, "log", "-1", "--format=%an|%ae|%at|%s") == "Ada x|ada@example.org|1767225600|one: two"
    raw = subprocess.run(
        ["git", "-C", str(repo), "cat-file", "tree", tree], capture_output=True, check=True
    ).stdout
    assert parse_tree(raw) == {"a.b": (BLOB_MODE, blob), "a": (TREE_MODE, inner), "ab": (BLOB_MODE, blob)}


@given(st.binary(max_size=300))
def test_names_are_gits_own(data):
    expected = subprocess.run(
        ["git", "hash-object", "--no-filters", "--stdin"], input=data, capture_output=True, check=True
    ).stdout
    assert object_id("blob", data) == expected.decode().strip()


def test_growing_a_tree_keeps_what_was_there(repo):
    writer = ObjectWriter(repo / ".git" / "objects")
    blob = writer.blob(b"x")

    def read(oid: str) -> dict:
        raw = subprocess.run(
            ["git", "-C", str(repo), "cat-file", "tree", oid], capture_output=True, check=True
        )
        return parse_tree(raw.stdout)

    entry = ("100644", blob)
    first = grow_tree(writer, {}, {"a/b/c": entry, "top": entry}, read)
    writer.sync()
    second = grow_tree(writer, first, {"a/b/d": entry, "a/e": entry}, read)
    tree = writer.tree(second)
    writer.sync()
    assert git(repo, "ls-tree", "-r", "--name-only", tree).split() == ["a/b/c", "a/b/d", "a/e", "top"]
    fewer = {"a/b/c": None, "a/b/d": None, "a/b": ("100755", blob), "top": None, "top/x": entry}
    third = writer.tree(grow_tree(writer, second, fewer, read))
    writer.sync()
    assert git(repo, "ls-tree", "-r", "--name-only", third).split() == ["a/b", "a/e", "top/x"]
    assert grow_tree(writer, second, {"a/b/c": None, "a/b/d": None, "a/e": None}, read) == {"top": entry}


def test_a_failed_write_leaves_the_old_content(tmp_path):
    place = tmp_path / "file"
    write_durably(place, b"old", "work file")
    with pytest.raises(TypeError):
        write_durably(place, "not bytes", "work file")  # type: ignore[arg-type]
    assert place.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [place]
