"""A model behind the Messages protocol, through the official SDK.

One question is one call and at most one repair. The SDK's own retries are off:
a call is tried `CallLimits.tries` times, within one deadline, and only after
failures that another try can mend. Prices are not shipped, so every cost is
`unknown`; tokens are counted.
"""

import email.utils
import json
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from autoresearch.errors import BackEndMissing, ModelFailed
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
from autoresearch.ports import Clock, Exchange, Request, Sleep
from autoresearch.records import clip, first_problem

if TYPE_CHECKING:
    import anthropic
    import httpx2
    from anthropic import CallNext

T = TypeVar("T", bound=BaseModel)

PROVIDER_URL = "https://api.anthropic.com"
RETRIED = (408, 409, 429)
"""Of the 4xx; every 5xx is retried too."""
NEVER_RETRIED = "enforced_spend_limit_reached"
"""An error code that comes as 429 and that waiting does not mend."""
SECRET_LENGTH = 16
"""Characters from which on a key is looked for in what is recorded or shown."""


@dataclass(frozen=True)
class CallLimits:
    """Bounds of one call. A reply comes in one piece, so reading waits as long as writing takes."""

    max_tokens: int = 16_000
    connect_seconds: float = 10
    read_seconds: float = 600
    """Without a byte."""
    total_seconds: float = 1200
    """The whole call, its tries and waits included."""
    reply_bytes: int = 8_000_000
    tries: int = 3
    longest_wait: float = 60
    """A server that asks for more is not waited for."""


