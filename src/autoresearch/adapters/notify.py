"""Tell a person elsewhere that a gate waits: their own command, without a shell, for a few seconds at most."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from autoresearch.safe_text import clip, escape

SECONDS = 5
_MOST = 200
"""Characters of a title."""


@dataclass(frozen=True)
class Notifier:
    """Runs `argv` when a gate opens. Whatever goes wrong is a line to `warn`, and the gate opens.

    `{gate}`, `{title}` and `{project}` in an argument are replaced; the same stand in the
    environment as AUTORESEARCH_GATE, _TITLE and _PROJECT.
    """

    argv: Sequence[str]
    project: str
    """The project's directory."""
    environ: Mapping[str, str]
    warn: Callable[[str], None]
    seconds: float = SECONDS

    def __call__(self, gate: str, title: str) -> None:
        facts = {"gate": gate, "title": one_line(title), "project": self.project}
        command = [_filled(argument, facts) for argument in self.argv]
        environ = {**self.environ, **{f"AUTORESEARCH_{name.upper()}": text for name, text in facts.items()}}
        try:
            child = subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self.warn(f"notify_command did not start: {getattr(error, 'strerror', None) or error}")
            return
        self._await(child)

    def _await(self, child: subprocess.Popen[bytes]) -> None:
        try:
            code = child.wait(self.seconds)
        except subprocess.TimeoutExpired:
            # Its own session, so that what it started goes too.
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            self.warn(f"notify_command took longer than {self.seconds:g} s and was stopped")
            return
        if code:
            self.warn(f"notify_command ended with {code}")


def one_line(title: str) -> str:
    """A title that cannot be taken for an option of the command, nor move a cursor."""
    return clip(escape(title), _MOST).lstrip("-")


def _filled(argument: str, facts: Mapping[str, str]) -> str:
    """One pass, so that a title that says {project} stays what it says."""
    parts = argument.split("{")
    out = [parts[0]]
    for part in parts[1:]:
        name, brace, rest = part.partition("}")
        out.append(facts[name] + rest if brace and name in facts else "{" + part)
    return "".join(out)
