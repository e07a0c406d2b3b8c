"""The conversation that both gates are made of: read, decide, say why, type the digest."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from autoresearch.adapters.editor import edit_files, editor_argv
from autoresearch.adapters.gate_memory import GateMemory
from autoresearch.adapters.gate_screens import Section, short
from autoresearch.adapters.screen_text import Look, page
from autoresearch.adapters.tty import Tty
from autoresearch.errors import AutoresearchError, InvalidInput
from autoresearch.ports import Clock
from autoresearch.records import Attention
from autoresearch.safe_text import decode

_TRIES = 3
_REASON_LIMIT = 20_000
"""Characters that a record's reason holds."""
_COMMENT = "# Your reason. Lines that start with # are left out.\n"


@dataclass
class Dialogue:
    """One gate's conversation. Raises Pending through the terminal for `quit` and silence."""

    tty: Tty
    measure: Callable[[], Look]
    """What the terminal can show now: a window may change its size while a person reads."""
    environ: Mapping[str, str]
    clock: Clock
    opened_at: datetime
    memory: GateMemory
    screen: Callable[[], list[str]] = list
    """What Enter shows again; set by the gate."""
    sections: Callable[[], Iterable[Section]] = list
    """What can be opened; set by the gate."""
    help: Callable[[], list[str]] = list
    """What `?` answers, at every question; set by the gate."""
    wrong: int = 0
    """Wrong digests typed so far."""

    def __post_init__(self) -> None:
        self.look = self.measure()

    def attention(self) -> Attention:
        return self.memory.attention(self.opened_at, self.clock.now())

    @property
    def read(self) -> list[str]:
        """Names of the sections of which every line was shown, now or before."""
        return self.memory.read

    def show(self) -> None:
        self.look = self.measure()
        self.say(*self.screen())

    def say(self, *lines: str) -> None:
        self.tty.write("".join(f"{line}\n" for line in lines))

    def trouble(self, error: AutoresearchError) -> None:
        """What was wrong with an answer or could not be done, in lines that are ours."""
        for line in str(error).split("\n"):
            self.say(self.look.alarm(self.look.line(line)))

    def ask(self, prompt: str) -> str:
        """One answer. `quit` leaves the gate open from every question, and `?` explains."""
        while (answer := self.tty.ask(prompt)) == "?":
            self.say(*self.help())
        if answer.lower() == "quit":
            raise self.tty.pending("you quit")
        return answer

    # ----------------------------------------------------------------- reading

    def open_section(self, key: str) -> bool:
        """Page through the section with this key. False if there is none."""
        for section in self.sections():
            if section.key == key.lower():
                if section.name not in self.memory.opened:
                    self.memory.opened.append(section.name)
                if self.page(section.name, section.render()) and section.name not in self.read:
                    self.read.append(section.name)
                return True
        return False

    def page(self, name: str, lines: list[str]) -> bool:
        """Lines a screenful at a time, on the same terminal. True if every one was shown.

        A section's key opens that one instead.
        """
        rows = max(self.look.height - 2, 5)
        top, shown = 0, set[int]()
        while True:
            end = min(top + rows, len(lines))
            self.say(*lines[top:end])
            shown.update(range(top, end))
            at_end = end == len(lines)
            if top == 0 and at_end:
                return True
            prompt = f"[{name} {top + 1}-{end} of {len(lines)}] "
            prompt += "Enter closes, b back: " if at_end else "Enter next, b back, e end, q closes: "
            answer = self.ask(prompt).lower()
            if answer == "b":
                top = max(top - rows, 0)
            elif self.open_section(answer) or at_end or answer == "q":
                return len(shown) == len(lines)
            else:
                top = max(len(lines) - rows, 0) if answer == "e" else end

    # ---------------------------------------------------------------- deciding

    def decide(
        self,
        offered: Iterable[str],
        other: Callable[[str], bool] = lambda _: False,
        *,
        also: Iterable[str] = (),
    ) -> str:
        """One of `offered`, typed as a word or its unambiguous beginning, or one of `also`, typed whole.

        Enter shows the screen again; `other` may take answers of its own (True: taken).
        """
        words = list(offered)
        while True:
            answer = self.ask("Decision: ").lower()
            fitting = [word for word in words if answer and word.startswith(answer)]
            if fitting == ["quit"]:
                raise self.tty.pending("you quit")
            if answer in also:
                return answer
            if len(fitting) == 1:
                return fitting[0]
            if not answer:
                self.show()
            elif fitting:
                self.say(f"{' or '.join(fitting)}? Type a little more.")
            elif not self.open_section(answer) and not other(answer):
                self.say(f"Type one of: {', '.join(words)}; or a number to read that section.")

    def reason(self, decision: str, offered: str = "") -> str:
        """Why, in one line, or more with the editor; Enter takes what is `offered`, if anything is.

        Empty for the word `back`.
        """
        if offered:
            self.say(*page(self.look, f"Enter takes this reason: {offered}"))
        while True:
            answer = self.ask(f'Why {decision}? One line ("e": editor, "back": not now): ') or offered
            if answer.lower() == "back":
                return ""
            if answer.lower() == "e":
                answer = self._reason_from_editor()
            if len(answer) > _REASON_LIMIT:
                self.say(f"At most {_REASON_LIMIT} characters, please; these are {len(answer)}.")
            elif answer:
                return answer
            else:
                self.say("A reason is due here; what comes next works from it.")

    def _reason_from_editor(self) -> str:
        edited = self.edit({"reason.txt": _COMMENT.encode()})
        lines = decode(edited["reason.txt"]).split("\n") if edited else []
        kept = "\n".join(line for line in lines if not line.startswith("#")).strip()
        return kept.encode("utf-8", "replace").decode()

    def confirm(self, digest: str, what: str, *, back: str = "back") -> bool:
        """True once the short digest was typed; False for the word `back`.

        Three wrong ones leave the gate open: Pending.
        """
        wanted = short(digest)
        while True:
            answer = self.ask(f'To {what.replace("-", " ")}, type {wanted} ("{back}" if not): ').lower()
            if answer == wanted:
                return True
            if answer == back:
                return False
            if not answer or self.open_section(answer):
                continue
            self.wrong += 1
            if self.wrong == _TRIES:
                raise self.tty.pending(f"{_TRIES} wrong digests")
            self.say(f"That is not {wanted}, the digest of what you were shown.")

    # ----------------------------------------------------------------- editing

    def edit(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """The files after the person's editor; empty if that did not come about."""
        try:
            argv = self.editor()
            return edit_files(argv, files, self.tty.descriptor) if argv else {}
        except InvalidInput as error:
            self.trouble(error)
            return {}

    def editor(self) -> list[str]:
        """The person's editor as an argument list; empty if they want none. Raises InvalidInput."""
        return editor_argv(self.environ) or self._offered_vi()

    def _offered_vi(self) -> list[str]:
        if shutil.which("vi", path=self.environ.get("PATH")) is None:
            raise InvalidInput("neither VISUAL nor EDITOR is set and vi is not installed; set EDITOR")
        answer = self.ask('Neither VISUAL nor EDITOR is set. Type "vi" to use vi, Enter to go back: ')
        return ["vi"] if answer.lower() == "vi" else []
