"""The controlling terminal, opened afresh for each gate: text out, whole typed lines in."""

import os
import re
import select
import termios
from collections.abc import Callable
from types import TracebackType
from typing import Self

from autoresearch.errors import Interrupted, Pending

Opener = Callable[[], int]
"""Opens a terminal for reading and writing and returns its descriptor. Raises OSError."""

_KEYS_AND_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1bO.|[\x00-\x1f\x7f-\x9f]")
"""What arrow keys, bracketed paste and control keys leave in a line."""


def open_controlling_terminal() -> int:
    """`/dev/tty`: the person's terminal whatever standard input is. Raises OSError without one."""
    return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


class Tty:
    """A terminal for the length of one gate. Use as a context manager.

    Raises Pending, with `stays_open` saying what now, when nobody can be asked: no
    terminal, end of input, hang-up, or no answer within `timeout` seconds; for Ctrl-C
    Interrupted, which says the same.
    """

    def __init__(self, opener: Opener, *, timeout: float | None, stays_open: str, encoding: str) -> None:
        self._stays_open = stays_open
        self._timeout = timeout
        self._encoding = encoding
        try:
            self.descriptor = opener()
        except OSError as error:
            raise self.pending("no terminal to ask at") from error
        if not os.isatty(self.descriptor):
            os.close(self.descriptor)
            raise self.pending("no terminal to ask at")
        self._before = termios.tcgetattr(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            termios.tcsetattr(self.descriptor, termios.TCSANOW, self._before)
        except termios.error:
            # The terminal hung up, so it has no mode left to restore.
            return
        finally:
            os.close(self.descriptor)
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted(f"interrupted; {self._stays_open}") from error

    def pending(self, why: str) -> Pending:
        return Pending(f"{why}; {self._stays_open}")

    def size(self) -> tuple[int, int]:
        """Columns and rows; 80 × 24 where the terminal does not say."""
        try:
            columns, rows = os.get_terminal_size(self.descriptor)
        except OSError:
            return 80, 24
        return (columns or 80), (rows or 24)

    def write(self, text: str) -> None:
        """Write text that is safe to show."""
        data = text.encode(self._encoding, "backslashreplace")
        try:
            while data:
                data = data[os.write(self.descriptor, data) :]
        except OSError as error:
            raise self.pending("the terminal went away") from error

    def ask(self, prompt: str) -> str:
        """One line typed after `prompt` appeared; what was typed ahead is thrown away."""
        try:
            self._settle()
            self.write(prompt)
            data = self._line()
        except (OSError, termios.error) as error:
            raise self.pending("the terminal went away") from error
        return _KEYS_AND_CONTROLS.sub("", data.decode("utf-8", "replace")).strip()

    def _settle(self) -> None:
        """Line mode with echo, whatever ran before, and an empty input queue."""
        mode = termios.tcgetattr(self.descriptor)
        mode[0] |= termios.ICRNL
        mode[3] |= termios.ICANON | termios.ECHO | termios.ISIG
        termios.tcsetattr(self.descriptor, termios.TCSADRAIN, mode)
        termios.tcflush(self.descriptor, termios.TCIFLUSH)

    def _line(self) -> bytes:
        data = b""
        while not data.endswith(b"\n"):
            ready, _, _ = select.select([self.descriptor], [], [], self._timeout)
            if not ready:
                self.write("\n")
                raise self.pending(f"no answer within {self._timeout:g} s")
            chunk = os.read(self.descriptor, 4096)
            if not chunk:
                self.write("\n")
                raise self.pending("end of input")
            data += chunk
        return data
