"""Progress on standard error: one line a step, a live line for the trials."""

import os
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self, TextIO

from autoresearch.adapters.screen_text import duration
from autoresearch.ports import Clock, Entry, JobState
from autoresearch.records import Acceptance, Approval, ResourceLimits, Result
from autoresearch.safe_text import clip, escape

_SPARSE_SECONDS = 10.0
_LIVE_SECONDS = 0.2
_SPARSE_SHARE = 0.25
"""Without a terminal a trial line appears after this much time or this share of the trials."""
_STEP = 13
"""Columns of the step's name."""
_LIVE = 79
"""Most columns of the live line, which cannot be overwritten once it wraps."""


class StderrProgress:
    """Implements `ports.Progress`. Foreign text is escaped; `NO_COLOR` and dumb terminals are honoured.

    As a context manager it ends the live line, so that an error does not stand behind it.
    """

    def __init__(self, clock: Clock, environ: Mapping[str, str], stream: TextIO | None = None) -> None:
        self._clock = clock
        self._stream = stream or sys.stderr
        capable = self._stream.isatty() and environ.get("TERM", "dumb") != "dumb"
        self._live = capable
        self._colour = capable and not environ.get("NO_COLOR")
        self._pending = ""
        """The live line on the screen, still to be overwritten."""
        self._last_time = -_SPARSE_SECONDS
        self._last_share = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pending:
            self._write("\n")
            self._pending = ""

    def step(self, step: str, cycle: int, attempt: int) -> None:
        """A step begins: shown only where the line can be overwritten."""
        self._last_time, self._last_share = self._clock.monotonic(), 0.0
        if self._live:
            self._overwrite(f"{'':>7}  {_line(step):<{_STEP}} ...  cycle {cycle}, attempt {attempt}")

    def recorded(self, entry: Entry, seconds: float) -> None:
        """`  12.3s  critique      6 assumptions, 1 open`; `seconds` is what the step took."""
        body = entry.record.body
        suffix, colour = "", ""
        if isinstance(body, Approval | Acceptance):
            suffix = f"  <- {'a person' if body.reviewer.is_person else 'a script'} decided"
            colour = "1;31" if body.decision in ("reject", "terminate") else "1;32"
        elif isinstance(body, Result) and body.status != "Completed":
            colour = "1;31"
        prefix = f"{seconds:6.1f}s  {_line(entry.record.step):<{_STEP}} "
        text = prefix + clip(escape(body.headline()), _LIVE - len(prefix) - len(suffix)) + suffix
        self._print(self._paint(colour, text) if colour else text)

    def trials(self, state: JobState, total: int, limits: ResourceLimits) -> None:
        """Live on a terminal; otherwise every 10 s or quarter of the trials."""
        memory = "" if state.memory_mb is None else f"  memory {state.memory_mb:.0f} MB"
        text = (
            f"trials {state.trials_done}/{total}  elapsed {duration(state.elapsed_seconds)}"
            f"  {_left(state, total, limits)}{memory}"
        )
        if self._live:
            self._overwrite(f"{'':>7}  {text}")
        elif self._due(state, total):
            self._print(f"{'':>7}  {text}")

    def replying(self, model: str, tokens: int, seconds: float) -> None:
        """How much of a reply has come, live, or every 10 s. Its text never reaches the terminal."""
        now = self._clock.monotonic()
        if now - self._last_time < (_LIVE_SECONDS if self._live else _SPARSE_SECONDS):
            return
        self._last_time = now
        text = f"{clip(escape(model), 40)} replies: about {tokens} tokens, {duration(seconds)}"
        if self._live:
            self._overwrite(f"{'':>7}  {text}")
        else:
            self._print(f"{'':>7}  {text}")

    def say(self, line: str) -> None:
        self._print(escape(line))

    # ------------------------------------------------------------------ writing

    def _due(self, state: JobState, total: int) -> bool:
        now, share = self._clock.monotonic(), state.trials_done / max(total, 1)
        due = now - self._last_time >= _SPARSE_SECONDS or share - self._last_share >= _SPARSE_SHARE
        if due:
            self._last_time, self._last_share = now, share
        return due

    def _print(self, text: str) -> None:
        self._clear()
        self._write(f"{text}\n")

    def _overwrite(self, text: str) -> None:
        self._clear()
        self._pending = text[: _columns(self._stream)]
        self._write(self._pending)

    def _clear(self) -> None:
        if self._pending:
            self._write(f"\r{' ' * len(self._pending)}\r")
            self._pending = ""

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self._stream.flush()

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def _columns(stream: TextIO) -> int:
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return _LIVE
    return min(columns - 1, _LIVE) if columns else _LIVE


def _line(text: str) -> str:
    return clip(escape(text), 120)


def _left(state: JobState, total: int, limits: ResourceLimits) -> str:
    """What remains, from the pace so far and never more than the limit leaves."""
    allowed = max(limits.seconds - state.elapsed_seconds, 0.0)
    if not state.trials_done:
        return f"at most {duration(allowed)} left"
    pace = state.elapsed_seconds / state.trials_done
    return f"about {duration(min(pace * (total - state.trials_done), allowed))} left"
