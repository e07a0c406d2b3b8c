"""scripts/setup and scripts/engine, run for real on a project as small as they can set up, without a network."""

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PYPROJECT = """
[project]
name = "tiny"
version = "1"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""

BACKEND = """
import pathlib, zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / name, "w") as wheel:
        wheel.writestr("tiny.pth", str(pathlib.Path.cwd()))
        wheel.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n")
        wheel.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("tiny-1.dist-info/RECORD", "")
    return name
"""


@pytest.fixture(scope="session")
def pip_wheel(tmp_path_factory) -> Path:
    """This environment's pip as a wheel again, so that a lock can name it."""
    pip = importlib.metadata.distribution("pip")
    wheel = tmp_path_factory.mktemp("wheels") / f"pip-{pip.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in pip.files:
            if (
                file.parts[0] != ".."
                and file.suffix != ".pyc"
                and file.name not in {"INSTALLER", "REQUESTED"}
            ):
                archive.write(file.locate(), str(file))
    return wheel


@pytest.fixture
def checkout(tmp_path, pip_wheel) -> Path:
    """A project whose lock holds pip alone."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (tmp_path / "backend.py").write_text(BACKEND, encoding="utf-8")
    (tmp_path / "tiny.py").write_text("", encoding="utf-8")
    write_lock(tmp_path, pip_wheel, hashlib.sha256(pip_wheel.read_bytes()).hexdigest())
    return tmp_path


def write_lock(checkout: Path, pip_wheel: Path, digest: str) -> None:
    version = pip_wheel.name.split("-")[1]
    (checkout / "requirements.lock").write_text(f"pip=={version} --hash=sha256:{digest}\n", encoding="utf-8")


def script(checkout: Path, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PYTHON": sys.executable, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull} | environment
    return subprocess.run(
        [checkout / "scripts" / name],
        env={name: value for name, value in os.environ.items() if name != "DOCKER_HOST"} | variables,
        cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def setup(checkout: Path, pip_wheel: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return script(checkout, "setup", PIP_FIND_LINKS=str(pip_wheel.parent), **environment)


def stages(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What was set up; the set-up itself must have succeeded."""
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return [
        line.partition(" ...")[0].removeprefix("set-up: ").split(" in ")[0]
        for line in done.stderr.splitlines()
    ]


ALL = ["environment", "packages of requirements.lock", "autoresearch itself"]


def python_without(tmp_path: Path, *modules: str) -> str:
    """This Python, on a machine where `modules` are not installed."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for module in modules:
        (hidden / f"{module}.py").write_text("raise ImportError", encoding="utf-8")
    command = tmp_path / "python3"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={hidden} exec {sys.executable} "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return str(command)


def test_sets_up_once(checkout, pip_wheel):
    assert stages(setup(checkout, pip_wheel)) == ALL
    imported = subprocess.run([checkout / ".venv/bin/python", "-c", "import tiny"], cwd="/", check=False)
    assert imported.returncode == 0
    assert stages(setup(checkout, pip_wheel)) == []


def test_sets_up_again_only_what_changed(checkout, pip_wheel):
    setup(checkout, pip_wheel)
    with (checkout / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("[tool.other]\n")
    assert stages(setup(checkout, pip_wheel)) == ALL[2:]
    with (checkout / "requirements.lock").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert stages(setup(checkout, pip_wheel)) == ALL


def test_a_moved_checkout_is_set_up_anew(checkout, pip_wheel, tmp_path_factory):
    setup(checkout, pip_wheel)
    moved = tmp_path_factory.mktemp("moved") / "checkout"
    shutil.copytree(checkout, moved, symlinks=True)
    assert stages(setup(moved, pip_wheel)) == ALL


def test_other_bytes_than_the_locked_ones_stop_it(checkout, pip_wheel):
    write_lock(checkout, pip_wheel, "0" * 64)
    for _ in range(2):  # a failed set-up is not taken for a finished one
        done = setup(checkout, pip_wheel)
        assert done.returncode == 1
        assert "DO NOT MATCH THE HASHES" in done.stderr
        assert "the whole log: .cache/packages.log" in done.stderr
    write_lock(checkout, pip_wheel, hashlib.sha256(pip_wheel.read_bytes()).hexdigest())
    assert stages(setup(checkout, pip_wheel)) == ALL


def test_a_package_without_a_hash_stops_it(checkout, pip_wheel):
    lock = (checkout / "requirements.lock").read_text(encoding="utf-8")
    (checkout / "requirements.lock").write_text(lock.partition(" --hash")[0] + "\n", encoding="utf-8")
    done = setup(checkout, pip_wheel)
    assert done.returncode == 1
    assert "Hashes are required" in done.stderr


@pytest.mark.parametrize(
    "lacking",
    [
        ("ensurepip", "virtualenv"),
        pytest.param(
            ("pip", "virtualenv"),
            marks=pytest.mark.skipif(
                importlib.util.find_spec("ensurepip") is None,
                reason="this machine's Python has no ensurepip (Debian, Ubuntu: python3-venv)",
            ),
        ),
    ],
)
def test_copes_without(checkout, pip_wheel, tmp_path, lacking):
    assert stages(setup(checkout, pip_wheel, PYTHON=python_without(tmp_path, *lacking))) == ALL


def test_says_what_is_missing(checkout, pip_wheel, tmp_path):
    done = setup(checkout, pip_wheel, PYTHON=python_without(tmp_path, "pip", "ensurepip", "virtualenv"))
    assert done.returncode == 4
    assert "apt-get install python3-pip" in done.stderr
    assert not (checkout / ".venv").exists()


def test_says_which_python_it_needs(checkout, pip_wheel):
    done = setup(checkout, pip_wheel, PYTHON="/nonexistent/python3")
    assert done.returncode == 4
    assert "no Python from 3.11 to 3.14 found (tried: /nonexistent/python3)" in done.stderr


def test_leaves_an_engine_elsewhere_alone(checkout):
    (checkout / ".venv").symlink_to(sys.prefix)
    done = script(checkout, "engine", DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert done.returncode == 4
    assert done.stderr.splitlines() == [
        "no Docker engine answers: no such file or directory",
        "DOCKER_HOST is unix:///nonexistent/docker.sock: start the engine there, or use this machine's: unset DOCKER_HOST",
    ]


@pytest.mark.docker
def test_an_answering_engine_is_left_as_it_is(checkout):
    (checkout / ".venv").symlink_to(sys.prefix)
    done = script(checkout, "engine")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def commands(folder: Path, *names: str) -> str:
    """A PATH on which there is nothing but `names`."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(shutil.which(name))
    return str(folder)


def test_says_what_gets_ssh_keygen_where_it_cannot_get_it_itself(checkout, tmp_path):
    without = commands(tmp_path / "bin", "sh", "dirname", "mkdir", "id")
    done = script(checkout, "signing", PATH=without)
    assert done.returncode == 4
    assert done.stderr.splitlines() == [
        "ssh-keygen is not installed, and signed decisions need it",
        "install it (Debian, Ubuntu: apt-get install openssh-client)",
    ]


def test_ssh_keygen_that_is_there_is_left_as_it_is(checkout, tmp_path):
    there = commands(tmp_path / "bin", "sh", "dirname", "mkdir", "id", "ssh-keygen")
    done = script(checkout, "signing", PATH=there)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
