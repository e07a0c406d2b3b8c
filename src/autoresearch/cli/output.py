"""Data on standard output, everything else on standard error."""

import json
import os
import re
import sys
from collections.abc import Iterable

from autoresearch.safe_text import escape, wrap

_COMMAND = re.compile(r"autoresearch(?: -C \S+)? [a-z]+")


def say(line: str = "") -> None:
    """A message of ours; file names, reasons and errors in it may be anybody's text."""
    print(escape(line), file=sys.stderr, flush=True)


def say_error(error: Exception) -> None:
    """Why a command ends; at a terminal in lines that break between words, and in no command of ours."""
    width = os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else 0
    for line in f"autoresearch: {error}".split("\n"):
        whole = _COMMAND.sub(lambda typed: typed[0].replace(" ", "\0"), escape(line))
        pieces = wrap(whole, width, words=True) if width else [whole]
        say("\n".join(piece.replace("\0", " ") for piece in pieces))


def show(lines: Iterable[str]) -> None:
    """Lines that are safe to look at."""
    for line in lines:
        print(line)


def show_json(value: object) -> None:
    """ASCII only: records hold text that must not reach a terminal raw."""
    print(json.dumps(value, indent=2))
