"""Data on standard output, everything else on standard error."""

import json
import sys
from collections.abc import Iterable

from autoresearch.safe_text import escape


def say(line: str = "") -> None:
    """A message of ours; file names, reasons and errors in it may be anybody's text."""
    print(escape(line), file=sys.stderr, flush=True)


def show(lines: Iterable[str]) -> None:
    """Lines that are safe to look at."""
    for line in lines:
        print(line)


def show_json(value: object) -> None:
    """ASCII only: records hold text that must not reach a terminal raw."""
    print(json.dumps(value, indent=2))
