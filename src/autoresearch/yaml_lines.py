"""YAML blocks inside a Markdown file: plain values with the line of each, and typed reading of them.

A small, predictable part of YAML: no anchors, aliases, tags or repeated keys, and
plain words mean what YAML 1.2 says, so `no` and `on` are words and `1e-3` is a number.
Keys are always text.
"""

import bisect
import difflib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from autoresearch.errors import InvalidInput

Path = tuple[str | int, ...]
T = TypeVar("T")

_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_EXACT = 2**53
"""JSON carries integers exactly up to here."""
_DEPTH = 40
"""Levels of nesting; more would meet the recursion limits of whoever reads the record."""


@dataclass(frozen=True)
class Located:
    """A value read from a block."""

    value: JsonValue
    source: str
    line: int
    """Of the block's first line."""
    lines: dict[Path, int] = field(default_factory=dict)
    """Path inside the value → line in the Markdown file. Keys of mappings: the key's line."""

    def line_of(self, path: Path) -> int:
        """The line of `path`, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, self.line)

    def problem(self, path: Path, message: str) -> str:
        return f"{self.source}:{self.line_of(path)}: {message}"


def load(text: str, source: str, line: int) -> Located:
    """Read the block whose first line is line `line` of the file.

    Raises InvalidInput as `source:LINE: why` for anything but one plain document.
    """
    reader = _Reader(text, source, line)
    return reader.read()


class _Composer(yaml.SafeLoader):
    """PyYAML's parser, without what makes YAML surprising."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _refused("anchors (&) and aliases (*) are not read: write the value out", event)
        if getattr(event, "tag", None) is not None:
            raise _refused(f"tags ({event.tag}) are not read: put text that begins with ! in quotes", event)
        return super().compose_node(parent, index)


class _Refused(yaml.MarkedYAMLError):
    """YAML, but not the part of it that is read here."""


def _refused(message: str, event: yaml.Event) -> _Refused:
    mark = event.start_mark
    assert isinstance(mark, yaml.Mark)  # the C reader has marks of its own; this one is Python
    return _Refused(problem=message, problem_mark=mark)


class _Reader:
    def __init__(self, text: str, source: str, line: int) -> None:
        self._text = text
        self._source = source
        self._line = line
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[Path, int] = {}

    def read(self) -> Located:
        try:
            node = _Composer(self._text).get_single_node()
            if node is None:
                raise InvalidInput(f"{self._source}:{self._line}: the yaml block is empty")
            value = self._value(node, ())
        except yaml.MarkedYAMLError as error:
            self._refuse(error.problem_mark or error.context_mark, _syntax(error))
        except yaml.reader.ReaderError as error:
            line = self._line + self._text.count("\n", 0, error.position)
            what = f"the yaml block holds the character U+{error.character:04X}, which YAML does not allow"
            raise InvalidInput(f"{self._source}:{line}: {what}") from error
        except (ValueError, OverflowError) as error:  # PyYAML's own, e.g. for "\UFFFFFFFF"
            raise InvalidInput(f"{self._source}:{self._line}: not valid YAML: {error}") from error
        except RecursionError as error:
            raise InvalidInput(f"{self._source}:{self._line}: the yaml block is nested too deeply") from error
        return Located(value, self._source, self._line, self._lines)

    def _at(self, mark: yaml.Mark | None) -> int:
        """The file's line of `mark`; PyYAML's own count takes other characters for line ends too."""
        return self._line + (bisect.bisect_left(self._ends, mark.index) if mark else 0)

    def _refuse(self, mark: yaml.Mark | None, message: str) -> NoReturn:
        raise InvalidInput(f"{self._source}:{self._at(mark)}: {message}")

    def _value(self, node: yaml.Node, path: Path) -> JsonValue:
        self._lines.setdefault(path, self._at(node.start_mark))
        if len(path) > _DEPTH:
            self._refuse(node.start_mark, "the yaml block is nested too deeply")
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> JsonValue:
        found: dict[str, JsonValue] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(key_node.start_mark, "a key must be a word")
            self._scalar(key_node)
            key = str(key_node.value)  # the text itself: `null` is a key of a contrast
            if key in found:
                self._refuse(key_node.start_mark, f"the key `{key}` stands twice")
            self._lines[*path, key] = self._at(key_node.start_mark)
            found[key] = self._value(value_node, (*path, key))
        return found

    def _scalar(self, node: yaml.ScalarNode) -> str | int | float | bool | None:
        text = str(node.value)
        if not _encodable(text):
            self._refuse(node.start_mark, "half a surrogate pair is not a character")
        if node.style is not None:
            return text.rstrip("\n") if node.style in "|>" else text
        if _NULL.match(text):
            return None
        if _BOOL.match(text):
            return text.lower() == "true"
        if _NOT_FINITE.match(text):
            self._refuse(node.start_mark, f"{text} is not a number that can be used here")
        if _INT.match(text):
            return self._exact(text, node)
        return self._finite(float(text), node) if _FLOAT.match(text) else text

    def _exact(self, text: str, node: yaml.Node) -> int:
        if len(text) > 20 or abs(int(text)) >= _EXACT:
            self._refuse(node.start_mark, "the number is too large to be kept exactly: put it in quotes")
        return int(text)

    def _finite(self, number: float, node: yaml.Node) -> float:
        if not math.isfinite(number):
            self._refuse(node.start_mark, "the number is too large")
        return number


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "not YAML"
    if problem == "mapping values are not allowed here":
        problem = "a second `:` on this line: put text that holds `: ` in quotes"
    return problem if isinstance(error, _Refused) else f"not valid YAML: {problem}"


