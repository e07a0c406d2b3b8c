"""A model behind the Messages protocol, through the official SDK.

The SDK's own retries are off: a call is tried `WireLimits.tries` times, within one deadline,
and only after failures that another try can mend. Every try is reserved in the budget first.
Replies are streamed, so that a person sees that something comes; a server that does not
stream is understood too.
"""

import email.utils
import json
import math
import re
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from autoresearch.asking import Answered, Repair, clean, converse
from autoresearch.errors import BackEndMissing, ModelFailed, ModelOutcome
from autoresearch.exchanges import REPLY_TOOL, Call, MessageReply
from autoresearch.message_stream import (
    CHARACTERS_PER_TOKEN,
    BrokenOff,
    NotAReply,
    StreamedError,
    assemble,
    parse_json,
)
from autoresearch.ports import Account, Clock, Exchange, Request, Sleep
from autoresearch.prompts import stable_and_rest
from autoresearch.records import ModelChoice, first_problem

if TYPE_CHECKING:
    import anthropic
    import httpx2

T = TypeVar("T", bound=BaseModel)

PROVIDER_URL = "https://api.anthropic.com"
RETRIED = (408, 409, 429)
"""Of the 4xx; every 5xx is retried too."""
RETRIED_IN_A_STREAM = ("overloaded_error", "rate_limit_error", "api_error", "timeout_error")
NEVER_RETRIED = "enforced_spend_limit_reached"
"""An error code that comes as 429 and that waiting does not mend."""
CREDENTIAL_HEADERS = ("authorization", "x-api-key")
_TOO_LONG = re.compile(r"prompt is too long|context (?:length|window|size)|too many tokens", re.IGNORECASE)
_BYTES_PER_TOKEN = 3
"""An estimate on the safe side, for servers that do not count."""


@dataclass(frozen=True)
class WireLimits:
    """Bounds of one call; how long it may take and say is the budget's."""

    connect_seconds: float = 10
    read_seconds: float = 180
    """Without a byte. Servers that stream send a sign of life while the model thinks."""
    count_seconds: float = 15
    """For counting a request's tokens, which is a convenience."""
    reply_bytes: int = 8_000_000
    tries: int = 4
    longest_wait: float = 60
    """A server that asks for more is not waited for."""


