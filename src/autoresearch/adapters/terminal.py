"""The person at the gates: `ReviewPort` on a real terminal.

The decision comes from a terminal opened for this gate alone, after its input
was flushed, and counts only once the reviewer typed the digest of what was
shown. Without a terminal, at end of input, on time-out, on `quit` and on Ctrl-C
the gate stays open.
"""

import locale
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from autoresearch.adapters.accept_gate import AcceptGate
from autoresearch.adapters.approve_gate import ApproveGate
from autoresearch.adapters.dialogue import Dialogue
from autoresearch.adapters.editor import open_editor
from autoresearch.adapters.gate_memory import GateMemory, Journal
from autoresearch.adapters.screen_text import Look, page, title
from autoresearch.adapters.tty import Opener, Tty, open_controlling_terminal
from autoresearch.errors import InvalidInput, Pending
from autoresearch.ports import (
    AcceptanceAnswer,
    AcceptanceView,
    ApprovalAnswer,
    ApprovalView,
    Clock,
    TryOut,
)
from autoresearch.records import AcceptDecision, Reviewer, digest_of, sha256

_LEAST_WIDTH = 20
"""Columns below which nothing is laid out any narrower."""


@dataclass(frozen=True)
class Preset:
    """A decision chosen on the command line: `autoresearch approve`, `reject -m REASON`.

    It holds for the first gate only; one that opens later in the same run is asked in full.
    """

    decision: Literal["approve", "reject"]
    reason: str = ""


class TerminalReviewer:
    """Asks a person at the controlling terminal.

    `size` is (columns, rows), by default the terminal's; `timeout` seconds without
    an answer leave the gate open. `come_back` is the command that opens it again.
    `notify` is told gate and title before a gate opens.
    """

    def __init__(
        self,
        reviewer: Reviewer,
        clock: Clock,
        *,
        opener: Opener = open_controlling_terminal,
        environ: Mapping[str, str] = os.environ,
        plain: bool = False,
        size: tuple[int, int] | None = None,
        timeout: float | None = None,
        preset: Preset | None = None,
        come_back: str = "autoresearch review",
        notify: Callable[[str, str], None] | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._reviewer = reviewer
        self._clock = clock
        self._opener = opener
        self._environ = environ
        self._plain = plain
        self._size = size
        self._timeout = timeout
        self._preset = preset
        self._come_back = come_back
        self._notify = notify
        self._journal = journal

    def identity(self) -> Reviewer:
        return self._reviewer

    def approve(self, view: ApprovalView, try_out: TryOut) -> ApprovalAnswer:
        """The person's decision before anything runs. Raises Pending or Interrupted."""
        if self._notify:
            self._notify(view.bundle.gate, view.title)
        opened_at = self._clock.now()
        memory = self._memory(digest_of(view.bundle), view.bundle.prediction)
        with (
            self._terminal(self._later(f"the gate {view.bundle.gate} stays open")) as tty,
            self._asker(tty, opened_at, memory) as asker,
        ):
            gate = ApproveGate(view, asker, self._reviewer.person, try_out)
            preset = self._take_preset()
            return gate.run(preset.decision, preset.reason) if preset else gate.run(None, "")

    def accept(self, view: AcceptanceView) -> AcceptanceAnswer:
        """The person's decision on the conclusions. Raises Pending or Interrupted."""
        if self._notify:
            self._notify(view.subject.gate, view.title)
        opened_at = self._clock.now()
        memory = self._memory(digest_of(view.subject))
        with (
            self._terminal(self._later(f"the gate {view.subject.gate} stays open")) as tty,
            self._asker(tty, opened_at, memory) as asker,
        ):
            gate = AcceptGate(view, asker)
            preset = self._take_preset()
            if preset is None:
                return gate.run(None, "")
            chosen: AcceptDecision = "accept" if preset.decision == "approve" else "reject"
            return gate.run(chosen, preset.reason)

    def confirm_settings(self, diff: str) -> bool:
        """True if the person typed the digest of `diff`; False for `no`. Raises Pending."""
        opened_at = self._clock.now()
        digest = sha256(diff.encode())
        memory = GateMemory(None, self._reviewer.person, digest)
        with (
            self._terminal(self._later("the changed settings are not in force")) as tty,
            self._asker(tty, opened_at, memory) as asker,
        ):
            look = asker.look
            asker.say(*title(look, "autoresearch.toml has changed. Put these settings in force?"))
            asker.page("settings", page(look, diff, words=False))
            return asker.confirm(digest, "put them in force", back="no")

    def edit_file(self, path: Path, why: str) -> bool:
        """Say `why` and offer the person's editor on `path`; True if the file then differs.

        False, with nothing asked, where there is no terminal.
        """
        before = path.read_bytes()
        try:
            memory = GateMemory(None, self._reviewer.person, "")
            with (
                self._terminal("nothing was recorded") as tty,
                self._asker(tty, self._clock.now(), memory) as asker,
            ):
                asker.say(*page(asker.look, why))
                if asker.ask(f"Enter opens {path.name} in your editor, anything else leaves it: "):
                    return False
                try:
                    argv = asker.editor()
                    if argv:
                        open_editor(argv, path, tty.descriptor)
                except InvalidInput as error:
                    asker.trouble(error)
        except Pending:
            # Nobody there, or they left: the caller's own error says how to go on.
            return False
        return path.read_bytes() != before

    def _take_preset(self) -> Preset | None:
        preset, self._preset = self._preset, None
        return preset

    def _later(self, stays_open: str) -> str:
        return f"{stays_open}; come back with: {self._come_back}"

    def _terminal(self, stays_open: str) -> Tty:
        encoding = "utf-8" if _has_unicode() else "ascii"
        return Tty(self._opener, timeout=self._timeout, stays_open=stays_open, encoding=encoding)

    def _memory(self, shown: str, prediction: str = "") -> GateMemory:
        return GateMemory(self._journal, self._reviewer.person, shown, prediction)

    @contextmanager
    def _asker(self, tty: Tty, opened_at: datetime, memory: GateMemory) -> Iterator[Dialogue]:
        """However the gate is left, what was looked at is kept."""

        def measure() -> Look:
            width, height = self._size or tty.size()
            return Look(
                width=max(width, _LEAST_WIDTH),
                height=height,
                unicode=_has_unicode(),
                plain=self._plain,
                colour=wants_colour(self._environ, plain=self._plain),
            )

        dialogue = Dialogue(tty, measure, self._environ, self._clock, opened_at, memory)
        try:
            yield dialogue
        finally:
            memory.keep_attention(dialogue.attention())


def wants_colour(environ: Mapping[str, str], *, plain: bool) -> bool:
    """Colour unless NO_COLOR is set, the terminal is dumb or the person wants it plain."""
    return not plain and not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb"


def _has_unicode() -> bool:
    return locale.getencoding().lower().replace("-", "") == "utf8"
