"""The attacks, as their files say of themselves, and the table of docs/attacks.md."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "attacks.md"
HELD, WORKS, UNTRIED = "held", "**works**", "–"
COLUMNS = ("plain", "docker", "gvisor", "bubblewrap")
JUDGES = {"inside": "itself", "outputs": "host", "alone": "host"}

HEAD = """\
# Attacks on the sandbox

Written by `make attacks-table` from what the tests saw; the tests fail where it differs. Each attack is one
file of `tests/attacks/`, approved and sent as any experiment is. Those of `inside/` judge themselves; of the
others the host judges what they leave.

- **plain**: the same image in a container as `docker run` makes it: root, its own network namespace, no filter
  of system calls. There to show that an attack can see a difference at all. `held` there means that every
  container, or this machine's kernel, stops it. It holds for the machine on which the table was written.
- **docker**: the sandbox of this tool.
- **gvisor**: the same with gVisor's kernel inside. What `works` there is answered by that kernel, not by the
  machine's: 32-bit calls, priorities, huge pages, tunnels and FUSE that exist only in it, a route that leads
  nowhere, its own order of victims. Two are weaker for the run itself: `/tmp` and `/dev/shm` have no limit on
  files (their memory counts), and process 1 can be looked into (the deadline is the supervisor's and a timer of
  that kernel).
- **bubblewrap**: the weaker tier. What `works` there: the code sees this machine's programs, read-only, with
  the mounts they lie on and set-user-id files that give it nothing; `/dev/zero` and its like count as places
  without a limit, though nothing stays in them; PYTHONPATH is the tool's own; `/proc/sys/kernel/ns_last_pid`
  can be opened for writing (opening is all that was tried).

`–`: not repeated there, since the host judges it alike.
"""


@dataclass(frozen=True)
class Attack:
    name: str
    folder: str
    tries: str
    held_by: str


def attacks():
    """Every attack, by name."""
    found = [_read(path) for folder in JUDGES for path in sorted((HERE / folder).glob("*.py"))]
    return {attack.name: attack for attack in found}


def _read(path):
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    tries, _, held_by = docstring.partition("\n\n")
    return Attack(path.stem, path.parent.name, _line(tries), _line(held_by))


def _line(text):
    return " ".join(text.split()).replace("|", "\\|")


def render(verdicts):
    """The whole page. `verdicts`: column → attack → HELD, WORKS or UNTRIED."""
    lines = [HEAD]
    for folder, judge in JUDGES.items():
        lines += [f"## {folder}/ (judge: {judge})", ""]
        lines += [
            f"| attack | tries | answer | {' | '.join(COLUMNS)} |",
            "|---|---|---|" + "---|" * len(COLUMNS),
        ]
        for attack in attacks().values():
            if attack.folder == folder:
                cells = [verdicts.get(column, {}).get(attack.name, UNTRIED) for column in COLUMNS]
                lines.append(f"| `{attack.name}` | {attack.tries} | {attack.held_by} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def committed():
    """The verdicts of the page as it is."""
    verdicts = {column: {} for column in COLUMNS}
    for line in TABLE.read_text().splitlines() if TABLE.exists() else ():
        row = re.match(r"\| `(\w+)` \|", line)
        if row:
            _, _, _, *cells = (cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|")))
            for column, cell in zip(COLUMNS, cells, strict=False):  # a column may be new
                verdicts[column][row[1]] = cell
    return verdicts
