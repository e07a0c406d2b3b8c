"""Derive a whole project again, offline, from what only the outside could have said.

Human decisions, model replies, nonces, times and raw results are taken from the
history; everything else (every prompt, rule, number, figure, message and commit) is
made again in a scratch repository by the same driver that made the project, and
compared record by record.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, JsonValue

from autoresearch.contents import Content, HeldFile, bytes_of
from autoresearch.driver import Driver, Written
from autoresearch.errors import AutoresearchError, InvalidInput, LedgerError, NotApproved, Pending, Rejected
from autoresearch.exchanges import reparse
from autoresearch.layout import (
    LOCK_FILE,
    PROPOSAL_FILE,
    SETTINGS_FILE,
    WORKFLOW_DIR,
    record_path,
    vouched_files,
)
from autoresearch.nodes import Nodes
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
    Seal,
    TryOut,
    TryWarrant,
    Warrant,
)
from autoresearch.records import (
    APART,
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
    Record,
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
from autoresearch.workflow import Step, Workflow, parse_workflow

B = TypeVar("B", bound=Body)
R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True)
class Derived:
    """One record made again."""

    entry: Entry
    """As recorded."""
    differences: tuple[str, ...]
    """Empty: the record and its commit are equal to the last bit."""


class Source(Protocol):
    """The project being replayed."""

    def entries(self) -> Sequence[Entry]: ...

    def commits(self) -> Sequence[Commit]: ...

    def read(self, path: str, commit: str) -> bytes: ...

    def changed_paths(self, commit: Commit) -> Mapping[str, FileChange]: ...

    def stored(self, sha256: str) -> HeldFile | None: ...


class Scratch(Protocol):
    """The repository it is made again in: a `ports.Ledger` that can repeat a person's own commits."""

    def entries(self) -> Sequence[Entry]: ...

    def head(self) -> str: ...

    def append(
        self,
        record: Record,
        files: Mapping[str, Content],
        *,
        after: str,
        author: Person,
        extra: Sequence[str] = (),
        seal: Seal | None = None,
    ) -> Entry: ...

    def payload(
        self,
        record: Record,
        files: Mapping[str, bytes],
        *,
        after: str,
        author: Person,
        when: datetime,
    ) -> bytes: ...

    def repeat_commit(
        self, commit: Commit, files: Mapping[str, bytes], changes: Mapping[str, FileChange] | None = None
    ) -> str: ...

    def read(self, path: str, commit: str) -> bytes: ...

    def stored(self, sha256: str) -> HeldFile | None: ...

    def note(self, key: str, data: bytes) -> None: ...

    def noted(self, key: str) -> bytes | None: ...

    def forget(self, key: str) -> None: ...

    def outputs_dir(self, run_id: str) -> Path: ...

    def clear_outputs(self) -> None: ...


class DivergedError(AutoresearchError):
    """The history does not follow from itself. Carries the first record that differs."""

    def __init__(self, derived: Derived) -> None:
        super().__init__(
            f"{derived.entry.record.kind} in {derived.entry.commit[:12]} is not what its inputs give"
        )
        self.derived = derived


def replay(
    source: Source,
    make_scratch: Callable[[Callable[[], datetime]], Scratch],
    workflow: Workflow,
    on_record: Callable[[Derived], None],
) -> int:
    """Returns how many records were made again, all equal. Raises DivergedError at the first that is not."""
    tape = Tape(source)
    scratch = make_scratch(tape.time_of_next)
    ledger = ComparingLedger(tape, scratch, on_record)
    ledger.begin()
    _run_to_the_end(_driver(ledger, tape, workflow), tape)
    while not tape.ended():  # a fork stands here
        ledger.repeat_fork()
        _run_to_the_end(_driver(ledger, tape, _workflow_then(tape)), tape)
    return tape.position


def _driver(ledger: "ComparingLedger", tape: "Tape", workflow: Workflow) -> Driver:
    return Driver(
        ledger=ledger,
        lock=_no_lock,
        workflow=workflow,
        nodes=Nodes(workflow, ledger, _ports(tape), Silent()),
        sandbox=lambda: RecordedSandbox(tape),
        reviewer=RecordedReviewer(tape),
        desk=RecordedDesk(tape),
        signer=RecordedSigner(tape),
        progress=Silent(),
        clock=RecordedClock(tape),
        entropy=RecordedEntropy(tape),
        sleep=lambda _: None,
        require_models=lambda _settings, _steps: None,
    )


