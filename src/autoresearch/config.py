"""`autoresearch.toml`: read, validated once, written back readable."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from autoresearch import yaml_lines
from autoresearch.errors import InvalidInput
from autoresearch.records import ModelChoice, RegisteredReviewer, Settings

_COMMENTS = {
    "isolation": "what stands between the experiment's code and this machine: docker, gvisor, or bubblewrap (weaker)",
    "max_attempts": "attempts per cycle; at the bound `run` stops",
    "max_cycles": "cycles per project",
    "artifact_limit_mb": "larger outputs stay in .git/autoresearch/artifacts, by digest",
    "model": "who writes the steps: none (they read proposal.md), anthropic:<model>, or command:<program>;\n"
    "# how they are asked, and what is different for one step, e.g. in [model.critique]: docs/models.md",
    "budget": 'what models may take; a number or "none". Reserved before each call; at the bound `run` stops',
    "reviewers": "whose signature decisions need: autoresearch reviewer add; empty: decisions are unsigned",
}


def parse_settings(
    text: str, source: str = "autoresearch.toml", steps: Mapping[str, bool] | None = None
) -> Settings:
    """Raises InvalidInput naming line and key, and the nearest known one.

    `steps`: those of the workflow, and whether a model can write them; None: any are taken.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{source}: not TOML: {error}") from error
    data = _with_models(data, source)
    located = yaml_lines.Located(data, source, 1, _lines(text))
    for key in data:
        if key == "notify_command":
            raise InvalidInput(
                f"{source}: notify_command names a program to run on your machine, which a project may not do; "
                "it goes into ~/.config/autoresearch/config.toml"
            )
        if key not in Settings.model_fields:
            near = yaml_lines.nearest(key, list(_COMMENTS))
            raise InvalidInput(located.problem((key,), f"unknown setting {key}{near}"))
    for name in data["models"] if steps is not None else ():
        _require_step(name, steps or {}, located)
    try:
        settings: Settings = yaml_lines.typed(located, Settings, "")
    except InvalidInput as error:
        raise InvalidInput(_as_written(str(error))) from error
    return settings


def _with_models(data: dict[str, Any], source: str) -> dict[str, Any]:
    """A table below `[model]` that is none of its settings is a step's."""
    if "models" in data:
        raise InvalidInput(f"{source}: unknown setting models; a step's model is the table [model.STEP]")
    table = data.get("model", {})
    if not isinstance(table, dict):
        raise InvalidInput(f"{source}: model is a table; write\n[model]\nuse = {_toml(table)}")
    steps = {
        name: value
        for name, value in table.items()
        if isinstance(value, dict) and name not in ModelChoice.model_fields
    }
    default = {name: value for name, value in table.items() if name not in steps}
    return {**data, "model": default, "models": steps}


def _require_step(name: str, steps: Mapping[str, bool], located: yaml_lines.Located) -> None:
    if steps.get(name):
        return
    asked = [step for step, by_model in steps.items() if by_model]
    known = f"steps that ask a model are: {', '.join(asked)}"
    if name in steps:
        said = f"the step {name} applies rules and asks no model; {known}"
    else:
        near = difflib.get_close_matches(name, asked, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        said = f"[model.{name}] is no step of this project's workflow{hint}; {known}"
    raise InvalidInput(located.problem(("models", name), said))


def _lines(text: str) -> dict[tuple[str | int, ...], int]:
    """The line on which each table and key first stands, as far as the lines alone show it."""
    found: dict[tuple[str | int, ...], int] = {}
    table: tuple[str | int, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r"""\s*(?:(\[\[?)([^\]]+)\]|([\w."'-]+)\s*=)""", line)
        if match is None:
            continue
        path: tuple[str | int, ...] = tuple(
            part.strip(" \t\"'") for part in (match[2] or match[3]).split(".")
        )
        if match[1] == "[[":
            path = (*path, sum(other[:-1] == path and isinstance(other[-1], int) for other in found))
        if match[1]:
            table = path
        else:
            path = table + path
        for length in range(1, len(path) + 1):
            found.setdefault(path[:length], number)
    # A step's table stands below [model] in the file.
    return found | {("models", *path[1:]): number for path, number in found.items() if path[0] == "model"}


def _as_written(problems: str) -> str:
    """Settings of a step stand below `[model]` in the file."""
    return re.sub(r"(:\d+: )models\.", r"\1model.", problems)


def render_settings(settings: Settings) -> str:
    """TOML with a comment a setting; `parse_settings` reads it back equal."""
    values = _values(settings)
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


def _values(settings: Settings) -> dict[str, Any]:
    """As they stand in the file."""
    values = settings.model_dump(mode="json", exclude_none=True)
    # What is empty says nothing, but a step may empty what the default fills.
    default = {name: value for name, value in values["model"].items() if value not in ("", {}, [])}
    steps = values.pop("models")
    return {**values, "model": {**default, **steps}}


def settings_diff(old: Settings, new: Settings) -> str:
    """Changed settings, a line each: `max_attempts: 8 → 12`."""
    before, after = _flat("", _values(old)), _flat("", _values(new))
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
        found |= _flat(f"{name}.", value) if isinstance(value, Mapping) and value else {name: value}
    return {name: value for name, value in found.items() if value is not None}


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{}"  # one that holds anything is a table of its own
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
