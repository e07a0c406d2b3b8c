"""Which decisions at the gates count: one answer for the walk, for `verify` and for every page.

Whoever can write to the repository can write one past every gate. It counts only if it is what
the gate itself would have recorded there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from autoresearch.errors import NotApproved
from autoresearch.forecasting.surprise import unmet
from autoresearch.ports import Entry
from autoresearch.records import (
    Acceptance,
    Approval,
    Body,
    Check,
    Conclusion,
    Config,
    Critique,
    Finding,
    Fork,
    Kind,
    Monitoring,
    Person,
    Preflight,
    Proposal,
    Record,
    digest_of,
)
from autoresearch.signed import UNSIGNED, Keys

B = TypeVar("B", bound=Body)

GATE_INPUTS: dict[Kind, tuple[Kind, ...]] = {
    "approval": ("critique", "plan", "prediction", "preflight"),
    "acceptance": ("result", "check", "conclusion", "monitoring"),
}
"""What a decision is made from, in the bytes that stood last before it."""
VOID = "DOES NOT COUNT: "


def blocking(preflight: Preflight, critique: Critique) -> list[Finding]:
    """What stands in the way of approving."""
    return [found for found in (*preflight.findings, *critique.findings) if found.severity == "block"]


def lacking(acceptance: Acceptance, check: Check, conclusion: Conclusion, monitoring: Monitoring) -> str:
    """What an acceptance owes and has not; empty where nothing is missing."""
    found = [*monitoring.findings, *check.findings, *check.deviations]
    over = next((finding.check for finding in found if finding.severity == "block"), "")
    if over and acceptance.decision in ("accept", "follow-up") and not acceptance.reason.strip():
        return f"it accepts over a finding that blocks, {over}, and gives no reason"
    return unmet(check, conclusion, acceptance)


@dataclass
class Decisions:
    """What decisions have to be on, along a history that is taken record by record."""

    project: str = ""
    demonstration: bool | None = None
    """None: no proposal yet."""
    cycle: int = 0
    latest: dict[Kind, tuple[str, Body]] = field(default_factory=dict)
    """Of the cycle: the last record of each kind, its digest and body."""

    def add(self, record: Record, digest: str) -> None:
        body = record.body
        if record.cycle != self.cycle:
            self.cycle, self.latest = record.cycle, {}
        self.latest[record.kind] = digest, body
        if isinstance(body, Proposal | Fork):
            self.project = body.project
        if isinstance(body, Proposal) and self.demonstration is None:
            self.demonstration = body.demonstration

    def problems(self, record: Record, author: Person, parent: str) -> list[str]:
        """Why `record`, committed next by `author` on top of commit `parent`, does not count, signatures apart.

        Empty for what does, and for what is no decision.
        """
        decision = isinstance(record.body, Approval | Acceptance)
        return list(self._problems(record, author, parent)) if decision else []

    def take(self, entry: Entry) -> list[str]:
        """Go on by one entry; its `problems`."""
        found = self.problems(entry.record, entry.author, _parent(entry.raw))
        self.add(entry.record, entry.digest)
        return found

    def _problems(self, record: Record, author: Person, parent: str) -> Iterator[str]:
        body = record.body
        assert isinstance(body, Approval | Acceptance)
        bound = body.bundle if isinstance(body, Approval) else body.subject
        if author != body.reviewer.person:
            yield f"it is in the name of {body.reviewer.person}, but {author} made it"
        if body.shown != digest_of(bound):
            yield "it was given for something else than it says"
        if bound.ledger_head != parent:
            yield f"it was given on top of {bound.ledger_head[:12]} and stands elsewhere"
        if bound.project != self.project:
            yield "it was given in another project"
        if (bound.gate, bound.cycle, bound.attempt) != (record.step, record.cycle, record.attempt):
            yield f"it was given at gate {bound.gate} of cycle {bound.cycle}, attempt {bound.attempt}"
        for kind in GATE_INPUTS[record.kind]:
            last = self._digest(kind, record.cycle)
            if last != record.inputs.get(kind) or last != getattr(bound, kind, last):
                yield f"it was given for another {kind}"
        if body.reviewer.is_person == bool(self.demonstration):
            who, where = ("person", "") if self.demonstration else ("script", "not ")
            yield f"a {who} gave the {record.kind}, and this project is {where}marked as a demonstration"
        yield from self._owed(body)

    def _owed(self, body: Approval | Acceptance) -> Iterator[str]:
        """What the gate would have asked for. What it binds and is not there was named before."""
        if isinstance(body, Approval):
            preflight, critique = self._last(Preflight), self._last(Critique)
            if body.decision == "approve" and preflight and critique:
                for finding in blocking(preflight, critique):
                    yield f"a finding blocks what it approves, {finding.check}: {finding.explanation}"
            return
        check, conclusion, monitoring = self._last(Check), self._last(Conclusion), self._last(Monitoring)
        if check and conclusion and monitoring and (owed := lacking(body, check, conclusion, monitoring)):
            yield owed

    def _digest(self, kind: Kind, cycle: int) -> str:
        return self.latest[kind][0] if kind in self.latest and cycle == self.cycle else ""

    def _last(self, body_type: type[B]) -> B | None:
        body = self.latest.get(body_type.kind, ("", None))[1]
        return body if isinstance(body, body_type) else None


def counting(history: Iterable[Entry]) -> dict[str, str]:
    """Digest of each decision, change of settings and fork → `unsigned`, `signed, SHA256:…`, or why it does not count."""
    keys, decisions, found = Keys(), Decisions(), {}
    for entry in history:
        body = entry.record.body
        problem = keys.take(entry.record, entry.raw)
        problems = [*([problem] if problem else []), *decisions.take(entry)]
        if isinstance(body, Approval | Acceptance | Config | Fork):
            sound = f"signed, {body.reviewer.key}" if body.reviewer.key else UNSIGNED
            found[entry.digest] = f"{VOID}{problems[0]}" if problems else sound
    return found


def first_void(history: Sequence[Entry]) -> str:
    """Which decision on record does not count, and why; empty if all do."""
    known = counting(history)
    for entry in history:
        if entry.record.kind in GATE_INPUTS and (said := known[entry.digest]).startswith(VOID):
            return f"{_named(entry)} does not count: {said.removeprefix(VOID)}"
    return ""


def require_counting(history: Sequence[Entry]) -> None:
    """Raises NotApproved naming the first decision on record that does not count."""
    if void := first_void(history):
        raise NotApproved(f"{void}; see: autoresearch verify")


def require_decided(history: Iterable[Entry], decision: Entry) -> None:
    """Raises NotApproved unless `decision` counts behind `history`, signatures apart."""
    decisions = Decisions()
    for entry in history:
        decisions.take(entry)
    if problems := decisions.take(decision):
        raise NotApproved(f"{_named(decision)} does not count: {problems[0]}; see: autoresearch verify")


def _named(entry: Entry) -> str:
    return f"the {entry.record.kind} in commit {entry.commit[:12]}"


def _parent(raw: bytes) -> str:
    """The commit that this one stands on; empty for the first."""
    lines = raw.split(b"\n\n", 1)[0].split(b"\n")
    return next((line[7:].decode() for line in lines if line.startswith(b"parent ")), "")