def _workflow_then(tape: "Tape") -> Workflow:
    commit = workflow_in_force(tape.entries[: tape.position])[1]
    return parse_workflow(tape.source.read(f"{WORKFLOW_DIR}/workflow.yaml", commit).decode())


def _run_to_the_end(driver: Driver, tape: "Tape") -> None:
    """Run until the tape ends, or a fork comes next; again where the person had left, changed the settings and come back."""
    came_back = True
    stopped: AutoresearchError | None = None
    while came_back and not tape.ended() and not tape.at_fork():
        began = tape.position
        stopped = _run_once(driver)
        came_back = not tape.ended() and tape.position > began and isinstance(tape.next().record.body, Config)
    if tape.ended() or tape.at_fork():
        return
    if isinstance(stopped, Pending | Rejected):
        raise LedgerError(f"the replay stopped before the history did: {stopped}") from stopped
    if stopped is not None:
        raise stopped
    raise LedgerError(
        f"{len(tape.entries) - tape.position} records follow that the steps before them do not lead to, "
        f"the first a {tape.next().record.kind} in {tape.next().commit[:12]}"
    )


def _run_once(driver: Driver) -> AutoresearchError | None:
    """What stopped the driver short of an end, if anything did. Raises DivergedError."""
    try:
        driver.run()
    except DivergedError:
        raise
    except AutoresearchError as error:
        return error
    return None


class TapeEnded(AutoresearchError):
    """Everything recorded has been made again."""


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


class ComparingLedger:
    """Appends to the scratch repository and compares each record with the tape."""

    def __init__(self, tape: Tape, scratch: Scratch, on_record: Callable[[Derived], None]) -> None:
        self._tape = tape
        self._scratch = scratch
        self._on_record = on_record
        self._own = own_commits(tape.source)
        for name in (
            "entries", "head", "payload", "read", "stored", "note", "noted", "forget", "outputs_dir", "clear_outputs",
        ):  # fmt: skip
            setattr(self, name, getattr(scratch, name))

    entries: Callable[[], Sequence[Entry]]
    head: Callable[[], str]
    payload: Callable[..., bytes]
    read: Callable[[str, str], bytes]
    stored: Callable[[str], HeldFile | None]
    outputs_dir: Callable[[str], Path]
    clear_outputs: Callable[[], None]
    note: Callable[[str, bytes], None]
    noted: Callable[[str], bytes | None]
    forget: Callable[[str], None]

    def begin(self) -> None:
        """The first record is the person's own: copied, with its digests taken again."""
        first = self._tape.next()
        body = body_as(first.record, Proposal)
        files = _start_files(self._tape.source, first)
        self.append(
            first.record.model_copy(update={"body": body}),
            files,
            after="",
            author=first.author,
            extra=tuple(files),
        )

    def repeat_fork(self) -> None:
        """A person's own act, too: copied with its files and its signature."""
        entry, source = self._tape.next(), self._tape.source
        commit = next(commit for commit in source.commits() if commit.id == entry.commit)
        changed = source.changed_paths(commit)
        files = {
            path: source.read(path, entry.commit) for path in changed if path != record_path(entry.record)
        }
        signature = split(entry.raw)[1]
        seal = Seal(entry.when, signature) if signature else None
        self.append(
            entry.record, files, after=self.head(), author=entry.author, extra=tuple(files), seal=seal
        )

    def append(
        self,
        record: Record,
        files: Mapping[str, Content],
        *,
        after: str,
        author: Person,
        extra: Sequence[str] = (),
        seal: Seal | None = None,
    ) -> Entry:
        recorded = self._tape.next()
        if recorded.record.kind in APART and record.kind != recorded.record.kind:
            raise Pending(
                "the settings were changed or the project was forked here, while the work stood still"
            )
        made = self._scratch.append(record, files, after=after, author=author, extra=extra, seal=seal)
        differences = tuple(_differences(recorded, made))
        derived = Derived(recorded, differences)
        self._on_record(derived)
        if differences:
            raise DivergedError(derived)
        self._tape.position += 1
        for commit in self._own.get(recorded.commit, ()):
            source = self._tape.source
            self._scratch.repeat_commit(commit, own_files(source, commit), source.changed_paths(commit))
        if self._tape.ended() and made.record.kind != "fork":
            raise TapeEnded("the history ends here")
        return made


