"""Go on with a project: walk the graph, ask the person at a gate, record, walk again.

The lock is held while machines work and not while a person reads; a decision counts
only if the ledger is still where it was when the gate opened.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from autoresearch.errors import (
    AuthorNeeded,
    AutoresearchError,
    InvalidInput,
    NotApproved,
    Pending,
    Rejected,
    Stale,
)
from autoresearch.gates import (
    acceptance_record,
    acceptance_view,
    approval_record,
    approval_view,
    bundle_for,
    subject_for,
)
from autoresearch.graph import CycleEnded, OpenGate, walk
from autoresearch.layout import LOCK_FILE, PROPOSAL_FILE, SETTINGS_FILE, vouched_files
from autoresearch.nodes import NewProposalNeeded, Nodes
from autoresearch.ports import (
    LEFT_AT_GATES,
    AcceptanceView,
    ApprovalView,
    Clock,
    Entropy,
    Entry,
    Ledger,
    Progress,
    ReviewPort,
    Sandbox,
    Seal,
    Signer,
    Sleep,
)
from autoresearch.proposal import parse_proposal
from autoresearch.records import (
    APART,
    Acceptance,
    Approval,
    Bundle,
    Config,
    DataInput,
    Environment,
    Fork,
    Kind,
    Proposal,
    Record,
    RegisteredReviewer,
    Result,
    Reviewer,
    Settings,
    Source,
    Tryout,
    body_as,
    sha256,
)
from autoresearch.records import HUMAN as MADE_BY_PERSON
from autoresearch.settings_in_force import (
    project_in_force,
    proposal_in_force,
    settings_in_force,
    workflow_in_force,
)
from autoresearch.signed import require_signed_settings
from autoresearch.steps.experiment import needs_of
from autoresearch.steps.situation import Situation
from autoresearch.tries import Sign, TryRoom
from autoresearch.workflow import END, Workflow

Standing = Literal["accepted", "rejected", "terminated"]


@dataclass(frozen=True)
class Written:
    """A proposal as it is now, with what it names beside itself taken in."""

    text: str
    environment: Environment | None = None
    lock: bytes | None = None
    """The bytes of the environment's lock."""
    inputs: Sequence[DataInput] = ()
    sources: Sequence[Source] = ()
    texts: Mapping[str, bytes] = field(default_factory=dict)
    """Of the sources, by the path of `Source.text`."""

    def same_as(self, on_record: Proposal) -> bool:
        return (self.text, self.environment, list(self.inputs), list(self.sources)) == (
            on_record.text,
            on_record.environment,
            on_record.inputs,
            on_record.sources,
        )

    def body(self, before: Proposal, settings: Settings) -> Proposal:
        """A proposal record's body that differs from `before` in what was written."""
        changed = {
            "text": self.text,
            "text_sha256": sha256(self.text.encode()),
            "settings": settings,
            "environment": self.environment,
            "inputs": list(self.inputs),
            "sources": list(self.sources),
        }
        return before.model_copy(update=changed)

    def files(self, record: Record) -> dict[str, bytes]:
        """What is committed with `record`: at the project's root, and what the record vouches for."""
        found = {PROPOSAL_FILE: self.text.encode()}
        if self.lock is not None:
            found[LOCK_FILE] = self.lock
        named = self.texts if self.lock is None else {**self.texts, LOCK_FILE: self.lock}
        return found | {place: named[ref.path] for place, ref in vouched_files(record).items()}


class Desk(Protocol):
    """What the person wrote outside the gates: the proposal and the settings, as they are now."""

    def proposal(self) -> Written:
        """proposal.md and what it names. Raises InvalidInput if anything of it cannot be read."""
        ...

    def changed_proposal(self, before: Proposal) -> Written | None:
        """The same, if it is another than `before`."""
        ...

    def offer_edit(self, why: str) -> bool:
        """At a terminal, open the proposal in an editor; True if the person did edit."""
        ...

    def settings(self, in_force: Settings) -> tuple[Settings, str, bytes] | None:
        """(new settings, diff, the file's bytes) once the person confirmed a changed file;
        None if it says the same. Raises Pending without a terminal.
        """
        ...


@dataclass(frozen=True)
class Ending:
    standing: Standing
    entry: Entry
    """The record that ended the project's last cycle."""