def key_from(environ: Mapping[str, str]) -> str | None:
    """The credential, from ANTHROPIC_API_KEY or else ANTHROPIC_AUTH_TOKEN. Both go out as a bearer token."""
    found = (environ.get(name, "").strip() for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"))
    return next((key for key in found if key), None)


def enforced_at_once(options: ModelChoice) -> bool:
    """A schema in the request is said to be a part of the prefix that the provider caches, and every step
    has another one. There it goes out only when the schema in the prompt did not suffice.
    """
    elsewhere = options.base_url not in ("", PROVIDER_URL)
    return elsewhere if not options.enforce_schema else options.enforce_schema == "always"


def no_progress(tokens: int, seconds: float) -> None:
    """Nobody is watching."""


class AnthropicModel:
    """`ports.Model` for `anthropic:<model>`.

    `options.base_url` empty: the provider's own; nothing else decides where the key goes.
    `jitter` returns a number in [0, 1).
    """

    def __init__(
        self,
        model: str,
        *,
        environ: Mapping[str, str],
        clock: Clock,
        sleep: Sleep,
        jitter: Callable[[], float],
        options: ModelChoice | None = None,
        limits: WireLimits | None = None,
        on_progress: Callable[[int, float], None] = no_progress,
    ) -> None:
        self._model = model
        self._options = options or ModelChoice()
        self._base_url = self._options.base_url or PROVIDER_URL
        self._environ = environ
        named = {name.lower() for name in self._options.headers}
        # A gateway that is given a credential of its own is not given the provider's as well.
        self._key = None if named & set(CREDENTIAL_HEADERS) else key_from(environ)
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._limits = limits or WireLimits()
        self._on_progress = on_progress
        self._context: ssl.SSLContext | None = None
        self._counts = True
        """Until the server is seen not to."""

    @property
    def name(self) -> str:
        return self._model

    @property
    def secrets(self) -> Sequence[str]:
        named = [
            self._environ.get(value[1:], "") for value in self._options.headers.values() if value[:1] == "$"
        ]
        return [secret for secret in (self._key or "", *named) if secret]

    def require_credential(self) -> None:
        """Raises BackEndMissing, so that nothing starts that could not go on."""
        headers = self._headers()
        if self._key is None and not {name.lower() for name in headers} & set(CREDENTIAL_HEADERS):
            raise BackEndMissing(
                f"no credential for anthropic:{self._model}: neither ANTHROPIC_API_KEY nor ANTHROPIC_AUTH_TOKEN"
                " is set\nexport ANTHROPIC_API_KEY=… (any text for a local server that asks for none), or do"
                ' without a model: no --model at start, or use = "none" under [model] in autoresearch.toml'
            )
        if self._key is not None and not re.fullmatch(r"[\x21-\x7e]+", self._key):
            raise BackEndMissing(
                f"the credential for anthropic:{self._model} cannot be one: it holds white space or characters"
                " beyond ASCII\nset ANTHROPIC_API_KEY again"
            )
        for name, value in headers.items():
            if not re.fullmatch(r"[\x20-\x7e]+", value):
                raise BackEndMissing(
                    f"the header {name} of anthropic:{self._model} holds characters beyond ASCII"
                )

    def ask(self, request: Request[T], account: Account) -> Exchange[T]:
        self.require_credential()
        return converse(self, request, account)

    def call(self, request: Request[Any], repair: Repair | None, account: Account) -> Answered:
        """One request, tried until it is answered."""
        by_tool = repair is not None and repair.needs_form
        body = self._body(request, repair, account, by_tool=by_tool)
        tokens = self._input_tokens(body)
        started = self._clock.now()
        deadline: float | None = None
        failed: list[str] = []
        while True:
            allowed = account.reserve(tokens)
            now = self._clock.monotonic()
            deadline = now + allowed if deadline is None else min(deadline, now + allowed)
            seen = _Seen()
            failure = self._try(body, seen, deadline)
            took = self._clock.monotonic() - now
            if failure is None and seen.reply is not None:
                account.settle(seen.reply.usage, took)
                return seen.answered(started, self._clock.now(), failed)
            failure = failure or _Failure("the SDK returned without a reply", "dead")
            account.keep(took) if failure.may_be_billed else account.settle(None, took)
            if failure.status == 400 and by_tool:
                # Newer models refuse a forced tool. The question can be put without it.
                by_tool = False
                body = self._body(request, repair, account, by_tool=False)
                failed.append(failure.what)
                continue
            failed.append(failure.what)
            wait = self._wait(failure, len(failed))
            if len(failed) >= self._limits.tries or wait is None:
                raise self._failed(request, failed, failure)
            if self._clock.monotonic() + wait >= deadline:
                raise self._failed(request, failed, _Failure(f"{allowed:g} s are over", "too slow"))
            self._sleep(wait)

    # -------------------------------------------------------------- the request

    def _body(
        self, request: Request[Any], repair: Repair | None, account: Account, *, by_tool: bool
    ) -> dict[str, Any]:
        """What every step shares comes first, and what changes last, so that a server can cache the prefix."""
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": account.call.output_tokens,
            "system": [{"type": "text", "text": request.system, "cache_control": {"type": "ephemeral"}}],
            "messages": [{"role": "user", "content": _pieces(request.prompt)}],
        }
        if repair is not None:
            said = [{"role": "assistant", "content": repair.said}] if repair.said else []
            body["messages"] += [*said, {"role": "user", "content": repair.words(by_tool=by_tool)}]
        output: dict[str, Any] = {"effort": self._options.effort} if self._options.effort else {}
        schema = _schema(request.reply_type)
        if by_tool:
            body["tools"] = [
                {
                    "name": REPLY_TOOL,
                    "description": "The answer, in the fields asked for.",
                    "input_schema": schema,
                }
            ]
            body["tool_choice"] = {"type": "tool", "name": REPLY_TOOL}
        else:
            if repair is not None or enforced_at_once(self._options):
                output["format"] = {"type": "json_schema", "schema": schema}
            if self._options.thinking:  # a forced tool and thinking exclude each other
                body["thinking"] = {"type": self._options.thinking}
        return body | ({"output_config": output} if output else {})

    def _input_tokens(self, body: Mapping[str, Any]) -> int:
        """As the server counts them, where it does; else an estimate on the safe side."""
        import anthropic
        import httpx2

        if self._counts:
            counted = {name: value for name, value in body.items() if name != "max_tokens"}
            try:
                seconds = self._limits.count_seconds
                with self._client(seconds, self._clock.monotonic() + seconds) as client:
                    found = client.messages.count_tokens(**counted)
                if isinstance(found.input_tokens, int) and 0 <= found.input_tokens < 10**9:
                    return found.input_tokens
            except (anthropic.AnthropicError, httpx2.HTTPError, _CutOffError, ValueError):
                pass  # the message itself is about to show what is wrong with the server, if anything is
            self._counts = False
        return math.ceil(len(json.dumps(body, ensure_ascii=False).encode()) / _BYTES_PER_TOKEN)

    def _try(self, body: Mapping[str, Any], seen: "_Seen", deadline: float) -> "_Failure | None":
        """Send once. What came back is in `seen`; None means that it is a reply of the protocol."""
        import anthropic
        import httpx2

        try:
            with (
                self._client(self._limits.read_seconds, deadline) as client,
                client.messages.with_streaming_response.create(**body, stream=True) as response,
            ):
                self._take(response.http_response, seen)
        except anthropic.APIStatusError as error:
            return self._status_failure(error)
        except StreamedError as error:
            return self._streamed_failure(error)
        except (anthropic.APIConnectionError, httpx2.HTTPError, _CutOffError, BrokenOff) as error:
            return self._connection_failure(error)
        except (NotAReply, ValidationError, ValueError) as error:
            return _Failure(
                f"{self._base_url} answered with something else than a reply: {self._clean(first_problem(error))}",
                "not the protocol",
                may_be_billed=True,
            )
        return None

    def _take(self, http: "httpx2.Response", seen: "_Seen") -> None:
        import anthropic

        seen.request = json.loads(http.request.content)
        seen.request_id = self._clean(http.headers.get("request-id", ""), 200) or None
        if http.headers.get("content-type", "").startswith("text/event-stream"):
            began = self._clock.monotonic()
            stream = assemble(anthropic.Stream.raw_events(http))
            try:
                while True:
                    characters = next(stream)
                    self._on_progress(characters // CHARACTERS_PER_TOKEN, self._clock.monotonic() - began)
            except StopIteration as stop:
                raw = stop.value
        else:
            raw = parse_json(http.read())
        seen.reply = MessageReply.model_validate(raw)
        seen.raw = raw

    def _client(self, idle_seconds: float, deadline: float) -> "anthropic.Anthropic":
        import anthropic
        import httpx2

        limits = self._limits
        seconds = httpx2.Timeout(idle_seconds, connect=min(limits.connect_seconds, idle_seconds))

        def bound(response: "httpx2.Response") -> None:
            if response.headers.get("content-encoding", "identity") != "identity":
                # A few bytes may unpack to any number of them; it was told to send none such.
                raise _CutOffError(f"{self._base_url} sent a compressed reply", "not the protocol")
            chunks = _bounded(response.stream, self._clock, deadline, limits)
            response.stream = _stream(chunks, response.stream)

        headers: dict[str, Any] = {"Accept-Encoding": "identity", **self._headers()}
        if self._key is None:
            # The SDK wants a key and would send it; the headers carry the credential instead.
            headers = {"Authorization": anthropic.Omit(), **headers}
        return anthropic.Anthropic(
            api_key=self._key or "-",
            base_url=self._base_url,
            timeout=seconds,
            max_retries=0,
            default_headers=headers,
            open_telemetry=False,
            http_client=anthropic.DefaultHttpxClient(
                timeout=seconds,
                event_hooks={"response": [bound]},
                verify=self._tls(),
                follow_redirects=False,  # nobody but the settings decides where the key goes
            ),
        )

    def _tls(self) -> "ssl.SSLContext | bool":
        """Made once: it reads every certificate authority of the machine. Plain HTTP needs none."""
        import httpx2

        if self._context is None and self._base_url.startswith("https:"):
            self._context = httpx2.create_ssl_context()
        return self._context or False

    def _headers(self) -> dict[str, str]:
        """Raises BackEndMissing for a variable that is not set."""
        found = {}
        for name, value in self._options.headers.items():
            if value.startswith("$"):
                value = self._environ.get(value[1:], "").strip()  # noqa: PLW2901 - the same value, looked up
                if not value:
                    raise BackEndMissing(
                        f"the header {name} of anthropic:{self._model} is to come from"
                        f" {self._options.headers[name][1:]}, which is not set\n"
                        f"export {self._options.headers[name][1:]}=…"
                    )
            found[name] = value
        return found

    # ------------------------------------------------------- when it fails

    def _status_failure(self, error: "anthropic.APIStatusError") -> "_Failure":
        status = error.status_code
        said = self._clean(error.api_message or error.message)
        return _Failure(
            f"{self._base_url} answered {status}: {said}",
            _outcome_of(status, said),
            retry=(status in RETRIED or status >= 500) and error.error_code != NEVER_RETRIED,
            status=status,
            retry_after=_retry_after(error.response.headers, self._clock),
        )

    def _streamed_failure(self, error: StreamedError) -> "_Failure":
        outcomes: dict[str, ModelOutcome] = {
            "overloaded_error": "overloaded",
            "rate_limit_error": "rate-limited",
            "api_error": "dead",
            "timeout_error": "dead",
        }
        said = self._clean(f"{error.kind}: {error}")
        return _Failure(
            f"{self._base_url} broke off its reply: {said}",
            outcomes.get(error.kind, "context too long" if _TOO_LONG.search(said) else "turned away"),
            retry=error.kind in RETRIED_IN_A_STREAM,
            may_be_billed=True,
        )

    def _connection_failure(self, error: Exception) -> "_Failure":
        import anthropic
        import httpx2

        cause = error.__cause__ if isinstance(error, anthropic.APIConnectionError) else error
        said = self._clean(str(cause or error) or type(error).__name__)
        if isinstance(cause, _CutOffError):
            return _Failure(said, cause.outcome, may_be_billed=True)
        if isinstance(cause, (httpx2.ConnectError, httpx2.ConnectTimeout)):
            return _Failure(f"no connection to {self._base_url}: {said}", "dead", retry=True)
        if isinstance(cause, httpx2.TimeoutException):
            return _Failure(
                f"no answer from {self._base_url}: {said}", "too slow", retry=True, may_be_billed=True
            )
        if isinstance(cause, BrokenOff):
            return _Failure(f"{self._base_url}: {said}", "dead", retry=True, may_be_billed=True)
        return _Failure(f"no connection to {self._base_url}: {said}", "dead", retry=True, may_be_billed=True)

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
        return ModelFailed(
            f"step {request.step} got no reply{tries}: {what}\n{_next_step(last)}", last.outcome
        )

    def _clean(self, text: str, width: int = 300) -> str:
        return clean(text, self.secrets, width)


def _outcome_of(status: int, said: str) -> ModelOutcome:
    if status == 413 or (400 <= status < 500 and _TOO_LONG.search(said)):
        return "context too long"
    if status == 429:
        return "rate-limited"
    if status in (503, 529):
        return "overloaded"
    return "dead" if status in (408, 409) or status >= 500 else "turned away"


def _next_step(failure: "_Failure") -> str:
    nothing = "nothing was recorded; "
    if failure.status in (401, 403):
        return f"{nothing}check the credential in ANTHROPIC_API_KEY"
    if failure.status == 404:
        return f"{nothing}check model and base_url in autoresearch.toml"
    if failure.outcome == "context too long":
        return f"{nothing}the request does not fit this model: name one with a longer context in autoresearch.toml"
    return f"{nothing}`autoresearch run` asks again"


def _pieces(prompt: str) -> list[dict[str, Any]]:
    """The prompt in blocks. Up to two of them end what later steps send again: the first, and the last
    before what is this step's own.
    """
    *leading, rest = stable_and_rest(prompt)
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text} for text in (*leading, rest) if text]
    for index in {0, len(leading) - 1} if leading else ():
        blocks[index]["cache_control"] = {"type": "ephemeral"}
    return blocks


