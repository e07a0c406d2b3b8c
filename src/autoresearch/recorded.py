"""The outside of a project, as its history has it: decisions, replies, nonces, times and raw results.

One place in the recorded history, the tape, is where all of it is read from: what
comes next on it is what a clock, a model, a sandbox or a person has to say.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel

from autoresearch.comparison import Difference, fields
from autoresearch.contents import HeldFile, bytes_of
from autoresearch.driver import Written
from autoresearch.errors import AutoresearchError, InvalidInput, LedgerError, NotApproved
from autoresearch.exchanges import reparse
from autoresearch.layout import SETTINGS_FILE, WORKFLOW_DIR
from autoresearch.ports import (
    NOTHING,
    AcceptanceAnswer,
    AcceptanceView,
    Account,
    ApprovalAnswer,
    ApprovalView,
    Collected,
    Commit,
    Entry,
    Exchange,
    FileChange,
    Job,
    JobState,
    Model,
    Needs,
    Request,
    TryOut,
    TryWarrant,
    Warrant,
)
from autoresearch.records import (
    Acceptance,
    Approval,
    Body,
    Check,
    Config,
    Isolation,
    Person,
    Preflight,
    Probe,
    Proposal,
    RegisteredReviewer,
    ResourceLimits,
    Result,
    Reviewer,
    Run,
    Settings,
    body_as,
)
from autoresearch.settings_in_force import workflow_in_force
from autoresearch.ssh_signature import split
from autoresearch.steps.check import RECHECKS, REFUSED_RULE
from autoresearch.steps.preflight import LIMITS_RULE
from autoresearch.steps.situation import StepPorts
from autoresearch.vouched import finder, reader
from autoresearch.workflow import Step

B = TypeVar("B", bound=Body)
R = TypeVar("R", bound=BaseModel)


class Source(Protocol):
    """The project being replayed."""

    def entries(self) -> Sequence[Entry]: ...

    def commits(self) -> Sequence[Commit]: ...

    def read(self, path: str, commit: str) -> bytes: ...

    def changed_paths(self, commit: Commit) -> Mapping[str, FileChange]: ...

    def stored(self, sha256: str) -> HeldFile | None: ...


class TapeEnded(AutoresearchError):
    """Everything recorded has been made again."""


class AskedOtherwise(AutoresearchError):
    """What is on record answers something else than what is asked now: another prompt, or another screen."""

    def __init__(self, entry: Entry, *differences: Difference) -> None:
        super().__init__(str(differences[0]))
        self.entry = entry
        self.differences = differences


class Tape:
    """The recorded history, read in order."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.entries = list(source.entries())
        self.position = 0
        self.read = reader(source)
        self.find = finder(source)

    def ended(self) -> bool:
        return self.position >= len(self.entries)

    def next(self) -> Entry:
        """The record that comes next. Raises TapeEnded."""
        if self.ended():
            raise TapeEnded("the history ends here")
        return self.entries[self.position]

    def at_fork(self) -> bool:
        return not self.ended() and self.next().record.kind == "fork"

    def next_as(self, body_type: type[B]) -> B:
        return body_as(self.next().record, body_type)

    def time_of_next(self) -> datetime:
        return self.next().when


@dataclass(frozen=True)
class RecordedClock:
    tape: Tape

    def now(self) -> datetime:
        return self.tape.time_of_next()

    def monotonic(self) -> float:
        return 0.0


@dataclass(frozen=True)
class RecordedEntropy:
    tape: Tape

    def token_hex(self, size: int) -> str:  # noqa: ARG002 - the recorded nonce has its size
        return self.tape.next_as(Approval).nonce or ""


@dataclass(frozen=True)
class RecordedModel:
    tape: Tape

    @property
    def name(self) -> str:
        return self.tape.next().record.made_by.model

    def ask(self, request: Request[R], account: Account) -> Exchange[R]:  # noqa: ARG002 - nothing is spent
        """The recorded reply. Raises AskedOtherwise if it does not answer the prompt that is made again."""
        entry = self.tape.next()
        exchanges = entry.record.made_by.exchanges
        if not exchanges:
            raise LedgerError(f"the {entry.record.kind} in {entry.commit[:12]} has no exchange to replay")
        try:
            return reparse(self.tape.read(entry, exchanges[0].path), request)
        except InvalidInput as error:
            raise AskedOtherwise(entry, Difference("exchange", "another one", str(error))) from error


