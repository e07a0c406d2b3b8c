"""`replay --walk`: step through the history by key, from blobs, never a checkout."""

import shutil

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.tty import Tty, open_controlling_terminal
from autoresearch.cli.find import diff_lines, version_before
from autoresearch.errors import InvalidInput
from autoresearch.reporting.log_page import log_lines
from autoresearch.reporting.show_page import show_lines
from autoresearch.safe_text import escape
from autoresearch.vouched import reader

KEYS = "[Enter] next  b back  NUMBER jump  o open  d diff  q quit: "


def walk_history(ledger: GitLedger) -> None:
    entries = list(ledger.entries())
    read = reader(ledger)
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
            if key == "o":
                write(show_lines(entry, read, width=width, color=False))
            elif key == "d":
                try:
                    write(list(diff_lines(ledger, version_before(entries, entry), entry)))
                except InvalidInput as error:
                    write([str(error)])
            elif key.isdigit():
                at = min(max(int(key), 1), len(entries)) - 1
            elif key == "b":
                at = max(at - 1, 0)
            elif at + 1 == len(entries):
                return
            else:
                at += 1