def own_commits(source: Source) -> dict[str, list[Commit]]:
    """The person's own commits, by the record's commit that they follow."""
    known = {entry.commit for entry in source.entries()}
    own: dict[str, list[Commit]] = {}
    last = ""
    for commit in source.commits():
        if commit.id in known:
            last = commit.id
        else:
            own.setdefault(last, []).append(commit)
    return own


GITLINK = "160000"
"""The mode of another repository's commit: there is nothing of it to read here."""


def own_files(source: Source, commit: Commit) -> dict[str, bytes]:
    changed = source.changed_paths(commit)
    kept = {path for path, change in changed.items() if change.status != "D" and change.mode != GITLINK}
    return {path: source.read(path, commit.id) for path in kept}


def _start_files(source: Source, first: Entry) -> dict[str, bytes]:
    special = (PROPOSAL_FILE, SETTINGS_FILE, LOCK_FILE, ".gitignore", f"{WORKFLOW_DIR}/")
    commit = next(commit for commit in source.commits() if commit.id == first.commit)
    paths = [path for path in source.changed_paths(commit) if path.startswith(special)]
    paths += vouched_files(first.record)
    return {path: source.read(path, first.commit) for path in paths}


def _differences(recorded: Entry, made: Entry) -> Iterator[str]:
    """Field by field; the commit id last, since it covers every file and the message."""
    before = recorded.record.model_dump(mode="json", by_alias=True)
    after = made.record.model_dump(mode="json", by_alias=True)
    yield from compare_json(before, after, "")
    if recorded.commit != made.commit and before == after:
        yield f"the commit is {recorded.commit[:12]} and comes out as {made.commit[:12]}: a file, the message or the author differs"


def compare_json(before: JsonValue, after: JsonValue, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() | after.keys():
            yield from compare_json(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from compare_json(old, new, f"{path}[{index}]")
    elif before != after:
        yield f"{path}: recorded {str(before)[:80]}, derived {str(after)[:80]}"


# ------------------------------------------------- the outside, as recorded


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
        return self.tape.next_as(Run).nonce


@dataclass(frozen=True)
class RecordedModel:
    tape: Tape

    @property
    def name(self) -> str:
        return self.tape.next().record.made_by.model

    def ask(self, request: Request[R], account: Account) -> Exchange[R]:  # noqa: ARG002 - nothing is spent
        """The recorded reply. Raises InvalidInput if the prompt made again is another one."""
        entry = self.tape.next()
        exchanges = entry.record.made_by.exchanges
        if not exchanges:
            raise LedgerError(f"the {entry.record.kind} in {entry.commit[:12]} has no exchange to replay")
        return reparse(self.tape.read(entry, exchanges[0].path), request)


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

    def approve(self, view: ApprovalView, try_out: TryOut) -> ApprovalAnswer:  # noqa: ARG002 - the decision was made on it
        entry = self.tape.next()
        body = body_as(entry.record, Approval)
        edited = {
            ref.path.removeprefix("edited/"): self.tape.read(entry, ref.path) for ref in body.edited_files
        }
        return ApprovalAnswer(
            decision=body.decision, shown=body.shown, reason=body.reason, attention=body.attention,
            forecasts=body.forecasts, forecasts_skipped=body.forecasts_skipped,
            edited=body.edited, edited_files=edited, tries=body.tries,
        )  # fmt: skip

    def accept(self, view: AcceptanceView) -> AcceptanceAnswer:  # noqa: ARG002 - likewise
        body = self.tape.next_as(Acceptance)
        return AcceptanceAnswer(body.decision, body.shown, body.claims, body.reason, body.attention)

    def confirm_settings(self, diff: str) -> bool:  # noqa: ARG002 - it is on record that they did
        return True


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


def _ports(tape: Tape) -> Callable[[str, Step, Settings], StepPorts]:
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


def _no_lock() -> AbstractContextManager[None]:
    return nullcontext()