@dataclass(frozen=True)
class Driver:
    ledger: Ledger
    lock: Callable[[], AbstractContextManager[None]]
    workflow: Workflow
    nodes: Nodes
    sandbox: Callable[[], Sandbox]
    reviewer: ReviewPort
    desk: Desk
    signer: Signer
    progress: Progress
    clock: Clock
    entropy: Entropy
    sleep: Sleep
    require_models: Callable[[Settings, Collection[str]], None]
    """Raises BackEndMissing or InvalidInput if a model that one of these steps will ask cannot be asked."""

    def run(self) -> Ending:
        """Go on until the end, a gate that stays open, or an error. Raises Pending, Rejected, …"""
        while True:
            with self.lock():
                self._take_in_settings()
                history = self.ledger.entries()
                self.require_models(settings_in_force(history), steps_left(self.workflow, history))
                self._take_in_fork()
                try:
                    stop = self._walk()
                except NewProposalNeeded as needed:
                    self._take_in_proposal(needed)
                    continue
                head = self.ledger.head()
                if isinstance(stop, CycleEnded) and self.ledger.noted(LEFT_AT_GATES) is not None:
                    self.ledger.forget(LEFT_AT_GATES)
            if isinstance(stop, OpenGate):
                self._ask(stop, head)
                continue
            ending = self._ending()
            if ending is not None:
                return ending

    def decide_once(self) -> bool:
        """Open the gate that waits and record the decision; False if none waits."""
        with self.lock():
            # Isolation and limits of what is decided on follow from them.
            self._take_in_settings()
            self._take_in_fork()
            stop = self._walk()
            head = self.ledger.head()
        if isinstance(stop, OpenGate):
            self._ask(stop, head)
        return isinstance(stop, OpenGate)

    def pending(self) -> ApprovalView | AcceptanceView | None:
        """What the gate that waits would show now, without asking anybody; None if none waits."""
        with self.lock():
            stop = self._walk()
            head = self.ledger.head()
        if not isinstance(stop, OpenGate):
            return None
        at, reviewer = self.nodes.situation(stop.step, stop.state), self.reviewer.identity()
        if self.workflow.steps[stop.step].kind == "approval":
            bundle = self._bundle(at, head)
            return approval_view(at, bundle, reviewer, self._tries(at).made())
        return acceptance_view(at, subject_for(at, head), reviewer)

    # -------------------------------------------------------------------- walk

    def _walk(self) -> OpenGate | CycleEnded:
        history = self.ledger.entries()
        require_signed_settings(history)
        cycle, settings = current_cycle(history), settings_in_force(history)
        attempts = [entry.record.attempt for entry in history if entry.record.cycle == cycle]
        if not attempts and cycle > settings.max_cycles:
            raise AutoresearchError(
                f"the project has used its {settings.max_cycles} cycles; raise max_cycles in autoresearch.toml "
                "and go on with: autoresearch run"
            )
        return walk(self.workflow, self.nodes, cycle, max([settings.max_attempts, *attempts]))

    def _ending(self) -> Ending | None:
        """None: a follow-up cycle begins."""
        history = self.ledger.entries()
        decisions = [entry for entry in history if entry.record.kind in ("approval", "acceptance")]
        entry = decisions[-1]
        body = entry.record.body
        if isinstance(body, Approval):
            return Ending("terminated", entry)
        decision = body_as(entry.record, Acceptance).decision
        if decision == "follow-up":
            return None
        return Ending("rejected" if decision == "reject" else "accepted", entry)

    # ------------------------------------------------------------------- gates

    def _ask(self, gate: OpenGate, head: str) -> None:
        """Show the gate, without the lock, and record the decision if the ledger is still at `head`.

        `head` is where the walk found the gate open: read any later, somebody else's
        decision could stand there already, and theirs and this one would both count.
        """
        at = self.nodes.situation(gate.step, gate.state)
        keys = settings_in_force(at.history).reviewers
        reviewer = self._decider(keys)  # before anybody reads a screen that they could not sign
        self.progress.say(f"gate: {gate.step}, cycle {at.cycle}, attempt {at.attempt}")
        tries = self._tries(at) if self.workflow.steps[gate.step].kind == "approval" else None
        if tries is not None:
            record, files = self._ask_approval(at, head, reviewer)
        else:
            record, files = self._ask_acceptance(at, head, reviewer), {}
        if self.ledger.head() != head:
            raise _overtaken()
        # Without the lock, too: it may wait for a passphrase or a touch.
        seal = self._seal(record, files, head, reviewer, keys)
        began = self.clock.monotonic()
        with self.lock():
            if self.ledger.head() != head:
                raise _overtaken()
            if tries is not None:
                tries.require_known(body_as(record, Approval).tries)
            entry = self.ledger.append(record, files, after=head, author=reviewer.person, seal=seal)
            if tries is not None:
                tries.forget()
        self.progress.recorded(entry, self.clock.monotonic() - began)

    def _decider(self, keys: Sequence[RegisteredReviewer]) -> Reviewer:
        """Who decides here: where keys are registered, only whoever holds one of them."""
        reviewer = self.reviewer.identity()
        if not keys:
            return reviewer
        if not reviewer.is_person:
            raise NotApproved("this project has reviewers with keys, and a script is none of them")
        return self.signer.reviewer(reviewer.person, keys)

    def _seal(
        self,
        record: Record,
        files: Mapping[str, bytes],
        head: str,
        reviewer: Reviewer,
        keys: Sequence[RegisteredReviewer],
    ) -> Seal | None:
        """The reviewer's signature of the commit to come; None where no key is registered."""
        sign = self._sign_with(reviewer, keys)
        if sign is None:
            return None
        when = self.clock.now()
        payload = self.ledger.payload(record, files, after=head, author=reviewer.person, when=when)
        return Seal(when, sign(payload))

    def _sign_with(self, reviewer: Reviewer, keys: Sequence[RegisteredReviewer]) -> Sign | None:
        """None where no key is registered."""
        if reviewer.key is None:
            return None
        key = next(known for known in keys if known.fingerprint == reviewer.key)
        return lambda payload: self.signer.sign(payload, key)

    def _bundle(self, at: Situation, head: str) -> Bundle:
        """What is asked for; the plan's own environment is made first, where it has one."""
        return bundle_for(at, self.sandbox().isolation(needs_of(at)), head)

    def _ask_approval(self, at: Situation, head: str, reviewer: Reviewer) -> tuple[Record, dict[str, bytes]]:
        bundle = self._bundle(at, head)
        tries = self._tries(at)
        tries.clear()
        view = approval_view(at, bundle, reviewer, tries.made())
        keys = settings_in_force(at.history).reviewers

        def try_out(typed: str) -> Tryout:
            return tries.run(bundle, typed, reviewer, self._sign_with(reviewer, keys))

        answer = self.reviewer.approve(view, try_out)
        return approval_record(at, bundle, answer, reviewer, self.entropy)

    def _tries(self, at: Situation) -> TryRoom:
        return TryRoom(at, self.ledger, self.lock, self.sandbox, self.clock, self.entropy, self.sleep)

    def _ask_acceptance(self, at: Situation, head: str, reviewer: Reviewer) -> Record:
        subject = subject_for(at, head)
        answer = self.reviewer.accept(acceptance_view(at, subject, reviewer))
        return acceptance_record(at, subject, answer, reviewer)

    # ------------------------------------------------- what the person wrote

    def _take_in_settings(self) -> None:
        history = self.ledger.entries()
        last = history[-1].record.body
        if isinstance(last, Approval) and last.decision == "approve":
            return  # a record now would void the approval; the settings wait for the run
        changed = self.desk.settings(settings_in_force(history))
        if changed is not None:
            self.put_in_force(*changed)

    def put_in_force(self, settings: Settings, diff: str, text: bytes) -> None:
        """Record settings that the person confirmed, signed where keys are or become registered. Holds the lock."""
        # The first key vouches for itself: whoever registers it shows that they have it.
        keys = settings_in_force(self.ledger.entries()).reviewers or settings.reviewers
        reviewer = self._decider(keys)
        body = Config(settings=settings, diff=diff, reviewer=reviewer)
        self._record_apart(body, {SETTINGS_FILE: text}, keys)

    def record_fork(self, fork: Fork, files: Mapping[str, bytes], keys: Sequence[RegisteredReviewer]) -> None:
        """Let this ledger, which holds what is shared, go on apart. Signed by one of `keys`, where there are any."""
        self._record_apart(fork.model_copy(update={"reviewer": self._decider(keys)}), files, keys)

    def _record_apart(
        self, body: Config | Fork, files: Mapping[str, bytes], keys: Sequence[RegisteredReviewer]
    ) -> None:
        history, reviewer = self.ledger.entries(), body.reviewer
        place = history[-1].record
        number = sum(entry.record.kind == body.kind for entry in history) + 1
        record = Record(
            kind=body.kind, cycle=place.cycle, attempt=place.attempt, step=f"{body.kind}-{number}",
            parent=history[-1].digest, inputs={}, made_by=MADE_BY_PERSON, body=body,
        )  # fmt: skip
        head = self.ledger.head()
        seal = self._seal(record, files, head, reviewer, keys)
        entry = self.ledger.append(
            record, files, after=head, author=reviewer.person, extra=tuple(files), seal=seal
        )
        self.progress.recorded(entry, 0.0)

    def _take_in_fork(self) -> None:
        """A proposal that was changed since the project was forked, before anything else was done in it."""
        history = self.ledger.entries()
        forked = history[last_of_the_work(history) :]
        if not any(entry.record.kind == "fork" for entry in forked):
            return
        cycle, last = current_cycle(history), forked[0].record
        attempt = last.attempt + 1 if cycle == last.cycle else 1
        before = body_as(proposal_in_force(history, cycle, attempt).record, Proposal)
        written = self.desk.changed_proposal(before)
        if written is None:
            return
        if last.kind in ("result", "check", "conclusion", "monitoring", "acceptance") and not _starts_over(
            last
        ):
            _refuse_late_changes(before, written)
        else:
            self._say_lost_edit(history, cycle)
        self._record_proposal(written, before, cycle, attempt)

    def _take_in_proposal(self, needed: NewProposalNeeded) -> None:
        history = self.ledger.entries()
        in_force = proposal_in_force(history, needed.cycle, needed.attempt)
        before = body_as(in_force.record, Proposal)
        written = self.desk.proposal()
        if written.same_as(before) and self.desk.offer_edit(_why(needed)):
            written = self.desk.proposal()
        if written.same_as(before):
            raise _unchanged(needed)
        if needed.kind == "conclusion":
            _refuse_late_changes(before, written)
        else:
            self._say_lost_edit(history, needed.cycle)
        self._record_proposal(written, before, needed.cycle, needed.attempt)

    def _say_lost_edit(self, history: Sequence[Entry], cycle: int) -> None:
        """The plan is read from the proposal again, so what a person changed at the gate is gone from it."""
        plans = [e.record for e in history if e.record.kind == "plan" and e.record.cycle == cycle]
        if plans and plans[-1].made_by.author == "person":
            self.progress.say(
                f"the plan as edited by hand (attempt {plans[-1].attempt}) is not kept: {PROPOSAL_FILE} has changed, "
                "and the plan is read from it again; write there what the edit changed"
            )

    def _record_proposal(self, written: Written, before: Proposal, cycle: int, attempt: int) -> None:
        history = self.ledger.entries()
        # A record that holds settings, a project or a workflow sets them.
        in_force = {"project": project_in_force(history), "workflow": workflow_in_force(history)[0]}
        body = written.body(before, settings_in_force(history)).model_copy(update=in_force)
        record = Record(
            kind="proposal", cycle=cycle, attempt=attempt, step="start",
            parent=history[-1].digest, inputs={}, made_by=MADE_BY_PERSON, body=body,
        )  # fmt: skip
        files = written.files(record)
        entry = self.ledger.append(
            record,
            files,
            after=self.ledger.head(),
            author=self.reviewer.identity().person,
            extra=tuple(files),
        )
        self.progress.recorded(entry, 0.0)


