"""A streamed reply of the Messages protocol, put together again. Only what the protocol promises passes."""

import json
from collections.abc import Generator, Iterable
from typing import Any, Protocol

from pydantic import JsonValue
from pydantic_core import from_json

CHARACTERS_PER_TOKEN = 4
"""A rough figure, for progress only."""
_TEXTS = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
}
"""Kind of delta → the field of the block that it lengthens; it bears the same name in the delta."""


class NotAReply(Exception):
    """A successful status with a body that the protocol does not know."""


class BrokenOff(Exception):
    """The stream ended before the message did."""


class StreamedError(Exception):
    """The server gave up in the middle of its reply, and said why."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Event(Protocol):
    """As an SSE decoder gives it."""

    @property
    def event(self) -> str | None: ...

    @property
    def data(self) -> str: ...


def assemble(events: Iterable[Event]) -> Generator[int, None, dict[str, JsonValue]]:
    """Yields the characters that came so far; returns the message (the generator's value).

    Raises NotAReply, BrokenOff or StreamedError.
    """
    message: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    inputs: dict[int, list[str]] = {}
    characters = 0
    for event in events:
        kind, data = event.event, event.data
        if kind in (None, "ping") or not data:
            continue
        body = _object(parse_json(data))
        match kind:
            case "error":
                error = body.get("error")
                said = error if isinstance(error, dict) else {}
                raise StreamedError(str(said.get("type", "")), str(said.get("message", "no reason given")))
            case "message_start":
                message = _object(body.get("message"))
            case "content_block_start":
                blocks[_index(body)] = _object(body.get("content_block"))
            case "content_block_delta":
                characters += _lengthen(blocks, inputs, _index(body), _object(body.get("delta")))
                yield characters
            case "message_delta":
                message |= {k: v for k, v in _object(body.get("delta")).items() if v is not None}
                usage = {k: v for k, v in _object(body.get("usage", {})).items() if v is not None}
                message["usage"] = {**_object(message.get("usage", {})), **usage}
            case "message_stop":
                return _whole(message, blocks, inputs)
            case _:
                pass  # kinds that a later protocol adds
    raise BrokenOff("the reply broke off in the middle")


def _lengthen(
    blocks: dict[int, dict[str, Any]], inputs: dict[int, list[str]], index: int, delta: dict[str, Any]
) -> int:
    if index not in blocks:
        raise NotAReply(f"a piece of block {index}, which has not begun")
    kind = str(delta.get("type"))
    if kind == "input_json_delta":
        piece = delta.get("partial_json")
        if not isinstance(piece, str):
            raise NotAReply("a piece of a tool's input that is no text")
        inputs.setdefault(index, []).append(piece)
        return len(piece)
    field = _TEXTS.get(kind)
    if field is None:
        return 0
    piece, so_far = delta.get(field), blocks[index].get(field, "")
    if not isinstance(piece, str) or not isinstance(so_far, str):
        raise NotAReply(f"a {kind} without text")
    blocks[index][field] = so_far + piece
    return len(piece)


def _whole(
    message: dict[str, Any], blocks: dict[int, dict[str, Any]], inputs: dict[int, list[str]]
) -> dict[str, JsonValue]:
    if not message:
        raise NotAReply("a stream without a message_start")
    for index, pieces in inputs.items():
        text = "".join(pieces)
        blocks[index]["input"] = parse_json(text) if text.strip() else {}
    return {**message, "content": [blocks[index] for index in sorted(blocks)]}


def parse_json(data: str | bytes) -> JsonValue:
    """Raises NotAReply for what is no JSON, or holds what JSON cannot carry exactly."""
    try:
        value: JsonValue = from_json(data, allow_inf_nan=False)
        json.dumps(value, allow_nan=False).encode()  # 1e999 is read as infinity
    except (ValueError, RecursionError) as error:
        raise NotAReply(f"no JSON: {error}") from error
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NotAReply("an event that is no object where the protocol has one")
    return value


def _index(body: dict[str, Any]) -> int:
    index = body.get("index")
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < 10_000:
        raise NotAReply("a block without an index")
    return index
