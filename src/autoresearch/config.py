"""`autoresearch.toml`: read, validated once, written back readable."""

import difflib
import tomllib
from collections.abc import Mapping

from pydantic import ValidationError

from autoresearch.errors import InvalidInput
from autoresearch.records import Settings, first_problem

_COMMENTS = {
    "model": "who writes the steps: none (they read proposal.md), or anthropic:<model>",
    "base_url": "a server of the same protocol, e.g. http://127.0.0.1:8000; empty for the provider's own",
    "isolation": "what stands between the experiment's code and this machine: docker, or gvisor",
    "max_attempts": "attempts per cycle; at the bound `run` stops",
    "max_cycles": "cycles per project",
    "artifact_limit_mb": "larger outputs stay in .git/autoresearch/artifacts, by digest",
    "models": "another model for one step, by the step's name",
}


def parse_settings(text: str, source: str = "autoresearch.toml") -> Settings:
    """Raises InvalidInput naming the key, and the nearest known one."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{source}: not TOML: {error}") from error
    for key in data:
        if key not in Settings.model_fields:
            near = difflib.get_close_matches(key, Settings.model_fields, n=1)
            raise InvalidInput(
                f"{source}: unknown setting {key}" + (f"; did you mean {near[0]}?" if near else "")
            )
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise InvalidInput(f"{source}: {first_problem(error)}") from error


def render_settings(settings: Settings) -> str:
    """TOML with a comment a setting; `parse_settings` reads it back equal."""
    values = settings.model_dump(mode="json")
    lines = ["# Settings of this project. A change takes effect when you confirm it at `autoresearch run`."]
    for key, comment in _COMMENTS.items():
        value = values[key]
        lines += ["", f"# {comment}"]
        if isinstance(value, dict):
            lines += [f"[{key}]", *(f"{name} = {_toml(item)}" for name, item in value.items())]
        else:
            lines.append(f"{key} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def settings_diff(old: Settings, new: Settings) -> str:
    """Changed settings, a line each: `max_attempts: 8 → 12`."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    return "\n".join(
        f"{key}: {_toml(before[key])} → {_toml(after[key])}" for key in before if before[key] != after[key]
    )


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