@dataclass(frozen=True)
class RecordedSandbox:
    """Gives back what was collected; runs nothing."""

    tape: Tape

    def isolation(self, needs: Needs = NOTHING) -> Isolation:  # noqa: ARG002 - it is on record
        """As the gate that comes next shows it, or the run that comes next was approved for."""
        body = self.tape.next().record.body
        if isinstance(body, Run):
            approval = next(e for e in self.tape.entries if e.digest == body.approval)
            return body_as(approval.record, Approval).bundle.isolation
        return self.tape.next_as(Approval).bundle.isolation

    def probe(self) -> Probe | None:
        return self.tape.next_as(Run).probe

    def check_limits(self, limits: ResourceLimits) -> None:  # noqa: ARG002 - the machine that could not give them is gone
        for finding in self.tape.next_as(Preflight).findings:
            if finding.check == LIMITS_RULE:
                raise InvalidInput(finding.explanation)

    def submit(self, job: Job, warrant: Warrant | TryWarrant) -> None:  # noqa: ARG002 - the tape knows what came of it
        """Nothing starts in a replay. Raises NotApproved where the door is on record as shut."""
        body = self.tape.next().record.body
        for finding in body.findings if isinstance(body, Check) else ():
            if finding.check == REFUSED_RULE:
                raise NotApproved(finding.evidence)

    def poll(self, run_id: str) -> JobState:  # noqa: ARG002 - the tape knows which
        body = self.tape.next().record.body
        if isinstance(body, Check) and any(finding.check == REFUSED_RULE for finding in body.findings):
            return JobState("absent")
        lost = isinstance(body, Result) and body.log is None
        return JobState("absent" if lost else "ended")

    def cancel(self, run_id: str) -> None:
        """Nothing runs."""

    def collect(self, run_id: str, limits: ResourceLimits, into: Path) -> list[Collected | None]:  # noqa: ARG002 - likewise
        """What all workers left, as it was put together then."""
        return [self._collected()]

    def _collected(self) -> Collected:
        entry = self.tape.next()
        body = entry.record.body
        files = {ref.path: self.tape.find(entry, ref.path) for ref in body.files()}
        if isinstance(body, Check):
            facts = next(
                b.facts for e in reversed(self.tape.entries) if isinstance(b := e.record.body, Result)
            )
            return Collected(
                facts, {path.removeprefix(RECHECKS): data for path, data in files.items()}, b"", False
            )
        result = body_as(entry.record, Result)
        log = bytes_of(files.pop("log.txt", b""))
        return Collected(
            result.facts, files, log, result.log_truncated, tuple(result.refused), result.workers_lost
        )

    def remove(self, run_id: str) -> None:
        """There is nothing."""


@dataclass(frozen=True)
class RecordedReviewer:
    tape: Tape

    def identity(self) -> Reviewer:
        entry = self.tape.next()
        body = entry.record.body
        if isinstance(body, Approval | Acceptance | Config):
            return body.reviewer
        return Reviewer(person=entry.author)

    def approve(self, view: ApprovalView, try_out: TryOut) -> ApprovalAnswer:  # noqa: ARG002 - what came of tries is on record
        entry = self.tape.next()
        body = body_as(entry.record, Approval)
        _require_same(entry, body.bundle, view.bundle, "body.bundle")
        edited = {
            ref.path.removeprefix("edited/"): self.tape.read(entry, ref.path) for ref in body.edited_files
        }
        return ApprovalAnswer(
            decision=body.decision, shown=body.shown, reason=body.reason, attention=body.attention,
            forecasts=body.forecasts, forecasts_skipped=body.forecasts_skipped,
            edited=body.edited, edited_files=edited, tries=body.tries,
        )  # fmt: skip

    def accept(self, view: AcceptanceView) -> AcceptanceAnswer:
        body = self.tape.next_as(Acceptance)
        _require_same(self.tape.next(), body.subject, view.subject, "body.subject")
        return AcceptanceAnswer(
            body.decision, body.shown, body.claims, body.reason, body.attention, body.second_look
        )

    def confirm_settings(self, diff: str) -> bool:  # noqa: ARG002 - it is on record that they did
        return True