def _overtaken() -> Stale:
    return Stale(
        "somebody else decided meanwhile, or a note was committed, so this was not recorded\n"
        "look with: autoresearch log; a gate that still waits opens with: autoresearch review"
    )


def _starts_over(last: Record) -> bool:
    """Whether the work goes back to where everything may be written anew."""
    body = last.body
    failed = isinstance(body, Result) and body.status not in ("Completed", "Lost")
    return failed or (isinstance(body, Acceptance) and body.decision == "redo")


def steps_left(workflow: Workflow, history: Sequence[Entry]) -> set[str]:
    """Steps that may still run, ways back included; none once the project has ended."""
    # A new proposal or new settings do not say where the walk stands.
    passed = ("proposal", *APART)
    last = next((e.record for e in reversed(history) if e.record.kind not in passed), None)
    if last is None or current_cycle(history) > last.cycle:
        return workflow.from_step(workflow.start)
    if isinstance(last.body, Approval | Acceptance):
        following = [workflow.steps[last.step].successors()[last.body.decision]]
        if last.body.decision == "follow-up":
            following.append(workflow.start)
    elif last.kind == "run":
        following = [last.step]
    else:
        following = list(workflow.steps[last.step].successors().values())
    return {step for name in following if name != END for step in workflow.from_step(name)}


