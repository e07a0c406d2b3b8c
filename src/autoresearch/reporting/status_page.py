"""Where a project stands, in a few lines that end with what to type next.

Only the page: `status` is typed often, and nothing here loads the records.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from autoresearch.reporting.terminal import Pen

LABEL = 12
OPEN_SHOWN = 5
GATES_SHOWN = 4
State = Literal["under way", "waiting", "author needed", "stopped", "finished"]
"""under way: nothing waits for a person. waiting: a gate is open. author needed: proposal.md
has to change. stopped: a bound, or a person's `terminate`. finished: a report is written."""


@dataclass(frozen=True)
class Status:
    """Strings are the records' own: `status_lines` escapes them."""

    title: str
    demonstration: bool
    forked: str
    """From which project and where, the last time; empty: never."""
    cycle: int
    attempt: int
    state: State
    where: str
    model: str
    cost: str
    """Of the whole project."""
    records: int
    open_assumptions: tuple[str, ...]
    last_decision: str
    """Empty: none yet."""
    attention: tuple[str, ...]
    """Of each of the cycle's decisions: how long the gate was open, and what was opened."""
    next_command: str
    settings_wait: bool = False
    """autoresearch.toml says something else than the settings in force."""


def status_lines(now: Status, *, width: int, color: bool) -> list[str]:
    pen = Pen(width, color)
    paint = {"waiting": pen.warn, "author needed": pen.warn, "stopped": pen.bad, "finished": pen.good}.get(
        now.state, pen.strong
    )
    model = "no model: the steps read your proposal" if now.model == "none" else now.model
    lines = [pen.strong(pen.line(now.title))]
    if now.demonstration:
        lines.append(pen.warn("demonstration: no person decided anything here"))
    lines += _row("stands", now.where, pen, paint)
    records = "1 record" if now.records == 1 else f"{now.records} records"
    lines += _row("at", f"cycle {now.cycle}, attempt {now.attempt}, {records}", pen)
    lines += _row("forked", now.forked, pen) if now.forked else []
    lines += _row("model", f"{model}; {now.cost} so far", pen)
    if now.settings_wait:
        text = "autoresearch.toml was changed and is not in force; run or review asks you to confirm it"
        lines += _row("settings", text, pen, pen.warn)
    lines += _row("decision", now.last_decision or "none yet", pen)
    lines += _row("attention", "\n".join(now.attention[-GATES_SHOWN:]), pen) if now.attention else []
    lines += _row("open", _open_text(now.open_assumptions), pen)
    # Whole and unwrapped: it is there to be copied.
    return [*lines, f"{'next':<{LABEL}}{pen.strong(now.next_command)}"]


def _open_text(assumptions: Sequence[str]) -> str:
    if not assumptions:
        return "no open assumption"
    left = len(assumptions) - OPEN_SHOWN
    return "\n".join([*assumptions[:OPEN_SHOWN], *([f"and {left} more"] if left > 0 else [])])


def _row(label: str, text: str, pen: Pen, paint: Callable[[str], str] = str) -> list[str]:
    """At most six lines of foreign text beside our label."""
    lines = pen.block(text, indent=LABEL, most=6)
    rows = [f"{label:<{LABEL}}{paint(lines[0][LABEL:])}"]
    return rows + [" " * LABEL + paint(line[LABEL:]) for line in lines[1:]]


def status_json(now: Status) -> dict[str, object]:
    """The same fields under their names."""
    return asdict(now)
