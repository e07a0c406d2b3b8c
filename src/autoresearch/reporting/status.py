"""Where a project stands, worked out from its records."""

from collections.abc import Sequence

from autoresearch.budget import costs_of
from autoresearch.decisions import counting
from autoresearch.ports import Entry
from autoresearch.records import Acceptance, Approval, Critique, Proposal, body_as
from autoresearch.reporting.status_page import Status
from autoresearch.reporting.story import decided, demonstration, forked, of_cycle, standing, told
from autoresearch.reporting.text import attention, total_cost
from autoresearch.settings_in_force import settings_in_force


def status(history: Sequence[Entry], *, alive: bool | None = None, settings_wait: bool = False) -> Status:
    """`alive`: whether the container of a run without a result is there, if known.

    `settings_wait`: whether the file beside the history says something else than the settings in force.
    """
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
        settings_wait=settings_wait,
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
            return f"{decided(entry, body)} ({place}; {counting(history)[entry.digest]}){reason}"
    return ""


def _attention(entries: Sequence[Entry]) -> tuple[str, ...]:
    bodies = [entry.record.body for entry in entries]
    return tuple(
        f"{body.decision} {attention(body)}" + (f". {body.unread}" if body.unread else "")
        for body in bodies
        if isinstance(body, Approval | Acceptance) and body.reviewer.is_person
    )