def current_cycle(entries: Sequence[Entry]) -> int:
    """The cycle that is under way: the next one after a written-up follow-up, or in a fork of what was written up."""
    # Settings belong to no cycle: a change between two cycles does not reopen the first.
    place = last_of_the_work(entries)
    last = entries[place].record
    follow_up = any(
        isinstance(entry.record.body, Acceptance) and entry.record.body.decision == "follow-up"
        for entry in entries
        if entry.record.cycle == last.cycle
    )
    forked = any(entry.record.kind == "fork" for entry in entries[place:])
    return last.cycle + 1 if (follow_up or forked) and last.kind == "report" else last.cycle


def last_of_the_work(entries: Sequence[Entry]) -> int:
    """Number of the last record that a step made."""
    return max(number for number, entry in enumerate(entries) if entry.record.kind not in APART)


SECTIONS: dict[Kind, str] = {
    "ideas": "Question, Hypotheses or Rivals",
    "plan": "Plan, Predictions, Decision table or Experiment",
    "conclusion": "Decision table (its wording)",
}
"""Where a person would change the proposal, by the step that has to be done again."""
REWORDING = "decision-table"
"""The one section that a conclusion reads; any other was frozen with the plan."""


def _why(needed: NewProposalNeeded) -> str:
    """Which section to look at, and the reason that was given."""
    body = needed.because.record.body if needed.because else None
    place = f"look at {PROPOSAL_FILE}, section {SECTIONS[needed.kind]}"
    if isinstance(body, Result):
        return f"the experiment ended as {body.status}: {body.why}; {place}"
    if isinstance(body, Approval | Acceptance):
        return f"{body.decision} by {body.reviewer.person.name}: {body.reason}; {place}"
    return f"cycle {needed.cycle} starts from a changed {PROPOSAL_FILE}"