def _schema(reply_type: type[BaseModel]) -> dict[str, Any]:
    from anthropic import transform_schema

    return transform_schema(reply_type)


# ------------------------------------------------------------- on the wire


class _CutOffError(Exception):
    """The reply was too slow or too long."""

    def __init__(self, message: str, outcome: ModelOutcome) -> None:
        super().__init__(message)
        self.outcome: ModelOutcome = outcome


@dataclass(frozen=True)
class _Failure:
    what: str
    outcome: ModelOutcome
    retry: bool = False
    status: int | None = None
    retry_after: float | None = None
    may_be_billed: bool = False
    """The server may have worked for it: nobody said that it did not."""


@dataclass
class _Seen:
    """What went over the wire in one try."""

    request: dict[str, JsonValue] = field(default_factory=dict)
    raw: dict[str, JsonValue] = field(default_factory=dict)
    reply: MessageReply | None = None
    request_id: str | None = None

    def answered(self, started: datetime, ended: datetime, failed: list[str]) -> Answered:
        assert self.reply is not None
        call = Call(
            started=started,
            ended=ended,
            tries=len(failed) + 1,
            failed_tries=failed,
            request_id=self.request_id,
            request=self.request,
            reply=self.raw,
        )
        return Answered(self.reply, call)


def _bounded(chunks: Any, clock: Clock, deadline: float, limits: WireLimits) -> Iterator[bytes]:
    """The body, up to its limits: a server that dribbles keeps no time-out of the socket waiting."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limits.reply_bytes:
            raise _CutOffError(f"the reply is larger than {limits.reply_bytes} bytes", "oversize")
        if clock.monotonic() > deadline:
            raise _CutOffError("the reply was not whole in the time it may take", "too slow")
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
