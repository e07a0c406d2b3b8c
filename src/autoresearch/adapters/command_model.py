"""A model behind a command: the prompt on its standard input, the reply on its standard output.

The command is an argument list, never a shell line. It runs in an empty directory of its own,
with few variables, in a process group that is killed when time or length run out. A program that
leaves its group (a daemon of its own making) is not followed.
"""

import contextlib
import math
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel

from autoresearch.asking import Answered, Repair, clean, converse
from autoresearch.errors import BackEndMissing, InvalidInput, ModelFailed, ModelOutcome
from autoresearch.exchanges import Call, MessageReply
from autoresearch.ports import Account, Clock, Exchange, Request
from autoresearch.records import ModelChoice, Usage

T = TypeVar("T", bound=BaseModel)

ORDINARY = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
)  # fmt: skip
"""What a client needs to find itself, its files and the network. Keys are not among them."""
BYTES_PER_TOKEN = 4
"""Commands count no tokens, so they are estimated."""
KEPT_OF_STDERR = 4000
_GRACE = 1.0
"""Seconds in which what the command printed last may still come, once it has ended."""


@dataclass(frozen=True)
class CommandLimits:
    reply_bytes: int = 2_000_000


@dataclass
class _Output:
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)


class CommandModel:
    """`ports.Model` for `command:<program and arguments>`."""

    def __init__(
        self,
        line: str,
        *,
        options: ModelChoice,
        environ: Mapping[str, str],
        clock: Clock,
        limits: CommandLimits | None = None,
    ) -> None:
        self._argv = split_command(line)
        self._environ = environ
        self._wanted = options.environment
        self._clock = clock
        self._limits = limits or CommandLimits()

    @property
    def name(self) -> str:
        program = re.sub(r"[^A-Za-z0-9._+-]", "_", Path(self._argv[0]).name)
        return f"command:{program[:100]}"

    @property
    def secrets(self) -> Sequence[str]:
        return [self._environ[name] for name in self._wanted if self._environ.get(name)]

    def require_credential(self) -> None:
        """Raises BackEndMissing, so that nothing starts that could not go on."""
        if shutil.which(self._argv[0], path=self._environ.get("PATH", os.defpath)) is None:
            raise BackEndMissing(
                f"no program {self._argv[0]} for {self.name}: it is not on the PATH, or may not be run\n"
                "install it, or name another model in autoresearch.toml"
            )
        missing = [name for name in self._wanted if not self._environ.get(name)]
        if missing:
            raise BackEndMissing(
                f"{', '.join(missing)} is not set, and autoresearch.toml says in environment that {self.name} needs it\n"
                f"export {missing[0]}=…"
            )

    def ask(self, request: Request[T], account: Account) -> Exchange[T]:
        self.require_credential()
        return converse(self, request, account)

    def call(self, request: Request[Any], repair: Repair | None, account: Account) -> Answered:
        messages = [{"role": "user", "content": request.prompt}]
        if repair is not None:
            messages += [{"role": "assistant", "content": repair.said}] if repair.said else []
            messages.append({"role": "user", "content": repair.words(by_tool=False)})
        text = _as_text(request.system, messages).encode()
        began, started = self._clock.monotonic(), self._clock.now()
        allowed = account.reserve(math.ceil(len(text) / BYTES_PER_TOKEN))
        try:
            out = self._run(text, request.step, allowed)
        except ModelFailed:
            account.keep(self._clock.monotonic() - began)
            raise
        usage = Usage(
            input_tokens=math.ceil(len(text) / BYTES_PER_TOKEN),
            output_tokens=math.ceil(len(out) / BYTES_PER_TOKEN),
        )
        account.settle(usage, self._clock.monotonic() - began)
        reply: dict[str, Any] = {
            "type": "message",
            "model": self.name,
            "content": [{"type": "text", "text": self._text(out, request.step)}],
            "stop_reason": None,
            "usage": usage.model_dump(exclude_none=True),
        }
        record = Call(
            started=started,
            ended=self._clock.now(),
            tries=1,
            failed_tries=[],
            request_id=None,
            request={"argv": list(self._argv), "system": request.system, "messages": messages},
            reply=reply,
        )
        return Answered(MessageReply.model_validate(reply), record)

    # ----------------------------------------------------------------- internals

    def _run(self, text: bytes, step: str, seconds: float) -> bytes:
        """What the command printed. Raises ModelFailed if it printed too much, too late, or failed."""
        with (
            tempfile.TemporaryDirectory(prefix="autoresearch-command-") as folder,
            _prompt_file(text) as stdin,
        ):
            try:
                process = subprocess.Popen(
                    self._argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    cwd=folder, env=self._environment(), start_new_session=True, close_fds=True,
                )  # fmt: skip
            except OSError as error:
                raise self._failed(step, f"it could not be started: {error.strerror}", "dead") from error
            with process:
                try:
                    output, problem = self._read(process, seconds)
                finally:
                    _kill_group(process)
        if problem is not None:
            raise self._failed(step, *problem)
        if process.returncode != 0:
            said = clean(output.err.decode(errors="replace"), self.secrets)
            raise self._failed(
                step, f"it ended with exit code {process.returncode}: {said or 'and said nothing'}", "dead"
            )
        return bytes(output.out)

    def _read(
        self, process: "subprocess.Popen[bytes]", seconds: float
    ) -> tuple[_Output, tuple[str, ModelOutcome] | None]:
        """Both streams until they end, the command ends, or a limit is reached."""
        output = _Output()
        deadline = self._clock.monotonic() + seconds
        with selectors.DefaultSelector() as ready:
            for stream, into in ((process.stdout, output.out), (process.stderr, output.err)):
                assert stream is not None
                ready.register(stream, selectors.EVENT_READ, into)
            while ready.get_map():
                now = self._clock.monotonic()
                if _has_ended(process):
                    deadline = min(deadline, now + _GRACE)  # whoever still holds the pipes is not waited for
                if now >= deadline:
                    late: tuple[str, ModelOutcome] = (f"it was not done after {seconds:g} s", "too slow")
                    return output, None if _has_ended(process) else late
                for key, _ in ready.select(min(0.2, deadline - now)):
                    data = os.read(key.fd, 65536)
                    if not data:
                        ready.unregister(key.fileobj)
                    key.data.extend(data)
                del output.err[:-KEPT_OF_STDERR]
                if len(output.out) > self._limits.reply_bytes:
                    return output, (f"it printed more than {self._limits.reply_bytes} bytes", "oversize")
        while not _has_ended(process):  # it closed its output and goes on
            if self._clock.monotonic() >= deadline:
                return output, (f"it was not done after {seconds:g} s", "too slow")
            time.sleep(0.01)
        return output, None

    def _environment(self) -> dict[str, str]:
        kept = (*ORDINARY, *self._wanted)
        found = {name: self._environ[name] for name in kept if name in self._environ}
        return {**found, "TERM": "dumb", "NO_COLOR": "1"}

    def _text(self, out: bytes, step: str) -> str:
        try:
            return out.decode()
        except UnicodeDecodeError as error:
            raise self._failed(
                step, f"what it printed is not UTF-8 (byte {error.start})", "not the protocol"
            ) from error

    def _failed(self, step: str, what: str, outcome: ModelOutcome) -> ModelFailed:
        return ModelFailed(
            f"step {step} got no reply from {self.name}: {what}\n"
            "nothing was recorded; `autoresearch run` asks again",
            outcome,
        )


def split_command(line: str) -> list[str]:
    """The argument list in `command:<line>`. Raises InvalidInput."""
    try:
        argv = shlex.split(line)
    except ValueError as error:
        raise InvalidInput(f"model command:{line} cannot be split into arguments: {error}") from error
    if not argv or not argv[0] or "\0" in line:
        raise InvalidInput("model command: names no program; write e.g. command:my-client --quiet")
    return argv


def _as_text(system: str, messages: Sequence[Mapping[str, str]]) -> str:
    """One text for a program that knows no roles."""
    parts = [system.strip()]
    for message in messages:
        if message["role"] == "assistant":
            parts.append(f"Your first answer was:\n\n<answer>\n{message['content']}\n</answer>")
        else:
            parts.append(message["content"].strip())
    return "\n\n".join(parts) + "\n"


def _prompt_file(text: bytes) -> IO[bytes]:
    """Without a name, so that nothing is left of it; a file, so that no command can block us by not reading."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(text)
    file.seek(0)
    return file


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Without reaping it: until then its number, which is its group's, cannot become somebody else's."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Whatever is left of the command's group, children that it did not wait for included."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
