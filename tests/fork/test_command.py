"""`autoresearch fork` as it is typed."""

import json
import os


def test_a_fork_from_the_command_line(accepted, typed, tmp_path):
    said = typed("-C", accepted.root, "fork", "monitor", tmp_path / "fork", "-m", "another ending")
    assert "forked after monitor (cycle 1, attempt 1): 12 records shared" in said
    assert "go on with: autoresearch -C fork run" in said
    assert "sound" in typed("-C", "fork", "verify")
    state = json.loads(typed("-C", "fork", "status", "--json"))
    assert state["forked"].endswith("after monitor (cycle 1, attempt 1), by Ada Reviewer")
    assert state["state"] == "waiting"
    page = json.loads(typed("-C", "fork", "log", "--json", "--step", "fork-1"))
    assert [row["reason"] for row in page["records"]] == ["another ending"]
    assert "acceptance: only there" in typed("-C", "fork", "diff", "--with", accepted.root)
    assert typed("-C", "fork", "review", code=3)
    assert (tmp_path / "fork").stat().st_mode & 0o777 == 0o777 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_cannot_be_forked_leaves_nothing_behind(accepted, typed, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    assert "is not empty" in typed("-C", accepted.root, "fork", "plan", tmp_path / "full", code=2)
    assert "does not ignore it" in typed(
        "-C", accepted.root, "fork", "plan", accepted.root / "inside", code=2
    )
    assert "no record goes by 'nothing'" in typed(
        "-C", accepted.root, "fork", "nothing", tmp_path / "a", code=1
    )
    bad = tmp_path / "workflow.yaml"
    bad.write_text("schema: 1\n")
    said = typed("-C", accepted.root, "fork", "plan", tmp_path / "a", "--workflow", bad, code=1)
    assert "workflow.yaml" in said
    left = {path.name for path in tmp_path.iterdir()}
    assert {"a", "inside"}.isdisjoint(left)
    assert not [name for name in left if name.startswith(".autoresearch-")]


def test_a_fork_has_a_file_of_anchors_of_its_own(accepted, typed, tmp_path):
    """Its parent's would seem to show a history cut back: heads of there that are not here."""
    parents, own, fork = tmp_path / "parents", tmp_path / "own", tmp_path / "fork"
    typed("-C", accepted.root, "verify", "--anchor", parents)
    typed("-C", accepted.root, "fork", "monitor", fork)
    before, another = parents.read_text(), "it anchors another project than this one"
    assert another in typed("-C", fork, "verify", "--anchor", parents, code=1)
    assert parents.read_text() == before
    assert "anchored in" in typed("-C", fork, "verify", "--anchor", own)
    assert "anchored already" in typed("-C", fork, "verify", "--anchor", own)
    assert another in typed("-C", accepted.root, "verify", "--anchor", own, code=1)
