"""A scripted server of the Messages protocol, for tests and rehearsals without a model.

It listens on 127.0.0.1 only, gives the replies it was given, and calls itself
`scripted` in every one of them.
"""

import json
import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Self

SCRIPTED = "scripted"


@dataclass(frozen=True)
class ScriptedReply:
    """One answer to one request. `text` is the model's words; `body` replaces the whole HTTP body."""

    text: str = ""
    stop_reason: str = "end_turn"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    kind: str = "application/json"
    """Of `body`."""
    drop: bool = False
    """Reset the connection instead of answering."""
    cut_after: int | None = None
    """Reset it after so many bytes of the body."""
    pause: float = 0
    """Seconds between the body's pieces of `piece` bytes."""
    piece: int = 1


Scripted = Mapping[str, Any] | str | ScriptedReply
"""A JSON object (sent as the reply's text, or as the input of a forced tool), a text, or all of it."""
Script = Sequence[Scripted] | Callable[[dict[str, Any]], Scripted]
"""Replies in order, or a function of the request's body."""


class ScriptedMessagesServer:
    """Use as a context manager; `base_url` goes into the settings, `requests` holds the bodies received.

    A script that is used up answers 400, which no client retries. A request without
    `Authorization` or `x-api-key` is answered 401. With `counts` it counts a request's tokens
    when asked, and keeps the answers in `counted`.
    """

    def __init__(self, script: Script, *, counts: bool = False) -> None:
        self.requests: list[dict[str, Any]] = []
        self.counts = counts
        self.counted: list[int] = []
        self.ending = Event()
        self._script = script
        self._lock = Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, body: dict[str, Any]) -> tuple[int, ScriptedReply]:
        """The number of this request, from 1, and its reply."""
        with self._lock:
            self.requests.append(body)
            number = len(self.requests)
            if callable(self._script):
                scripted = self._script(body)
            elif number <= len(self._script):
                scripted = self._script[number - 1]
            else:
                scripted = error_reply(
                    400, f"the script has {len(self._script)} replies, this is request {number}"
                )
        if isinstance(scripted, ScriptedReply):
            return number, scripted
        return number, ScriptedReply(scripted if isinstance(scripted, str) else json.dumps(dict(scripted)))


def prompt_of(body: Mapping[str, Any]) -> str:
    """The words of a request's first message, its blocks joined."""
    content = body["messages"][0]["content"]
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


def error_reply(status: int, message: str, **headers: str) -> ScriptedReply:
    """An error as the protocol words it; `retry_after="1"` becomes the header `retry-after`."""
    body = {"type": "error", "error": {"type": "api_error", "message": message}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ScriptedReply(status=status, headers=named, body=json.dumps(body).encode())


def message_of(reply: ScriptedReply, request: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The protocol's message object. Token counts are a quarter of the characters, rounded down."""
    tool = request.get("tool_choice", {}).get("name")
    block: dict[str, Any] = {"type": "text", "text": reply.text}
    stop = reply.stop_reason
    if tool and reply.stop_reason == "end_turn" and (given := _json_or_none(reply.text)) is not None:
        block = {"type": "tool_use", "id": f"toolu_{SCRIPTED}_{number}", "name": tool, "input": given}
        stop = "tool_use"
    return {
        "id": f"msg_{SCRIPTED}_{number}",
        "type": "message",
        "role": "assistant",
        "model": SCRIPTED,
        "content": [block] if reply.text else [],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": len(json.dumps(request)) // 4, "output_tokens": len(reply.text) // 4},
    }


def _json_or_none(text: str) -> Any:
    """A model that ignores the tool it is to call says something else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def as_stream(message: Mapping[str, Any]) -> bytes:
    """A message as server-sent events."""
    events = (
        f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n"
        for name, data in stream_events(message)
    )
    return "".join(events).encode()


def stream_events(message: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same message as the protocol streams it: (event name, data)."""
    usage = {**message["usage"], "output_tokens": 0}
    yield "message_start", {"message": {**message, "content": [], "stop_reason": None, "usage": usage}}
    for index, block in enumerate(message["content"]):
        whole = json.dumps(block["input"]) if block["type"] == "tool_use" else block["text"]
        empty = {**block, "input": {}} if block["type"] == "tool_use" else {**block, "text": ""}
        kind, key = ("input_json_delta", "partial_json") if "input" in block else ("text_delta", "text")
        yield "content_block_start", {"index": index, "content_block": empty}
        for start in range(0, len(whole), 400):
            yield (
                "content_block_delta",
                {"index": index, "delta": {"type": kind, key: whole[start : start + 400]}},
            )
        yield "content_block_stop", {"index": index}
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield "message_delta", {"delta": stop, "usage": {"output_tokens": message["usage"]["output_tokens"]}}
    yield "message_stop", {}


class _Server(ThreadingHTTPServer):
    owner: ScriptedMessagesServer


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))))
        path = self.path.split("?")[0]
        if path == "/v1/messages/count_tokens" and self.server.owner.counts:
            tokens = len(json.dumps(body)) // 4
            self.server.owner.counted.append(tokens)
            self._send(ScriptedReply(), json.dumps({"input_tokens": tokens}).encode(), 0)
        elif path != "/v1/messages":
            self._send(error_reply(404, f"no such path: {self.path}"), b"", 0)
        elif not (self.headers.get("authorization") or self.headers.get("x-api-key")):
            self._send(error_reply(401, "no credential"), b"", 0)
        else:
            self._answer(body)

    def _answer(self, body: dict[str, Any]) -> None:
        number, reply = self.server.owner.answer(body)
        if reply.drop:
            self._reset()
            return
        if reply.body is not None:
            self._send(reply, reply.body, number, reply.kind)
            return
        message = message_of(reply, body, number)
        if not body.get("stream"):
            self._send(reply, json.dumps(message).encode(), number)
            return
        self._send(reply, as_stream(message), number, "text/event-stream")

    def _send(self, reply: ScriptedReply, data: bytes, number: int, kind: str = "application/json") -> None:
        data = data or reply.body or b""
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.send_header("request-id", f"req_{SCRIPTED}_{number}")
        self.end_headers()
        try:
            if reply.pause:
                for start in range(0, len(data), reply.piece):
                    self.wfile.write(data[start : start + reply.piece])
                    self.server.owner.ending.wait(reply.pause)
            else:
                self.wfile.write(data[: reply.cut_after])
        except OSError:
            return  # the client had enough
        if reply.cut_after is not None:
            self._reset()

    def _reset(self) -> None:
        """Close with a reset: linger for 0 seconds."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Say nothing on standard error."""
