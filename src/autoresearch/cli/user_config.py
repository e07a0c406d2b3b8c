"""What belongs to the person at this machine, whatever project they work on.

It stands in their home and never in a project: a project may come from somebody else, and
must not choose what runs here.
"""

import difflib
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from autoresearch.errors import InvalidInput
from autoresearch.records import Frozen, first_problem


class UserConfig(Frozen):
    notify_command: list[str] = Field(default_factory=list)
    """Program and arguments, run when a gate opens; empty: nothing."""


def config_path(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CONFIG_HOME", "")
    # A relative one is to be ignored, says the specification; it would lead into the project.
    root = Path(base) if Path(base).is_absolute() else Path(environ.get("HOME", "/")) / ".config"
    return root / "autoresearch" / "config.toml"


def read_user_config(environ: Mapping[str, str]) -> UserConfig:
    """The person's settings, or none. Raises InvalidInput for a file that cannot be used."""
    path = config_path(environ)
    try:
        with path.open("rb") as file:
            _require_own(path, os.fstat(file.fileno()))
            data = tomllib.load(file)
    except FileNotFoundError:
        return UserConfig()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: not TOML: {error}") from error
    for key in data:
        if key not in UserConfig.model_fields:
            near = difflib.get_close_matches(key, UserConfig.model_fields, n=1)
            raise InvalidInput(
                f"{path}: unknown setting {key}" + (f"; did you mean {near[0]}?" if near else "")
            )
    try:
        return UserConfig.model_validate(data)
    except ValidationError as error:
        raise InvalidInput(f"{path}: {first_problem(error)}") from error


def _require_own(path: Path, found: os.stat_result) -> None:
    """It names a program to run, so nobody else may have written it."""
    if found.st_uid not in (os.getuid(), 0) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InvalidInput(f"{path} can be written by others, so it is not used; mend with: chmod 600 {path}")
