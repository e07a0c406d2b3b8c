"""Which of a cycle's records belong together, and where the cycle stands.

Every page reads these two, so that no page can tell another story than the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from autoresearch.decisions import first_void
from autoresearch.errors import InvalidInput
from autoresearch.ports import Entry
from autoresearch.records import (
    APART,
    Acceptance,
    Approval,
    Fork,
    Kind,
    Proposal,
    Result,
    Settings,
    body_as,
    count,
)
from autoresearch.reporting.status_page import State
from autoresearch.reporting.text import day
from autoresearch.settings_in_force import settings_in_force

DECIDED = {
    "approve": "approved", "reject": "rejected", "revise": "sent back for revision", "edit": "edited",
    "terminate": "stopped", "accept": "accepted", "redo": "sent back for a new experiment",
    "follow-up": "accepted with a follow-up",
}  # fmt: skip
_NEXT: dict[Kind, str] = {
    "proposal": "ideate", "ideas": "critique", "critique": "plan", "plan": "predict",
    "prediction": "preflight", "check": "conclude", "conclusion": "monitor",
}  # fmt: skip
_RETURN = {"reject": "ideate", "revise": "plan", "edit": "plan", "redo": "plan"}
_LATER: tuple[Kind, ...] = ("conclusion", "monitoring", "acceptance", "report")
RUN = "autoresearch run"


@dataclass(frozen=True)
class Standing:
    """`sentence` holds foreign names and reasons: escape it where it is shown."""

    state: State
    sentence: str
    command: str
    """The exact next command."""
    pending: str = ""
    """What a status adds, and the report, which is that very thing, does not."""


def of_cycle(history: Sequence[Entry], cycle: int) -> list[Entry]:
    """Raises InvalidInput if there is no record of it."""
    entries = [entry for entry in history if entry.record.cycle == cycle]
    if not entries:
        raise InvalidInput(f"no record belongs to cycle {cycle}; the last one is {history[-1].record.cycle}")
    return entries


def demonstration(history: Sequence[Entry]) -> bool:
    """No person decided anything in this project. Also of a part of its history, as far as that shows it."""
    bodies = [entry.record.body for entry in history]
    marked = any(body.demonstration for body in bodies if isinstance(body, Proposal))
    return marked or any(not b.reviewer.is_person for b in bodies if isinstance(b, Approval | Acceptance))


def told(entries: Sequence[Entry]) -> dict[Kind, Entry]:
    """The records of one cycle that the report tells in full: those behind its last check
    and what was made from it; without a check, the latest of each kind.
    """
    checks = [place for place, entry in enumerate(entries) if entry.record.kind == "check"]
    until = checks[-1] + 1 if checks else len(entries)
    found: dict[Kind, Entry] = {entry.record.kind: entry for entry in entries[:until]}
    if checks:
        found = {kind: entry for kind, entry in found.items() if kind not in _LATER}
    for kind in _LATER if checks else ():
        later = [e for e in entries[until:] if e.record.kind == kind and _coherent(e, found)]
        if later:
            found[kind] = later[-1]
    return found


def _coherent(entry: Entry, found: dict[Kind, Entry]) -> bool:
    named = {kind: entry.record.inputs.get(kind) for kind in get_args(Kind)}
    return all(digest in (None, found[kind].digest) for kind, digest in named.items() if kind in found)


def standing(history: Sequence[Entry], cycle: int, *, alive: bool | None = None) -> Standing:
    """Where `cycle` stands, from its last record. `alive`: whether a run's container is, if known.

    Steps are those of the standard workflow.
    """
    void = first_void(history)
    if void:
        return Standing("stopped", f"{void[0].upper()}{void[1:]}", "autoresearch verify")
    return _last_said(history, cycle, alive)


def _last_said(history: Sequence[Entry], cycle: int, alive: bool | None) -> Standing:
    cycles, settings = of_cycle(history, cycle), settings_in_force(history)
    entries = [entry for entry in cycles if entry.record.kind not in APART]
    last = entries[-1]
    body, kind = last.record.body, last.record.kind
    apart = any(entry.record.kind == "fork" for entry in cycles[cycles.index(last) :])
    if apart and isinstance(body, Approval) and body.decision == "approve":
        return Standing(
            "waiting", "The approval does not count in a fork; the gate asks again", "autoresearch review"
        )
    if isinstance(body, Approval):
        return _after_approval(last, body, settings)
    if isinstance(body, Acceptance):
        return _after_acceptance(last, body, settings)
    if isinstance(body, Result) and body.status != "Completed":
        return _after_failure(last, body, settings)
    if kind == "report":
        return _after_report(entries, settings, apart=apart)
    return _running(alive) if kind == "run" else _between_steps(kind)


def _between_steps(kind: Kind) -> Standing:
    gate = {"preflight": "approve", "monitoring": "accept"}.get(kind)
    if gate is not None:
        return Standing("waiting", f"Waits for a person at the {gate} gate", "autoresearch review")
    return Standing("under way", f"Under way; the next step is {_NEXT.get(kind, 'check')}", RUN)


def decided(entry: Entry, body: Approval | Acceptance) -> str:
    """`Rejected by Ada on 1 March 2026`."""
    words = DECIDED[body.decision]
    return f"{words[0].upper()}{words[1:]} by {body.reviewer.person.name} on {day(entry.when)}"


def verdicts(body: Acceptance) -> str:
    """`2 of 3 claims, 1 of them downgraded`."""
    if body.sends_back:
        return "nothing accepted"
    kept = sum(verdict != "reject" for verdict in body.claims.values())
    lowered = sum(verdict == "downgrade" for verdict in body.claims.values())
    return f"{kept} of {count(len(body.claims), 'claim')}" + (
        f", {lowered} of them downgraded" if lowered else ""
    )


def _running(alive: bool | None) -> Standing:
    if alive:
        return Standing("under way", "The experiment is running", RUN)
    gone = "An experiment was started and its end is not recorded"
    return Standing("under way", gone if alive is None else f"{gone}; its container is gone", RUN)


def _after_approval(entry: Entry, body: Approval, settings: Settings) -> Standing:
    said = f"{decided(entry, body)} at the approve gate"
    if body.decision == "terminate":
        return Standing("stopped", said, "autoresearch report")
    if body.decision == "approve":
        return Standing("under way", f"{said}; the experiment has not begun", RUN)
    return _sent_back(entry, said, _RETURN[body.decision], settings, edited=body.decision == "edit")


def _after_acceptance(entry: Entry, body: Acceptance, settings: Settings) -> Standing:
    if body.decision in ("revise", "redo"):
        step = "conclude" if body.decision == "revise" else "plan"
        return _sent_back(entry, f"{decided(entry, body)} at the accept gate", step, settings)
    said = f"{decided(entry, body)}; {verdicts(body)}{_follow_up(entry, body)}"
    return Standing("under way", said, RUN, pending="; the report is not written")


def _after_failure(entry: Entry, body: Result, settings: Settings) -> Standing:
    done = f"{body.trials_completed} of {count(body.trials_issued, 'trial')}"
    if body.status == "Lost":
        again = "the approve gate asks again for the same bytes"
        return Standing("waiting", f"The run was lost after {done}; {again}", "autoresearch review")
    said = f"The experiment ended as {body.status} after {done}, which is no evidence either way"
    return _sent_back(entry, said, "plan", settings)


def _sent_back(entry: Entry, said: str, step: str, settings: Settings, *, edited: bool = False) -> Standing:
    """Back to `step` in a new attempt; without a model only the author can change what it reads."""
    if entry.record.attempt >= settings.max_attempts:
        used = f"{said}; all {count(settings.max_attempts, 'attempt')} of the cycle are used"
        return Standing("stopped", used, f"raise max_attempts in autoresearch.toml, then: {RUN}")
    if edited or settings.model_of(step).use != "none":
        return Standing("under way", f"{said}; the next step is {step}", RUN)
    return Standing("author needed", f"{said}; waits for its author", f"edit proposal.md, then: {RUN}")


def _after_report(entries: Sequence[Entry], settings: Settings, *, apart: bool) -> Standing:
    """`apart`: the project was forked after it, to go on with another cycle."""
    decisions = [entry for entry in entries if isinstance(entry.record.body, Acceptance)]
    if not decisions:
        return Standing("finished", "The report is written; nobody accepted anything", "autoresearch report")
    entry = decisions[-1]
    body = body_as(entry.record, Acceptance)
    said = f"{decided(entry, body)}; {verdicts(body)}{_follow_up(entry, body, apart=apart)}"
    if body.decision != "follow-up" and not apart:
        return Standing("finished", said, "autoresearch report")
    if entry.record.cycle >= settings.max_cycles:
        return Standing("stopped", said, f"raise max_cycles in autoresearch.toml, then: {RUN}")
    if settings.model_of("ideate").use == "none":
        return Standing("author needed", said, f"edit proposal.md, then: {RUN}")
    return Standing("finished", said, RUN)


def _follow_up(entry: Entry, body: Acceptance, *, apart: bool = False) -> str:
    follows = body.decision == "follow-up" or apart
    return f"; cycle {entry.record.cycle + 1} follows" if follows else ""


def forked(history: Sequence[Entry]) -> str:
    """`from project 1a2b3c4d after plan (cycle 1, attempt 1), by Ada`; empty if the project is no fork."""
    for place, entry in reversed(list(enumerate(history))):
        body = entry.record.body
        if isinstance(body, Fork):
            after = f" after {history[place - 1].record.step}" if place else ""
            where = f"(cycle {entry.record.cycle}, attempt {entry.record.attempt})"
            return f"from project {body.from_project[:8]}{after} {where}, by {body.reviewer.person.name}"
    return ""
