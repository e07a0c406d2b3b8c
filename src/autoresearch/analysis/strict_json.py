"""JSON from the sandbox, read without the leniencies of the standard library.

`json.loads` takes NaN, numbers that overflow to infinity, keys that stand
twice and any depth. A result file is written by code that nobody trusts, so
here each of these is an error that says where it stands.
"""

import json
import math
import re
from collections import Counter
from typing import NoReturn

from pydantic import JsonValue

from autoresearch.errors import InvalidInput
from autoresearch.records import clip

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
"""A string, or an unended one up to the end of the data. Possessive, hence linear time."""
_STRING_OR_BRACKET = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_STRING_OR_WORD = re.compile(_STRING + rb"|[-+.\w]+", re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def loads(data: bytes, *, max_bytes: int, max_depth: int, name: str = "JSON") -> JsonValue:
    """The one JSON value in `data`. Size and depth are checked before anything is parsed.

    Raises InvalidInput, starting with `name` and naming line and column where there is
    one, for: too many bytes, too deep, not UTF-8, NaN or Infinity, a number too large
    for a double, a key that stands twice in an object, an unpaired surrogate, and
    anything after the value.
    """
    if len(data) > max_bytes:
        raise InvalidInput(f"{name}: {len(data)} bytes, at most {max_bytes} are read")
    text = _decode(data, name)
    _check_depth(data, max_depth, name)

    def refuse(token: str) -> NoReturn:
        raise InvalidInput(f"{name}: {clip(token, 40)} is not a finite number{_where(data, token.encode())}")

    def number(token: str) -> float:
        value = float(token)
        return value if math.isfinite(value) else refuse(token)

    def unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise InvalidInput(f"{name}: the key {clip(repr(twice), 60)} stands twice in one object")
        return found

    try:
        value: JsonValue = json.loads(
            text, parse_constant=refuse, parse_float=number, object_pairs_hook=unique
        )
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"{name}: line {error.lineno}, column {error.colno}: {error.msg.lower()}"
        ) from error
    except ValueError as error:  # an integer of thousands of digits: Python refuses to convert it
        raise InvalidInput(f"{name}: an integer has too many digits") from error
    if _SURROGATE.search(data):
        _check_encodable(value, name)
    return value


def finite_number(value: JsonValue, name: str) -> float:
    """`value` as a float. Raises InvalidInput for a bool, a string or anything else."""
    if type(value) not in (int, float):
        raise InvalidInput(f"{name}: {_kind(value)} where a number is needed")
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidInput(f"{name}: not a finite number")
    return number


def finite_numbers(value: JsonValue, name: str) -> tuple[list[float], tuple[int, ...]]:
    """A list, or a rectangular list of lists, as (numbers in row-major order, shape).

    Raises InvalidInput where `finite_number` does, for rows of unequal length, and for
    what is not a list.
    """
    if not isinstance(value, list):
        raise InvalidInput(f"{name}: {_kind(value)} where a list of numbers is needed")
    if not any(isinstance(item, list) for item in value):
        return [finite_number(item, f"{name}[{i}]") for i, item in enumerate(value)], (len(value),)
    rows = [finite_numbers(item, f"{name}[{i}]") for i, item in enumerate(value)]
    shape = rows[0][1]
    for i, (_, other) in enumerate(rows):
        if other != shape:
            raise InvalidInput(
                f"{name}[{i}]: shape {other} beside rows of shape {shape}; rows must be of equal length"
            )
    return [number for numbers, _ in rows for number in numbers], (len(value), *shape)


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name}: not UTF-8{_place(data, error.start)}") from error


def _check_depth(data: bytes, max_depth: int, name: str) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(data):
        token = match[0]
        if token in (b"[", b"{"):
            depth += 1
            if depth > max_depth:
                raise InvalidInput(
                    f"{name}: nested deeper than {max_depth} levels{_place(data, match.start())}"
                )
        elif token in (b"]", b"}"):
            depth -= 1


def _check_encodable(value: JsonValue, name: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name}: a string holds an unpaired surrogate") from error


def _where(data: bytes, token: bytes) -> str:
    """` at line …` of the first `token` outside strings. The parser's hooks do not say."""
    for match in _STRING_OR_WORD.finditer(data):
        if match[0] == token:
            return _place(data, match.start())
    return ""


def _place(data: bytes, position: int) -> str:
    line_start = data.rfind(b"\n", 0, position)
    line = data.count(b"\n", 0, position) + 1
    return f" at line {line}, byte {position - line_start}"


def _kind(value: JsonValue) -> str:
    names = {bool: "true or false", str: "a string", type(None): "null", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
