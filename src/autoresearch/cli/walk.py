"""`replay --walk`: step through the history by key, from blobs, never a checkout."""

import shutil
from collections.abc import Callable, Sequence

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.tty import Tty, open_controlling_terminal
from autoresearch.cli.find import diff_lines, version_before
from autoresearch.errors import InvalidInput
from autoresearch.layout import FIGURE_DATA
from autoresearch.ports import Entry
from autoresearch.reporting.log_page import log_lines
from autoresearch.reporting.show_page import show_lines
from autoresearch.safe_text import escape
from autoresearch.vouched import reader

KEYS = "[Enter] next  b back  NUMBER jump  o open  d diff  x exchanges  f figure  q quit: "


def walk_history(ledger: GitLedger) -> None:
    entries = list(ledger.entries())
    at = 0
    with Tty(
        open_controlling_terminal, timeout=None, stays_open="nothing was changed", encoding="utf-8"
    ) as tty:
        width = shutil.get_terminal_size().columns

        def write(lines: list[str]) -> None:
            tty.write("".join(f"{escape(line)}\n" for line in lines))

        while True:
            entry = entries[at]
            write(
                [
                    f"--- {at + 1} of {len(entries)} ---",
                    *log_lines([entry], full=True, width=width, color=False),
                ]
            )
            key = tty.ask(KEYS)
            if key == "q":
                return
            if key in ("o", "d", "x", "f"):
                write(_shown(key, ledger, entries, at, width))
            elif key.isdigit():
                at = min(max(int(key), 1), len(entries)) - 1
            elif key == "b":
                at = max(at - 1, 0)
            elif at + 1 == len(entries):
                return
            else:
                at += 1


def _shown(key: str, ledger: GitLedger, entries: Sequence[Entry], at: int, width: int) -> list[str]:
    """What a key asks to see of the record at `at`: itself, what changed, its exchanges, its figure's numbers."""
    entry, read = entries[at], reader(ledger)
    if key == "o":
        return show_lines(entry, read, width=width, color=False)
    if key == "d":
        try:
            return list(diff_lines(ledger, version_before(entries, entry), entry))
        except InvalidInput as error:
            return [str(error)]
    if key == "x":
        paths = [ref.path for ref in entry.record.made_by.exchanges]
        return _files(entry, read, paths) or ["no model was asked for this record"]
    pages = [ref.path for ref in entry.record.body.files() if ref.path == FIGURE_DATA]
    return _files(entry, read, pages) or ["the figure and its numbers stand with a report"]


def _files(entry: Entry, read: Callable[[Entry, str], bytes], paths: Sequence[str]) -> list[str]:
    """Their lines, each file below its name."""
    return [
        line for path in paths for line in (path, *read(entry, path).decode("utf-8", "replace").splitlines())
    ]
