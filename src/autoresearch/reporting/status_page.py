"""Where a project stands, in a few lines that end with what to type next."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from autoresearch.budget import costs_of
from autoresearch.ports import Entry
from autoresearch.records import Acceptance, Approval, Critique, Proposal, body_as
from autoresearch.reporting.story import State, decided, demonstration, forked, of_cycle, standing, told
from autoresearch.reporting.terminal import Pen
from autoresearch.reporting.text import attention, total_cost
from autoresearch.settings_in_force import settings_in_force
from autoresearch.signed import signing_of

LABEL = 12
OPEN_SHOWN = 5
GATES_SHOWN = 4


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


def status(history: Sequence[Entry], *, alive: bool | None = None) -> Status:
    """`alive`: whether the container of a run without a result is there, if known."""
    last = history[-1].record
    proposals = [entry for entry in history if entry.record.kind == "proposal"]
    now = standing(history, last.cycle, alive=alive)
    return Status(
        title=body_as(proposals[-1].record, Proposal).title,
        demonstration=demonstration(history),
        forked=forked(history),
        cycle=last.cycle,
        attempt=last.attempt,
        state=now.state,
        where=now.sentence + now.pending,
        model=settings_in_force(history).who_writes,
        cost=_cost(history),
        records=len(history),
        open_assumptions=_open_assumptions(of_cycle(history, last.cycle)),
        last_decision=_last_decision(history),
        attention=_attention(of_cycle(history, last.cycle)),
        next_command=now.command,
    )


def _cost(history: Sequence[Entry]) -> str:
    """What the records say, and the cap on it, if there is one."""
    cap = settings_in_force(history).budget.project.usd
    cost = total_cost(costs_of(history))
    return cost if cap == "none" else f"{cost} of {cap} USD"


def _open_assumptions(entries: Sequence[Entry]) -> tuple[str, ...]:
    found = told(entries)
    critique = body_as(found["critique"].record, Critique) if "critique" in found else None
    assumptions = critique.assumptions if critique else []
    return tuple(f"{item.id}: {item.statement}" for item in assumptions if item.status == "open")


def _last_decision(history: Sequence[Entry]) -> str:
    for entry in reversed(history):
        body = entry.record.body
        if isinstance(body, Approval | Acceptance):
            reason = f": {body.reason}" if body.reason.strip() else ""
            place = f"cycle {entry.record.cycle}, attempt {entry.record.attempt}"
            return f"{decided(entry, body)} ({place}; {signing_of(history)[entry.digest]}){reason}"
    return ""


def _attention(entries: Sequence[Entry]) -> tuple[str, ...]:
    bodies = [entry.record.body for entry in entries]
    return tuple(
        f"{body.decision} {attention(body)}" + (f". {body.unread}" if body.unread else "")
        for body in bodies
        if isinstance(body, Approval | Acceptance) and body.reviewer.is_person
    )


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
    lines += _row("at", f"cycle {now.cycle}, attempt {now.attempt}, {now.records} records", pen)
    lines += _row("forked", now.forked, pen) if now.forked else []
    lines += _row("model", f"{model}; {now.cost} so far", pen)
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
