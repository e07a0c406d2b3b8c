"""Projects that releases left behind: each is verified and replayed for ever.

Until this version is out, a change of what is recorded needs its project made anew: make kept-project.
"""

import subprocess
from pathlib import Path

import pytest

from autoresearch import __version__
from autoresearch.cli.replay import derive_again, other_versions
from autoresearch.cli.wiring import first_proposal
from autoresearch.verify import verify

BUNDLES = sorted((Path(__file__).parents[1] / "data" / "projects").glob("*.bundle"))


@pytest.fixture(params=BUNDLES, ids=lambda bundle: bundle.stem)
def kept(request, tmp_path, opened):
    root = tmp_path / "kept"
    subprocess.run(
        ["git", "clone", "-q", "-b", "main", str(request.param), str(root)], check=True, capture_output=True
    )
    return opened(root)


def test_there_is_one_of_this_release():
    assert __version__ in [bundle.stem for bundle in BUNDLES], "make it: make kept-project"


def test_it_verifies(kept):
    found = verify(kept)
    assert found.sound, "\n".join(found.lines())
    assert found.records > 20


def test_it_is_derived_again(kept, capsys):
    derive_again(kept)
    *lines, last = capsys.readouterr().out.splitlines()
    assert "records derived again, offline" in last
    if not other_versions(first_proposal(kept).tool):
        assert all(line.startswith("✓") for line in lines)
        assert last.endswith(f"head {kept.head()}")
