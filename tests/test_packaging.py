"""A wheel built from the sdist, installed away from the checkout, finds everything that ships with it."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from autoresearch import assets

ROOT = Path(__file__).resolve().parents[1]

LOOK = """
import json, autoresearch
from autoresearch import assets
from autoresearch.adapters import image
directories = [assets.workflows(), assets.sandbox(), assets.examples()]
print(json.dumps({
    "package": autoresearch.__file__,
    "files": {str(path.relative_to(top.parent)): path.read_bytes().hex() for top in directories
              for path in sorted(top.rglob("*")) if path.is_file() and "__pycache__" not in path.parts},
    "tool_lock": assets.tool_lock_digest(),
    "image_inputs": image.inputs_digest(assets.sandbox()),
    "shipped": sorted(assets.shipped_experiments()),
}))
"""


def run(*command: str | Path, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=120).stdout


def look(python: str | Path, cwd: Path) -> dict:
    return json.loads(run(python, "-c", LOOK, cwd=cwd))


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The Python of an environment with the wheel in it, and this environment's other packages beside it."""
    tmp = tmp_path_factory.mktemp("packaging")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp, cwd=ROOT)
    (sdist,) = tmp.glob("*.tar.gz")
    run("tar", "-xf", sdist, "-C", tmp, cwd=tmp)
    source = tmp / sdist.name.removesuffix(".tar.gz")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp, cwd=source)
    (wheel,) = tmp.glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", tmp / "venv", cwd=tmp)
    python = tmp / "venv" / "bin" / "python"
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=tmp
    )  # fmt: skip
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp).strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return python


@pytest.mark.slow
def test_the_wheel_ships_what_the_checkout_has(installed, tmp_path):
    there, here = look(installed, tmp_path), look(sys.executable, tmp_path)
    assert Path(there.pop("package")).is_relative_to(installed.parents[1])
    assert Path(here.pop("package")).is_relative_to(ROOT)
    assert there == here
    assert "workflows/standard/workflow.yaml" in there["files"]
    assert "sandbox/Dockerfile" in there["files"]
    assert there["shipped"], "no example's experiment was found"


@pytest.mark.slow
def test_the_command_is_installed(installed, tmp_path):
    assert "Usage" in run(installed.parent / "autoresearch", "--help", cwd=tmp_path)


def test_every_example_is_shipped_code():
    assert len(assets.shipped_experiments()) == len(list(assets.examples().glob("*/proposal.md")))


def test_the_locks_name_no_registry():
    for lock in (ROOT / "requirements.lock", ROOT / "sandbox" / "requirements.lock"):
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text
        assert "--index" not in text