def _refuse_late_changes(before: Proposal, written: Written) -> None:
    """A revised conclusion may reword what the table says; what was run and predicted stays."""
    try:
        old = parse_proposal(before.text).section_digests
    except InvalidInput:
        return  # free-form: a model wrote the steps before, and no section of it was ever read
    new = parse_proposal(written.text).section_digests
    if (written.environment, list(written.inputs)) != (before.environment, before.inputs):
        new = {**new, "experiment": "its files have changed"}
    late = sorted(n for n in old.keys() | new.keys() if old.get(n) != new.get(n) and n != REWORDING)
    if late:
        raise InvalidInput(
            f"{PROPOSAL_FILE}: section {', '.join(late)} has changed, but the experiment ran on it as it was\n"
            "put it back and change the wording of the decision table only; a new experiment is the decision redo"
        )


def _unchanged(needed: NewProposalNeeded) -> AutoresearchError:
    after_crash = needed.because is not None and needed.because.record.kind == "result"
    if needed.because is None:
        return Pending(f"{_why(needed)}; edit it, then: autoresearch run")
    what = "crash" if after_crash else "rejection"
    return AuthorNeeded(
        f"{_why(needed)}\nnothing has changed since the {what}: edit {PROPOSAL_FILE}, then: autoresearch run",
        after_crash=after_crash,
    )


def ended_badly(ending: Ending) -> Rejected | None:
    """The error a finished but rejected project ends a command with (exit 5)."""
    if ending.standing == "accepted":
        return None
    body = ending.entry.record.body
    who = body.reviewer.person.name if isinstance(body, Approval | Acceptance) else "a person"
    return Rejected(f"{ending.standing} by {who}; the report says so: autoresearch report")
