"""The sandbox image: what is in it, when it is built, and that two builders do not get in each other's way."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autoresearch import assets
from autoresearch.adapters import engine, image
from autoresearch.errors import SandboxFailed

CONTENTS = """
import importlib.metadata, importlib.util, json, os, pathlib, stat
import numpy
loose = [str(p) for top in ("/bin", "/etc", "/home", "/opt", "/root", "/sbin", "/srv", "/usr", "/var")
         for p in pathlib.Path(top).rglob("*") if not p.is_symlink() and p.lstat().st_mode & (stat.S_ISUID | stat.S_ISGID)]
print(json.dumps({
    "packages": {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()},
    "loose": loose,
    "wheels": [str(p) for p in pathlib.Path("/").glob("*") if p.name in ("wheels", "packages", "build")],
    "pip": importlib.util.find_spec("pip") is not None,
    "byte_code_flags": pathlib.Path(numpy.__cached__).read_bytes()[4],
}))
"""

TINY = "ARG BASE\nFROM ${BASE}\nARG SITE\nRUN sleep 1\n"


def silent(line: str) -> None:
    pass


def source_with(tmp_path: Path, dockerfile: str) -> Path:
    """Build inputs of another image: the shipped lock, so that the wheels are at hand."""
    source = tmp_path / "sandbox"
    source.mkdir()
    shutil.copy(assets.sandbox() / "requirements.lock", source)
    (source / "Dockerfile").write_text(f"{dockerfile}# {tmp_path}\n", encoding="utf-8")
    return source


@pytest.fixture
def client():
    with contextlib.closing(engine.connect()) as connected:
        yield connected


@pytest.fixture
def source(tmp_path, client):
    source = source_with(tmp_path, TINY)
    yield source
    for built in client.images.list(filters={"label": f"{image.LABEL}={image.inputs_digest(source)}"}):
        client.images.remove(built.id, force=True)


def test_the_inputs_are_dockerfile_and_lock_only(tmp_path):
    source = source_with(tmp_path, TINY)
    before = image.inputs_digest(source)
    (source / "harness.py").write_text("changed", encoding="utf-8")
    assert image.inputs_digest(source) == before
    for name in image.INPUTS:
        (source / name).write_text(
            (source / name).read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8"
        )
        assert image.inputs_digest(source) != before
        before = image.inputs_digest(source)


def test_the_lock_has_one_version_and_hashes_for_every_package():
    lock = (assets.sandbox() / "requirements.lock").read_text(encoding="utf-8")
    names = re.findall(r"^([a-z0-9-]+)==\S+ \\\n    --hash=sha256:", lock, flags=re.MULTILINE)
    assert len(names) == len(set(names)) == lock.count("==")
    assert {"numpy", "scipy", "scikit-learn", "matplotlib"} <= set(names)


def test_without_an_engine_the_message_says_what_to_type():
    # A process of its own: the SDK leaves a socket that could not connect to the garbage collector.
    done = subprocess.run(
        [sys.executable, "-m", "autoresearch.adapters.image"],
        env=os.environ | {"DOCKER_HOST": "unix:///nonexistent/docker.sock"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert done.stdout == ""
    assert re.fullmatch(r"no Docker engine answers: no such file .*\n.*: unset DOCKER_HOST\n", done.stderr)


@pytest.mark.docker
def test_found_by_its_inputs_under_its_full_id():
    said = []
    found = image.find_or_build(silent)
    assert re.fullmatch("sha256:[0-9a-f]{64}", found)
    assert image.find_or_build(said.append) == image.find() == found
    assert said == []


@pytest.mark.docker
def test_holds_the_locked_packages_and_nothing_to_climb_on(client):
    answer = client.containers.run(
        image.find_or_build(silent),
        ["python3", "-I", "-c", CONTENTS],
        network_mode="none", read_only=True, cap_drop=["ALL"], tmpfs={"/tmp": "size=1m"}, remove=True,
    )  # fmt: skip
    contents = json.loads(answer)
    lock = (assets.sandbox() / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, flags=re.MULTILINE))
    del locked["pip"]
    assert locked.items() <= contents["packages"].items()
    assert contents["loose"] == []
    assert contents["wheels"] == []
    assert contents["pip"] is False
    assert contents["byte_code_flags"] == 0b01, (
        "byte code is not of the unchecked kind: a read-only root recompiles it"
    )


@pytest.mark.docker
def test_two_builders_at_once_make_one_image(source, client):
    build = f"from autoresearch.adapters import image; from pathlib import Path; print(image.build_from(Path({str(source)!r}), print))"
    builders = [
        subprocess.Popen([sys.executable, "-c", build], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [builder.communicate(timeout=120)[0].splitlines() for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert said[0][-1] == said[1][-1]
    assert sorted(len(lines) > 1 for lines in said) == [False, True], (
        "one built and told so, the other found it"
    )
    assert len(client.images.list(filters={"label": f"{image.LABEL}={image.inputs_digest(source)}"})) == 1


@pytest.mark.docker
def test_another_dockerfile_is_another_image(source):
    built = image.build_from(source, silent)
    assert built != image.find_or_build(silent)
    assert image.build_from(source, silent) == built


@pytest.mark.docker
def test_a_failing_build_shows_its_end_and_leaves_nothing(tmp_path, client):
    failing = TINY.replace("FROM ${BASE}\n", "FROM ${BASE}\nLABEL autoresearch.stage=packages\n")
    source = source_with(tmp_path, failing.replace("RUN sleep 1", "RUN echo the reason >&2 && false"))
    with pytest.raises(SandboxFailed, match=r"did not build:\n(.|\n)*the reason\n(.|\n)*non-zero code"):
        image.build_from(source, silent)
    assert client.images.list(filters={"dangling": True, "label": image.STAGE_LABEL}) == []
    assert client.images.list(filters={"label": f"{image.LABEL}={image.inputs_digest(source)}"}) == []
