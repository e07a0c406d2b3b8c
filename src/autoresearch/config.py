"""`autoresearch.toml`: read, validated once, written back readable."""

import difflib
import re
import tomllib
from collections.abc import Mapping

from pydantic import ValidationError

from autoresearch.errors import InvalidInput
from autoresearch.records import RegisteredReviewer, Settings, first_problem

_COMMENTS = {
    "model": "who writes the steps: none (they read proposal.md), anthropic:<model>, or command:<program>",
    "base_url": "a server of the same protocol, e.g. http://127.0.0.1:8000; empty for the provider's own",
    "isolation": "what stands between the experiment's code and this machine: docker, gvisor, or bubblewrap (weaker)",
    "max_attempts": "attempts per cycle; at the bound `run` stops",
    "max_cycles": "cycles per project",
    "artifact_limit_mb": "larger outputs stay in .git/autoresearch/artifacts, by digest",
    "models": 'another model for one step, by the step\'s name, e.g. critique = "anthropic:…"',
    "model_options": 'how one model is asked: [model_options."anthropic:…"] with base_url, headers, effort, '
    "thinking, price, environment; see docs/models.md",
    "budget": 'what models may take; a number or "none". Reserved before each call; at the bound `run` stops',
    "reviewers": "whose signature decisions need: autoresearch reviewer add; empty: decisions are unsigned",
}


def parse_settings(text: str, source: str = "autoresearch.toml") -> Settings:
    """Raises InvalidInput naming the key, and the nearest known one."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{source}: not TOML: {error}") from error
    for key in data:
        if key == "notify_command":
            raise InvalidInput(
                f"{source}: notify_command names a program to run on your machine, which a project may not do; "
                "it goes into ~/.config/autoresearch/config.toml"
            )
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
    values = settings.model_dump(mode="json", exclude_none=True)
    lines = ["# Settings of this project. A change takes effect when you confirm it at `autoresearch run`."]
    for key, comment in _COMMENTS.items():
        value = values[key]
        lines += ["", f"# {comment}"]
        if isinstance(value, list):
            # Blocks at the end, not a list: another one can be added below with nothing else touched.
            for reviewer in settings.reviewers:
                lines += reviewer_block(reviewer).splitlines()
        elif isinstance(value, dict):
            lines += _table(key, value)
        else:
            lines.append(f"{key} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def reviewer_block(reviewer: RegisteredReviewer) -> str:
    """A reviewer as it stands in `autoresearch.toml`."""
    rows = reviewer.model_dump(mode="json").items()
    return "\n[[reviewers]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in rows)


def _table(name: str, values: Mapping[str, object]) -> list[str]:
    """A table with its plain values first, then the tables in it."""
    inner = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    plain = [f"{_key(key)} = {_toml(value)}" for key, value in values.items() if key not in inner]
    lines = [f"[{name}]", *plain] if plain or not inner else []
    for key, value in inner.items():
        lines += _table(f"{name}.{_key(key)}", value)
    return lines


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def settings_diff(old: Settings, new: Settings) -> str:
    """Changed settings, a line each: `max_attempts: 8 → 12`."""
    before, after = _flat("", old.model_dump(mode="json")), _flat("", new.model_dump(mode="json"))
    lines = [
        f"{key}: {_toml(before[key]) if key in before else '–'} → {_toml(after[key]) if key in after else '–'}"
        for key in {**before, **after}
        if key != "reviewers" and before.get(key) != after.get(key)
    ]
    return "\n".join([*lines, *_reviewers_diff(old, new)])


def _reviewers_diff(old: Settings, new: Settings) -> list[str]:
    gone = [f"reviewer removed: {_reviewer(r)}" for r in old.reviewers if r not in new.reviewers]
    come = [f"reviewer added: {_reviewer(r)}" for r in new.reviewers if r not in old.reviewers]
    if not gone and not come and old.reviewers != new.reviewers:
        return ["reviewers: in another order"]
    return [*gone, *come]


def _reviewer(reviewer: RegisteredReviewer) -> str:
    return f"{reviewer.person}, {reviewer.key.split()[0]} {reviewer.fingerprint}"


def _flat(prefix: str, values: Mapping[str, object]) -> dict[str, object]:
    """`budget.cycle.usd` → its value. What is empty is left out."""
    found: dict[str, object] = {}
    for key, value in values.items():
        name = f"{prefix}{_key(key)}"
        found |= _flat(f"{name}.", value) if isinstance(value, Mapping) else {name: value}
    return {name: value for name, value in found.items() if value is not None}


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
