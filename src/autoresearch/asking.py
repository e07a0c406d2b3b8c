"""One question to a model, whoever the provider: a call, at most one repair, and the record of both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from autoresearch.credentials import credential_in
from autoresearch.errors import ModelFailed
from autoresearch.exchanges import (
    REPLY_TOOL,
    Call,
    MessageReply,
    Problem,
    RecordedExchange,
    prompt_digest,
    read_reply,
    total_tokens,
)
from autoresearch.ports import Account, Exchange, Request
from autoresearch.records import clip

T = TypeVar("T", bound=BaseModel)

SECRET_LENGTH = 16
"""Characters from which on a secret is looked for in what is recorded or shown: a local server is
often given `none`."""


@dataclass(frozen=True)
class Answered:
    """A call that got a reply of the protocol's form."""

    reply: MessageReply
    record: Call

    def refused_for(self, problem: Problem) -> "Answered":
        why = f"{problem.kind}: {problem.detail}"
        return Answered(self.reply, self.record.model_copy(update={"problem": why}))


@dataclass(frozen=True)
class Repair:
    """What was said the first time, and what was wrong with it."""

    said: str
    """Empty where there is nothing to show."""
    problem: Problem

    @property
    def needs_form(self) -> bool:
        """A reply that is no JSON at all comes from a server that ignores the schema in the request."""
        return self.problem.kind in ("malformed", "empty")

    def words(self, *, by_tool: bool) -> str:
        """What the model is told. `by_tool`: one forced tool carries the answer."""
        how = f"by calling the tool `{REPLY_TOOL}`" if by_tool else "as one JSON object and nothing else"
        return {
            "invalid": (
                f"This answer is not valid. What is wrong:\n\n{self.problem.detail}\n\n"
                "Give the whole answer again, with these problems mended and nothing else changed."
            ),
            "malformed": f"This answer is not the JSON that was asked for: {self.problem.detail}\nGive it again {how}.",
            "empty": f"The answer was empty. Give it {how}.",
            "truncated": (
                "The answer was cut off at the limit of its length. Answer again, whole and in far fewer words."
            ),
            "refused": (
                "The answer stopped as a refusal. If the question can be answered in part without what "
                "you refuse, answer that part in the form asked for; otherwise refuse again."
            ),
        }.get(
            self.problem.kind, f"The answer is not whole: {self.problem.detail}. Give the whole answer again."
        )


class Wire(Protocol):
    """A provider: sends one question and gives back what came."""

    @property
    def name(self) -> str: ...

    @property
    def secrets(self) -> Sequence[str]: ...

    def call(self, request: Request[Any], repair: Repair | None, account: Account) -> Answered:
        """Raises ModelFailed if nothing came that could be read as a reply."""
        ...


def converse(wire: Wire, request: Request[T], account: Account) -> Exchange[T]:
    """Raises ModelFailed saying what happened if no valid reply came, also after one repair."""
    calls: list[Answered] = []
    answered = wire.call(request, None, account)
    reply = read_reply(answered.reply, request.reply_type)
    if isinstance(reply, Problem) and reply.kind != "context too long":
        calls.append(answered.refused_for(reply))
        shown = answered.reply.text().strip() if reply.kind in ("malformed", "invalid") else ""
        answered = wire.call(request, Repair(shown, reply), account)
        reply = read_reply(answered.reply, request.reply_type)
    if isinstance(reply, Problem):
        twice = ", also after one repair" if calls else ""
        detail = clean(reply.detail, wire.secrets, 600)
        raise ModelFailed(
            f"{wire.name} gave no valid reply for step {request.step}{twice}: {reply.kind}: {detail}\n"
            "nothing was recorded; `autoresearch run` asks again",
            reply.kind,
        )
    exchange = _recorded(request, reply, [*calls, answered], account)
    _refuse_secrets(exchange, request, wire.secrets)
    return exchange


def _recorded(request: Request[T], reply: T, calls: list[Answered], account: Account) -> Exchange[T]:
    recorded = RecordedExchange(
        step=request.step,
        model=calls[-1].reply.model,
        prompt_sha256=prompt_digest(request),
        calls=[call.record for call in calls],
        tokens=total_tokens([call.reply for call in calls]),
        spent=account.spent,
        parsed=reply.model_dump(mode="json", by_alias=True),
    )
    return Exchange(reply=reply, model=recorded.model, spent=recorded.spent, record=recorded.to_bytes())


def _refuse_secrets(exchange: Exchange[Any], request: Request[Any], secrets: Sequence[str]) -> None:
    if any(secret.encode() in exchange.record for secret in told_apart(secrets)):
        raise ModelFailed(
            f"the exchange of step {request.step} holds the API key itself; it was not recorded\n"
            "take the key out of the proposal or the notes it came from",
            "leaking",
        )
    what = credential_in(exchange.record)
    if what is not None:
        raise ModelFailed(
            f"the exchange of step {request.step} holds what looks like {what}; it was not recorded\n"
            "if it stands in the proposal, take it out there; else `autoresearch run` asks again",
            "leaking",
        )


def clean(text: str, secrets: Sequence[str], width: int = 300) -> str:
    """A server's or a command's words in one printable line, without the secrets."""
    line = "".join(c if c.isprintable() else " " for c in text[: 20 * width])
    for secret in told_apart(secrets):
        line = line.replace(secret, "[key]")
    return clip(line, width)


def told_apart(secrets: Sequence[str]) -> list[str]:
    return [secret for secret in secrets if len(secret) >= SECRET_LENGTH]