def _require_same(entry: Entry, recorded: BaseModel, shown: BaseModel, path: str) -> None:
    """A decision stands for what was on the screen. Raises AskedOtherwise if that is not made again."""
    found = tuple(fields(recorded.model_dump(mode="json"), shown.model_dump(mode="json"), path))
    if found:
        raise AskedOtherwise(entry, *found)


@dataclass(frozen=True)
class RecordedSigner:
    """Gives back the signatures on record: no key is needed to derive a commit again."""

    tape: Tape

    def reviewer(self, person: Person, registered: Sequence[RegisteredReviewer]) -> Reviewer:  # noqa: ARG002 - who signed is on record
        body = self.tape.next().record.body
        if isinstance(body, Approval | Acceptance | Config) and body.reviewer.key is not None:
            return body.reviewer
        raise NotApproved(
            f"{body.kind} in {self.tape.next().commit[:12]} names no key, and keys are registered"
        )

    def sign(self, payload: bytes, key: RegisteredReviewer) -> str:  # noqa: ARG002 - it is on record
        signature = split(self.tape.next().raw)[1]
        if not signature:
            raise NotApproved(f"commit {self.tape.next().commit[:12]} names a key and is not signed")
        return signature


@dataclass(frozen=True)
class RecordedDesk:
    tape: Tape

    def proposal(self) -> Written:
        entry = self.tape.next()
        body = body_as(entry.record, Proposal)
        lock = body.environment.lock if body.environment else None
        texts = [source.text for source in body.sources if source.text]
        return Written(
            body.text,
            body.environment,
            self.tape.read(entry, lock.path) if lock else None,
            body.inputs,
            body.sources,
            {ref.path: self.tape.read(entry, ref.path) for ref in texts},
        )

    def changed_proposal(self, before: Proposal) -> Written | None:  # noqa: ARG002 - the tape says whether it was
        taken_in = isinstance(self.tape.next().record.body, Proposal)
        return self.proposal() if taken_in else None

    def offer_edit(self, why: str) -> bool:  # noqa: ARG002 - the tape has the edited text already
        return False

    def settings(self, in_force: Settings) -> tuple[Settings, str, bytes] | None:  # noqa: ARG002 - the tape says when
        if self.tape.ended() or not isinstance(body := self.tape.next().record.body, Config):
            return None
        return body.settings, body.diff, self.tape.source.read(SETTINGS_FILE, self.tape.next().commit)


class Silent:
    """A progress that says nothing."""

    def step(self, step: str, cycle: int, attempt: int) -> None: ...

    def recorded(self, entry: Entry, seconds: float) -> None: ...

    def trials(self, state: JobState, total: int, limits: ResourceLimits) -> None: ...

    def replying(self, model: str, tokens: int, seconds: float) -> None: ...

    def say(self, line: str) -> None: ...


def recorded_ports(tape: Tape) -> Callable[[str, Step, Settings], StepPorts]:
    def ports_for(name: str, step: Step, settings: Settings) -> StepPorts:
        choice = settings.model_of(name, step.model)
        model: Model | None = RecordedModel(tape) if step.prompt and choice.use != "none" else None
        frozen = workflow_in_force(tape.entries[: max(tape.position, 1)])[1]
        return StepPorts(
            model=model,
            choice=choice,
            prompt=lambda path: tape.source.read(f"{WORKFLOW_DIR}/{path}", frozen).decode(),
            prompt_path=step.prompt,
            open_sandbox=lambda: RecordedSandbox(tape),
            clock=RecordedClock(tape),
            entropy=RecordedEntropy(tape),
            sleep=lambda _: None,
            note=lambda _key, _data: None,
            noted=lambda _key: None,
            on_trials=lambda _state, _total, _limits: None,
            outputs_dir=lambda _run_id: Path(),  # nothing is collected in a replay
        )

    return ports_for
