"""A recorded exchange with a server of the Messages protocol: its format, its reading, its replay.

One exchange is one question: a first call and at most one repair. What was sent
and what came back stand in it whole; headers and keys never do.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from autoresearch.errors import InvalidInput, ModelOutcome
from autoresearch.ports import Exchange, Request
from autoresearch.records import Digest, Frozen, Spend, Tokens, Usage, digest_of, first_problem
from autoresearch.replies import explain

T = TypeVar("T", bound=BaseModel)

REPLY_TOOL = "reply"
"""The one tool, forced in a repair where the server ignored the schema in the request."""

NOT_MODELS = ("human", "rules", "none")
"""What trailers call a record that no model made."""


def _is_a_model(name: str) -> str:
    if name.casefold() in NOT_MODELS:
        raise ValueError(f"{name} is no model's name")
    return name


ModelId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w./:@+-]{0,199}$"), AfterValidator(_is_a_model)]
"""As the server names itself; it ends up in trailers, so nothing else passes."""


# ------------------------------------------------------------ the reply's shape


class Block(BaseModel):
    """One block of a reply's content. Fields of other block types are ignored."""

    model_config = ConfigDict(extra="ignore")

    type: str
    text: str | None = None
    name: str | None = None
    input: JsonValue = None

    @model_validator(mode="after")
    def _text_has_text(self) -> "Block":
        if self.type == "text" and self.text is None:
            raise ValueError("a text block without text")
        return self


class MessageReply(BaseModel):
    """What the protocol promises of a reply, as far as it is read here."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["message"]
    model: ModelId
    content: list[Block]
    stop_reason: str | None = None
    usage: Usage = Usage()

    def text(self) -> str:
        return "".join(block.text or "" for block in self.content if block.type == "text")

    def tokens(self) -> Tokens:
        return self.usage.tokens()


# ---------------------------------------------------------------- reading one


@dataclass(frozen=True)
class Problem:
    """Why a reply cannot be used."""

    kind: ModelOutcome
    detail: str


_STOPS: dict[str, Problem] = {
    "refusal": Problem("refused", "the model refused"),
    "max_tokens": Problem("truncated", "the reply was cut off at max_tokens"),
    "model_context_window_exceeded": Problem(
        "context too long", "the request does not fit the model's context"
    ),
}
_ENDS = ("end_turn", "stop_sequence", "tool_use", None)
"""Stop reasons of a whole reply. None: some servers of the protocol give none."""


def read_reply(reply: MessageReply, reply_type: type[T]) -> T | Problem:
    """The reply, validated, or why not. The same bytes are read the same way in a replay."""
    if reply.stop_reason in _STOPS:
        return _STOPS[reply.stop_reason]
    if reply.stop_reason not in _ENDS:
        return Problem("stopped", f"the reply stopped with {reply.stop_reason!r}")
    tools = [block for block in reply.content if block.type == "tool_use" and block.name == REPLY_TOOL]
    text = _unfenced(reply.text())
    if not tools and not text.strip():
        return Problem("empty", "the reply is empty")
    try:
        if tools:
            return reply_type.model_validate_json(json.dumps(tools[0].input))
        parsed = reply_type.model_validate_json(text)
    except ValidationError as error:
        no_json = error.errors()[0]["type"] == "json_invalid"
        return Problem("malformed" if no_json else "invalid", explain(error))
    twice = _said_twice(text)
    return Problem("invalid", f"{twice} stands twice in one object") if twice else parsed


def _said_twice(text: str) -> str:
    """A key that an object of this JSON has twice, of which parsers keep one; empty if there is none."""
    found: list[str] = []

    def note(pairs: list[tuple[str, JsonValue]]) -> None:
        keys = [key for key, _ in pairs]
        found.extend(key for key in keys if keys.count(key) > 1)

    json.loads(text, object_pairs_hook=note)
    return found[0] if found else ""


_FENCED = re.compile(r"[^`]*```(?:json)?\s*\n(.*?)\n\s*```[^`]*", re.DOTALL)


def _unfenced(text: str) -> str:
    """What stands in the text's one code fence, as many models and clients send JSON; else the text."""
    found = None if text.lstrip().startswith("{") else _FENCED.fullmatch(text)
    return found[1] if found else text


# -------------------------------------------------------------------- format