def key_from(environ: Mapping[str, str]) -> str | None:
    """The credential, from ANTHROPIC_API_KEY or else ANTHROPIC_AUTH_TOKEN. Both go out as a bearer token."""
    found = (environ.get(name, "").strip() for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"))
    return next((key for key in found if key), None)


class AnthropicModel:
    """`ports.Model` for `anthropic:<model>`.

    `base_url` empty: the provider's own; nothing else decides where the key goes.
    `jitter` returns a number in [0, 1).
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str,
        api_key: str | None,
        clock: Clock,
        sleep: Sleep,
        jitter: Callable[[], float],
        limits: CallLimits | None = None,
    ) -> None:
        self._model = model
        self._base_url = base_url or PROVIDER_URL
        self._key = api_key
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._limits = limits or CallLimits()

    @property
    def name(self) -> str:
        return self._model

    def require_credential(self) -> str:
        """The key. Raises BackEndMissing, so that nothing starts that could not go on."""
        if not self._key:
            raise BackEndMissing(
                f"no credential for anthropic:{self._model}: neither ANTHROPIC_API_KEY nor ANTHROPIC_AUTH_TOKEN"
                " is set\nexport ANTHROPIC_API_KEY=… (any text for a local server that asks for none), or set"
                ' model = "none" in autoresearch.toml'
            )
        if not re.fullmatch(r"[\x21-\x7e]+", self._key):
            raise BackEndMissing(
                f"the credential for anthropic:{self._model} cannot be one: it holds white space or characters"
                " beyond ASCII\nset ANTHROPIC_API_KEY again"
            )
        return self._key

    def ask(self, request: Request[T]) -> Exchange[T]:
        """Raises ModelFailed saying what happened if no valid reply came, also after one repair."""
        self.require_credential()
        body = self._first_body(request)
        calls: list[_Answered] = []
        call = self._call(body, request)
        reply = read_reply(call.reply, request.reply_type)
        if isinstance(reply, Problem) and reply.kind != "overlong":
            calls.append(call.refused_for(reply))
            body = _repair_body(body, call.reply, reply, request.reply_type)
            call = self._call(body, request)
            reply = read_reply(call.reply, request.reply_type)
        if isinstance(reply, Problem):
            raise self._no_valid_reply(request, reply, repaired=bool(calls))
        exchange = self._record(request, reply, [*calls, call])
        if self._secret and self._secret.encode() in exchange.record:
            raise ModelFailed(
                f"the exchange of step {request.step} holds the API key itself; it was not recorded\n"
                "take the key out of the proposal or the notes it came from"
            )
        return exchange

    def _record(self, request: Request[T], reply: T, calls: "list[_Answered]") -> Exchange[T]:
        tokens = total_tokens([call.reply for call in calls])
        recorded = RecordedExchange(
            step=request.step,
            model=calls[-1].reply.model,
            prompt_sha256=prompt_digest(request),
            calls=[call.record for call in calls],
            tokens=tokens,
            cost_usd="unknown",
            parsed=reply.model_dump(mode="json", by_alias=True),
        )
        return Exchange(
            reply=reply,
            model=recorded.model,
            tokens=tokens,
            cost_usd=recorded.cost_usd,
            record=recorded.to_bytes(),
        )

    def _no_valid_reply(self, request: Request[Any], problem: Problem, *, repaired: bool) -> ModelFailed:
        twice = ", also after one repair" if repaired else ""
        detail = self._clean(problem.detail, 600)
        return ModelFailed(
            f"{self._model} gave no valid reply for step {request.step}{twice}: {problem.kind}: {detail}\n"
            "nothing was recorded; `autoresearch run` asks again"
        )

    # ------------------------------------------------------------- one call

    def _first_body(self, request: Request[Any]) -> dict[str, Any]:
        """Arguments of `messages.parse`. The system text is the prefix that every step shares."""
        system = {"type": "text", "text": request.system, "cache_control": {"type": "ephemeral"}}
        return {
            "model": self._model,
            "max_tokens": self._limits.max_tokens,
            "system": [system],
            "messages": [{"role": "user", "content": request.prompt}],
        }

    def _call(self, body: Mapping[str, Any], request: Request[Any]) -> "_Answered":
        """One request, tried until it is answered. Raises ModelFailed."""
        started = self._clock.now()
        deadline = self._clock.monotonic() + self._limits.total_seconds
        failed: list[str] = []
        while True:
            seen = _Seen()
            failure = self._try(body, request, seen, deadline)
            if failure is None:
                return seen.answered(started, self._clock.now(), failed)
            failed.append(failure.what)
            wait = self._wait(failure, len(failed))
            if len(failed) >= self._limits.tries or wait is None:
                raise self._failed(request, failed, failure)
            if self._clock.monotonic() + wait >= deadline:
                raise self._failed(request, failed, _Failure(f"{self._limits.total_seconds:g} s are over"))
            self._sleep(wait)

    def _try(
        self, body: Mapping[str, Any], request: Request[Any], seen: "_Seen", deadline: float
    ) -> "_Failure | None":
        """Send once. What came back is in `seen`; None means that it is a reply of the protocol."""
        import anthropic

        try:
            with self._client(seen, deadline) as client, warnings.catch_warnings():
                # the SDK wonders at blocks it does not know; `read_reply` passes over them
                warnings.filterwarnings("ignore", category=UserWarning, module="pydantic")
                if "tools" in body:
                    client.messages.create(**body)
                else:
                    client.messages.parse(**body, output_format=request.reply_type)
        except ValidationError:
            pass  # the text is not a valid `reply_type`: `read_reply` reads the same bytes and says why
        except anthropic.APIStatusError as error:
            return self._status_failure(error)
        except anthropic.APITimeoutError as error:
            return _Failure(
                f"no answer from {self._base_url}: {self._clean(str(error.__cause__))}", retry=True
            )
        except anthropic.APIConnectionError as error:
            cause = error.__cause__
            if isinstance(cause, _CutOffError):
                return _Failure(str(cause))
            return _Failure(
                f"no connection to {self._base_url}: {self._clean(str(cause or error))}", retry=True
            )
        except _NotAReplyError as error:
            return _Failure(
                f"{self._base_url} answered with something else than a reply: {self._clean(str(error))}"
            )
        return None

    def _client(self, seen: "_Seen", deadline: float) -> "anthropic.Anthropic":
        import anthropic
        import httpx2

        limits = self._limits
        seconds = httpx2.Timeout(limits.read_seconds, connect=limits.connect_seconds)

        def bound(response: "httpx2.Response") -> None:
            chunks = _bounded(response.stream, self._clock, deadline, limits)
            response.stream = _stream(chunks, response.stream)

        return anthropic.Anthropic(
            api_key=self.require_credential(),
            base_url=self._base_url,
            timeout=seconds,
            max_retries=0,
            middleware=[seen.watch],
            open_telemetry=False,
            http_client=anthropic.DefaultHttpxClient(timeout=seconds, event_hooks={"response": [bound]}),
        )

    # ------------------------------------------------------- when it fails

    def _status_failure(self, error: "anthropic.APIStatusError") -> "_Failure":
        status = error.status_code
        what = f"{self._base_url} answered {status}: {self._clean(error.api_message or error.message)}"
        retry = (status in RETRIED or status >= 500) and error.error_code != NEVER_RETRIED
        return _Failure(
            what, retry=retry, status=status, retry_after=_retry_after(error.response.headers, self._clock)
        )

    def _wait(self, failure: "_Failure", tries: int) -> float | None:
        """Seconds before the next try; None: there is none."""
        asked = failure.retry_after or 0.0
        if not failure.retry or asked > self._limits.longest_wait:
            return None
        backoff = min(2.0 ** (tries - 1), 8.0) * (0.5 + self._jitter())
        return max(asked, backoff)

    def _failed(self, request: Request[Any], failed: list[str], last: "_Failure") -> ModelFailed:
        tries = f" after {len(failed)} tries" if len(failed) > 1 else ""
        what = last.what if last.what == failed[-1] else f"{failed[-1]}; {last.what}"
        asked = last.retry_after or 0.0
        if asked > self._limits.longest_wait:
            what += f" (it asks to wait {asked:.0f} s)"
        return ModelFailed(f"step {request.step} got no reply{tries}: {what}\n{_next_step(last.status)}")

    def _clean(self, text: str, width: int = 300) -> str:
        """A server's words in one printable line, without the key."""
        line = clip("".join(c if c.isprintable() else " " for c in text), width)
        return line.replace(self._secret, "[key]") if self._secret else line

    @property
    def _secret(self) -> str | None:
        """The key, if it can be told from ordinary words. A local server is often given `none`."""
        return self._key if self._key and len(self._key) >= SECRET_LENGTH else None


def _next_step(status: int | None) -> str:
    nothing = "nothing was recorded; "
    if status in (401, 403):
        return f"{nothing}check the credential in ANTHROPIC_API_KEY"
    if status == 404:
        return f"{nothing}check model and base_url in autoresearch.toml"
    return f"{nothing}`autoresearch run` asks again"


# -------------------------------------------------------------------- repair


def _repair_body(
    body: Mapping[str, Any], reply: MessageReply, problem: Problem, reply_type: type[BaseModel]
) -> dict[str, Any]:
    """The question again, with the reply and what is wrong with it.

    A reply that is no JSON at all comes from a server that ignores the schema in the
    request; there one forced tool carries it.
    """
    said = reply.text().strip()
    shown = problem.kind in ("malformed", "invalid") and said
    turn = [{"role": "assistant", "content": said}] if shown else []
    repaired = {
        **body,
        "messages": [
            *body["messages"],
            *turn,
            {"role": "user", "content": _REPAIRS[problem.kind](problem.detail)},
        ],
    }
    if problem.kind in ("malformed", "empty"):
        repaired["tools"] = [
            {
                "name": REPLY_TOOL,
                "description": "The answer, in the fields asked for.",
                "input_schema": _schema(reply_type),
            }
        ]
        repaired["tool_choice"] = {"type": "tool", "name": REPLY_TOOL}
    return repaired


_REPAIRS: dict[str, Callable[[str], str]] = {
    "invalid": lambda detail: (
        f"This answer is not valid. What is wrong:\n\n{detail}\n\n"
        "Give the whole answer again, with these problems mended and nothing else changed."
    ),
    "malformed": lambda detail: (
        f"This answer is not the JSON that was asked for: {detail}\nGive it again by calling the tool `{REPLY_TOOL}`."
    ),
    "empty": lambda _: f"The answer was empty. Give it by calling the tool `{REPLY_TOOL}`.",
    "truncated": lambda _: (
        "The answer was cut off at the limit of its length. Answer again, whole and in far fewer words."
    ),
    "refused": lambda _: (
        "The answer stopped as a refusal. If the question can be answered in part without what "
        "you refuse, answer that part in the form asked for; otherwise refuse again."
    ),
    "stopped": lambda detail: f"The answer is not whole: {detail}. Give the whole answer again.",
}


def _schema(reply_type: type[BaseModel]) -> dict[str, Any]:
    from anthropic import transform_schema

    return transform_schema(reply_type)


# ------------------------------------------------------------- on the wire


class _CutOffError(Exception):
    """The reply was too slow or too long."""


class _NotAReplyError(Exception):
    """A successful status with a body that the protocol does not know."""


@dataclass(frozen=True)
class _Failure:
    what: str
    retry: bool = False
    status: int | None = None
    retry_after: float | None = None


@dataclass(frozen=True)
class _Answered:
    reply: MessageReply
    record: Call

    def refused_for(self, problem: Problem) -> "_Answered":
        why = f"{problem.kind}: {problem.detail}"
        return _Answered(self.reply, self.record.model_copy(update={"problem": why}))


@dataclass
class _Seen:
    """What went over the wire in one try, taken down before anything is parsed into types."""

    request: dict[str, JsonValue] = field(default_factory=dict)
    raw: dict[str, JsonValue] = field(default_factory=dict)
    reply: MessageReply | None = None
    request_id: str | None = None

    def watch(self, request: Any, call_next: "CallNext") -> Any:
        """SDK middleware: keeps both bodies. Raises _NotAReplyError where the SDK would trip."""
        response = call_next(request)
        http = response.http_response
        if http.is_success:
            self.request = json.loads(http.request.content)
            self.raw, self.reply = _parse_body(http.content)
            self.request_id = clip(response.request_id or "", 200) or None
        return response

    def answered(self, started: datetime, ended: datetime, failed: list[str]) -> _Answered:
        if self.reply is None:
            raise ModelFailed("the SDK returned without a reply; nothing was recorded")
        call = Call(
            started=started,
            ended=ended,
            tries=len(failed) + 1,
            failed_tries=failed,
            request_id=self.request_id,
            request=self.request,
            reply=self.raw,
        )
        return _Answered(self.reply, call)


def _parse_body(data: bytes) -> tuple[dict[str, JsonValue], MessageReply]:
    from pydantic_core import from_json

    try:
        raw = from_json(data, allow_inf_nan=False)
        reply = MessageReply.model_validate(raw)
        json.dumps(raw, allow_nan=False)  # 1e999 is read as infinity
    except ValidationError as error:
        raise _NotAReplyError(first_problem(error)) from error
    except ValueError as error:
        raise _NotAReplyError(f"no JSON: {error}") from error
    return raw, reply


def _bounded(chunks: Any, clock: Clock, deadline: float, limits: CallLimits) -> Iterator[bytes]:
    """The body, up to its limits: a server that dribbles keeps no time-out of the socket waiting."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limits.reply_bytes:
            raise _CutOffError(f"the reply is larger than {limits.reply_bytes} bytes")
        if clock.monotonic() > deadline:
            raise _CutOffError(f"the reply was not whole after {limits.total_seconds:g} s")
        yield chunk


def _stream(chunks: Iterator[bytes], source: Any) -> "httpx2.SyncByteStream":
    import httpx2

    class Bounded(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return chunks

        def close(self) -> None:
            source.close()

    return Bounded()


def _retry_after(headers: Mapping[str, str], clock: Clock) -> float | None:
    """Seconds that the server asks to wait: a number or a date. None for anything else."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (email.utils.parsedate_to_datetime(value) - clock.now()).total_seconds()
        except (ValueError, TypeError):
            return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
