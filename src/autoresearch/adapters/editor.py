"""The person's own editor on a plan and its files, outside the project."""

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from autoresearch.errors import InvalidInput
from autoresearch.records import Plan, PlanDraft
from autoresearch.safe_text import decode, escape

PLAN_FILE = "plan.yaml"


def editor_argv(environ: Mapping[str, str]) -> list[str] | None:
    """`$VISUAL`, else `$EDITOR`, as an argument list; None where neither is set.

    Raises InvalidInput for one that cannot be split or is not installed.
    """
    name = next((name for name in ("VISUAL", "EDITOR") if environ.get(name, "").strip()), None)
    if name is None:
        return None
    try:
        argv = shlex.split(environ[name])
    except ValueError as error:
        raise InvalidInput(f"{name} is not a command: {error}") from error
    if shutil.which(argv[0], path=environ.get("PATH")) is None:
        raise InvalidInput(f"{name} names {argv[0]}, which is not installed; set it to one that is")
    return argv


def edit_files(argv: list[str], files: Mapping[str, bytes], terminal: int) -> dict[str, bytes]:
    """The files as they are after the editor ran on each in turn, in a directory of its own.

    `terminal` is the descriptor that the editor talks to. Raises InvalidInput if the
    editor failed or a file is gone.
    """
    with tempfile.TemporaryDirectory(prefix="autoresearch-edit-") as directory:
        root = Path(directory).resolve()
        places = {path: _inside(root, path) for path in files}
        for path, place in places.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(files[path])
        for place in places.values():
            open_editor(argv, place, terminal)
        return {path: _read(path, place) for path, place in places.items()}


def _inside(root: Path, path: str) -> Path:
    place = (root / path).resolve()
    if not place.is_relative_to(root) or place == root:
        raise InvalidInput(f"{escape(path)} is not a plain relative path, so it cannot be edited")
    return place


def open_editor(argv: list[str], place: Path, terminal: int) -> None:
    """Wait for the editor on one file. Raises InvalidInput if it did not start or failed."""
    try:
        ended = subprocess.run(
            [*argv, str(place)],
            cwd=place.parent,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            check=False,
        )
    except OSError as error:
        raise InvalidInput(f"the editor did not start: {error.strerror}") from error
    if ended.returncode:
        raise InvalidInput(f"the editor ended with {ended.returncode}, so nothing was changed")


def _read(path: str, place: Path) -> bytes:
    try:
        return place.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{escape(path)} is gone after editing, so nothing was changed") from error


def plan_yaml(plan: Plan) -> bytes:
    """What of a plan can be edited, as YAML. Hidden characters are written as escapes."""
    fields = plan.model_dump(mode="json", exclude={"experiment", "environment", "inputs"})
    text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=100)
    if escape(text) != text:
        text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=False, width=100)
    return text.encode()


def parse_plan(data: bytes) -> PlanDraft:
    """The plan in an edited `plan.yaml`. Raises InvalidInput with one line for each problem."""
    try:
        return PlanDraft.model_validate(yaml.safe_load(decode(data)))
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise InvalidInput(f"{PLAN_FILE} is not YAML: {problem}") from error
    except ValidationError as error:
        lines = [
            f"{PLAN_FILE}: {'.'.join(str(part) for part in problem['loc']) or 'the whole'}: "
            f"{problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        ]
        raise InvalidInput("\n".join(lines)) from error