class Call(Frozen):
    """One request that got a reply, after `tries` tries."""

    started: datetime
    ended: datetime
    tries: Annotated[int, Field(ge=1)]
    failed_tries: list[str]
    """What went wrong in the tries before the last."""
    request_id: str | None
    request: dict[str, JsonValue]
    """The body as it was sent."""
    reply: dict[str, JsonValue]
    """The body as it came."""
    problem: str = ""
    """Why the reply was not taken and a repair was asked for. Empty: it was taken."""


class RecordedExchange(Frozen):
    """The file that is committed beside a record."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    step: str
    model: ModelId
    """As the server named itself in the reply that was taken."""
    prompt_sha256: Digest
    calls: Annotated[list[Call], Field(min_length=1, max_length=2)]
    """The first, and the repair if there was one."""
    tokens: Tokens
    """Of these calls."""
    spent: Spend
    """On these calls, and since the last record of a model on calls that brought none."""
    parsed: dict[str, JsonValue]
    """The reply that was taken."""

    def to_bytes(self) -> bytes:
        plain = self.model_dump(mode="json", by_alias=True)
        return (json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def prompt_digest(request: Request[Any]) -> str:
    """SHA-256 of the canonical JSON of what was asked."""
    return digest_of({"system": request.system, "prompt": request.prompt})


def total_tokens(replies: Sequence[MessageReply]) -> Tokens:
    each = [reply.tokens() for reply in replies]
    return Tokens(
        input=sum(t.input for t in each),
        cached=sum(t.cached for t in each),
        output=sum(t.output for t in each),
    )


# -------------------------------------------------------------------- replay


def reparse(data: bytes, request: Request[T]) -> Exchange[T]:
    """The exchange recorded in `data`, read again without a network.

    Raises InvalidInput if it does not parse, if another prompt was asked than `request`
    (naming the first line that differs), or if it states another reply than the server's.
    """
    try:
        recorded = RecordedExchange.model_validate_json(data)
        replies = [MessageReply.model_validate(call.reply) for call in recorded.calls]
    except ValidationError as error:
        raise InvalidInput(f"not a recorded exchange: {first_problem(error)}") from error
    _refuse_other_prompt(recorded, request)
    reply = read_reply(replies[-1], request.reply_type)
    if isinstance(reply, Problem):
        raise InvalidInput(f"the recorded reply of step {recorded.step} is not valid: {reply.detail}")
    if reply.model_dump(mode="json", by_alias=True) != recorded.parsed:
        raise InvalidInput(f"the recorded exchange of step {recorded.step} states another reply than came")
    used = total_tokens(replies)
    covered = all(getattr(recorded.spent.tokens, kind) >= getattr(used, kind) for kind in Tokens.model_fields)
    if (recorded.model, recorded.tokens) != (replies[-1].model, used) or not covered:
        raise InvalidInput(f"the recorded exchange of step {recorded.step} states another model or usage")
    return Exchange(reply=reply, model=recorded.model, spent=recorded.spent, record=data)


def _refuse_other_prompt(recorded: RecordedExchange, request: Request[Any]) -> None:
    asked = recorded.calls[0].request
    pairs = (
        ("step", recorded.step, request.step),
        ("system text", _text_at(asked, "system"), request.system),
        ("prompt", _text_at(asked, "messages"), request.prompt),
        ("prompt digest", recorded.prompt_sha256, prompt_digest(request)),
    )
    for what, then, now in pairs:
        if then != now:
            raise InvalidInput(f"the recorded exchange asked another {what}: {_first_difference(then, now)}")


def _text_at(body: Mapping[str, Any], key: str) -> str:
    """The text of `system`, or of the first message, its blocks joined."""
    found: Any = body.get(key)
    if key == "messages" and isinstance(found, list) and found and isinstance(found[0], dict):
        found = found[0].get("content")
    if isinstance(found, list):
        return "".join(str(block.get("text", "")) for block in found if isinstance(block, dict))
    return found if isinstance(found, str) else ""


def _first_difference(then: str, now: str) -> str:
    old, new = then.splitlines(), now.splitlines()
    for number, (before, after) in enumerate(zip(old, new, strict=False), start=1):
        if before != after:
            return f"line {number} was {before[:80]!r}, is {after[:80]!r}"
    return f"it had {len(old)} lines, now {len(new)}"