# ------------------------------------------------------------- typed reading


def typed(located: Located, kind: type[T] | Any, place: str) -> T:
    """`located` as `kind` (a model, or a list of one).

    Raises InvalidInput with every problem, one a line, each naming `place`, the key
    and, for a word that is not known, the nearest one that is.
    """
    adapter: TypeAdapter[T] = TypeAdapter(kind)
    try:
        return adapter.validate_python(located.value)
    except ValidationError as error:
        lines = sorted(_explained(error, located, kind, place))
        raise InvalidInput("\n".join(f"{located.source}:{n}: {text}" for n, text in lines)) from error


def _explained(error: ValidationError, located: Located, kind: Any, place: str) -> Iterator[tuple[int, str]]:
    problems = error.errors(include_url=False)
    meant = {
        (*problem["loc"][:-1], _near(str(problem["loc"][-1]), known_keys(kind, problem["loc"][:-1])))
        for problem in problems
        if problem["type"] == "extra_forbidden"
    }
    for problem in problems:
        path: Path = tuple(problem["loc"])
        if problem["type"] == "missing" and path in meant:
            continue  # it is there, misspelt, and told so
        about_key = problem["type"] in ("extra_forbidden", "missing")
        within = path[:-1] if about_key else path
        where = ", ".join(filter(None, (place, _spoken(within))))
        yield located.line_of(path), f"{where}{': ' if where else ''}{_plain(problem, path, kind)}"


def _plain(problem: Any, path: Path, kind: Any) -> str:  # noqa: PLR0911 - one answer a kind of problem
    """What is wrong and what would be right, in one line."""
    context = problem.get("ctx", {})
    match problem["type"]:
        case "extra_forbidden":
            return f"unknown key `{path[-1]}`{nearest(str(path[-1]), known_keys(kind, path[:-1]))}"
        case "missing":
            return f"the key `{path[-1]}` is missing"
        case "literal_error":
            options = re.findall(r"'([^']*)'", context["expected"])
            given = " ".join(str(problem["input"]).split())[:60]
            return f"`{given}` is not one of {', '.join(options)}{nearest(given, options)}"
        case "string_pattern_mismatch" if "A-Za-z" in context["pattern"]:
            return f"{problem['input'][:60]!r} is not a name: a letter, then letters, digits, `_`, `.` or `-`"
        case "string_pattern_mismatch":
            return "must stand on one line"
        case "string_type":
            return f"must be text, not {_shown(problem['input'])}: put it in quotes"
        case "list_type":
            return f"must be a list, e.g. [{_shown(problem['input'])}]"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"must be a mapping (`key: value` lines), not {_shown(problem['input'])}"
        case "value_error":
            return str(problem["msg"]).removeprefix("Value error, ")
        case _:
            said = str(problem["msg"]).replace("Input should be", "must be")
            return f"{said[0].lower()}{said[1:]}, not {_shown(problem['input'])}"


def _spoken(path: Path) -> str:
    """`metric.arrays`, or `item 2, expects` with items counted from 1."""
    spoken = ""
    for part in path:
        if isinstance(part, int):
            spoken += f"{', ' if spoken else ''}item {part + 1}"
        elif part != "[key]":
            spoken += f"{', ' if spoken.endswith(tuple('0123456789')) else '.' if spoken else ''}{part}"
    return spoken


def _shown(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str():
            return f"`{' '.join(value.split())[:60]}`"
        case _:
            return str(value)[:60]


def nearest(word: str, known: list[str]) -> str:
    """`; did you mean …?`, or what is known if nothing is near."""
    near = _near(word, known)
    if near:
        return f"; did you mean `{near}`?"
    return f"; known: {', '.join(known)}" if known else ""


def _near(word: str, known: list[str]) -> str:
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.5)), "")


def known_keys(kind: Any, path: Path) -> list[str]:
    """The keys of the model that stands at `path` inside `kind`; empty if there is none."""
    model, is_key = _model_in(kind), False
    for part in path:
        if isinstance(part, str) and model is not None and not is_key:
            described = model.model_fields.get(part)
            model = _model_in(described.annotation) if described else None
            is_key = described is not None and get_origin(described.annotation) is dict
        else:
            is_key = False
    return list(model.model_fields) if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model in an annotation such as `list[Arm]` or `Annotated[Arm | None, …]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for model in map(_model_in, get_args(annotation)) if model), None)
