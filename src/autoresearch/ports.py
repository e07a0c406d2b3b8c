"""What the graph needs from the outside: one Protocol per noun.

Real adapters live in `adapters/`, doubles in `testing.py`; both pass the same
conformance checks. Clock, randomness and terminal come in through here too,
so nothing in a test needs patching.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from pydantic import BaseModel

from autoresearch.contents import Content, HeldFile
from autoresearch.records import (
    AcceptDecision,
    Approval,
    ApproveDecision,
    Attention,
    Bundle,
    CallCaps,
    Check,
    ClaimVerdict,
    Conclusion,
    Critique,
    DataInput,
    Environment,
    Forecast,
    HostFacts,
    Isolation,
    Monitoring,
    Person,
    Plan,
    PlanDraft,
    Prediction,
    Preflight,
    Probe,
    Record,
    RegisteredReviewer,
    ResourceLimits,
    Result,
    Reviewer,
    Spend,
    Subject,
    TrialSpec,
    Tryout,
    Usage,
)

# ------------------------------------------------------------- clock, chance


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, with a time zone."""
        ...

    def monotonic(self) -> float:
        """Seconds, for durations only."""
        ...


class Entropy(Protocol):
    def token_hex(self, size: int) -> str:
        """`size` random bytes in hex."""
        ...


# --------------------------------------------------------------------- ledger


@dataclass(frozen=True)
class Entry:
    """One record of the ledger, with the commit that holds it."""

    record: Record
    digest: str
    commit: str
    """40 hex digits."""
    when: datetime
    author: Person
    raw: bytes = b""
    """The commit object as git stores it: what a signature covers, and the signature."""

    @property
    def place(self) -> str:
        """The attempt's directory, e.g. `cycles/01/attempt-1`."""
        return attempt_dir(self.record.cycle, self.record.attempt)


def attempt_dir(cycle: int, attempt: int) -> str:
    return f"{cycle_dir(cycle)}/attempt-{attempt}"


def cycle_dir(cycle: int) -> str:
    return f"cycles/{cycle:02d}"


@dataclass(frozen=True)
class Commit:
    """A commit as git has it, before anybody believes its message."""

    id: str
    parents: tuple[str, ...]
    author: Person
    when: datetime
    message: str
    raw: bytes = b""
    """The object as git stores it."""


class FileChange(NamedTuple):
    """What became of one path between two commits."""

    status: Literal["A", "M", "D"]
    """As git has it: added, modified, deleted."""
    mode: str
    """Six digits or fewer, as the tree has it; for `D` the mode before."""
    oid: str
    before: str
    """Object id before the change; empty for `A`."""


class History(Protocol):
    """The same history, read without believing it: what `verify` works on."""

    def commits(self) -> Sequence[Commit]:
        """First-parent history, oldest first."""
        ...

    def read(self, path: str, commit: str) -> bytes: ...

    def changed_paths(self, commit: Commit) -> Mapping[str, FileChange]:
        """Against the first parent, or against nothing."""
        ...

    def oddities(self) -> Sequence[str]:
        """What the repository's own check finds, and what would make it show another history."""
        ...

    def stored(self, sha256: str) -> HeldFile | None: ...


@dataclass(frozen=True)
class Seal:
    """A signature, and the time that the commit it covers states."""

    when: datetime
    signature: str
    """Armored, as `ssh-keygen -Y sign` writes it."""


class Ledger(Protocol):
    """The project's history, read as the sequence of its records."""

    def entries(self) -> Sequence[Entry]:
        """All records, oldest first. Raises LedgerError for a history this tool did not write."""
        ...

    def head(self) -> str:
        """The branch's commit id."""
        ...

    def append(
        self,
        record: Record,
        files: Mapping[str, Content],
        *,
        after: str,
        author: Person,
        extra: Sequence[str] = (),
        seal: "Seal | None" = None,
    ) -> Entry:
        """Commit `record` with `files` (repository path → content) as the child of commit `after`.

        Raises Stale if the branch is no longer at `after`; nothing is changed then.
        """
        ...

    def payload(
        self,
        record: Record,
        files: Mapping[str, bytes],
        *,
        after: str,
        author: Person,
        when: datetime,
    ) -> bytes:
        """What a signature of the commit that `append` would make at `when` covers. Moves nothing."""
        ...

    def read(self, path: str, commit: str) -> bytes:
        """The bytes of `path` (from the repository's root) as of `commit`. Raises LedgerError."""
        ...

    def stored(self, sha256: str) -> HeldFile | None:
        """A file that was too large to commit, by digest; None in a clone without it."""
        ...

    def outputs_dir(self, run_id: str) -> Path:
        """A new, empty directory for what a run leaves, until it is committed."""
        ...

    def clear_outputs(self) -> None:
        """Remove every `outputs_dir`: what counts of them is committed, or will be collected again."""
        ...

    def note(self, key: str, data: bytes) -> None:
        """Keep `data` in the journal, durably, until its record exists."""
        ...

    def noted(self, key: str) -> bytes | None: ...

    def forget(self, key: str) -> None: ...


LEFT_AT_GATES = "left-at-gates"
"""The journal's note of what reviewers did at gates that they left; of a cycle that ended nothing is kept."""


# -------------------------------------------------------------------- sandbox


@dataclass(frozen=True)
class Needs:
    """What a plan asks of the machine beyond the sandbox's own image."""

    environment: Environment | None = None
    lock: bytes | None = None
    """The bytes of the environment's lock, where it has one."""
    inputs: Sequence[DataInput] = ()
    """Data of the person's, read-only at `/data/<name>`."""
    gpus: int = 0


NOTHING = Needs()


@dataclass(frozen=True)
class Job:
    """Everything that goes into a sandbox, in the bytes that go in."""

    run_id: str
    """Deterministic; names containers and volumes."""
    files: Mapping[str, bytes]
    """Path below the job's input directory → bytes: the plan's `experiment/…` files."""
    trials: Sequence[TrialSpec]
    config: Mapping[str, object]
    limits: ResourceLimits
    command: Sequence[str] = ()
    """The program that runs once a trial; empty: `run_trial` is called."""
    needs: Needs = NOTHING


@dataclass(frozen=True)
class Warrant:
    """Why a job may run: the approval, and the run record that consumed it."""

    project: Record
    """The project's first record, kind proposal."""
    plan: Record
    approval: Entry
    run: Entry
    earlier: Sequence[Entry]
    """Every record before the approval, oldest first: they say which keys counted when it was given."""
    purpose: Literal["run", "recheck"] = "run"
    later: Sequence[Entry] = ()
    """For a recheck, every record after the run's: none of them may be a fork, which voids what was approved."""


@dataclass(frozen=True)
class TryWarrant:
    """Why a job may be tried before the decision: a person typed the digest of what was shown.

    It covers one trial an arm on seeds that no run is ever given, and yields no result.
    """

    project: Record
    plan: Record
    bundle: Bundle
    """What the gate shows."""
    confirmed: str
    """The digest that the reviewer confirmed."""
    nonce: str
    """Drawn for this try; its seeds follow from it and the plan."""
    earlier: Sequence[Entry]
    """Every record up to here, oldest first: they say which keys count."""
    reviewer: Reviewer
    signature: str = ""
    """Of `payload` by the reviewer's key, where the project has reviewers with keys."""

    @property
    def payload(self) -> bytes:
        """What is signed; no commit looks like it, so the signature is good for nothing else."""
        return f"autoresearch try of {self.confirmed} with {self.nonce}\n".encode()


@dataclass(frozen=True)
class JobState:
    phase: Literal["running", "ended", "absent"]
    trials_done: int = 0
    """As the harness reports it; self-reported, for progress only."""
    elapsed_seconds: float = 0.0
    memory_mb: float | None = None


@dataclass(frozen=True)
class Collected:
    """What a finished job, or one worker of it, left; read after its death."""

    facts: HostFacts
    files: Mapping[str, Content]
    """`trials.jsonl`, `arrays/…` and `artifacts/…`, filtered."""
    log: bytes
    log_truncated: bool
    refused: Sequence[str] = ()
    """Outputs that were not taken, each with the reason."""
    workers_lost: int = 0
    """Of how many workers nothing is left."""


class Sandbox(Protocol):
    """Runs approved bytes, isolated. `submit`, then `poll` until ended, then `collect`, `remove`.

    A job with `limits.workers` above 1 is spread over as many workers (`jobs.shares`), each
    isolated from the others and with the limits for itself.
    """

    def isolation(self, needs: Needs = NOTHING) -> Isolation:
        """What a job with these needs would run in now; its image is made first where it is missing.

        Raises BackEndMissing with the mend, for an environment, data or GPUs that are not
        there or that this tier cannot give, too.
        """
        ...

    def probe(self) -> Probe | None:
        """What trying this isolation found, now or earlier on the same engine since it was started.

        Raises BackEndMissing if anything is not contained. None: there is nothing to try.
        """
        ...

    def check_limits(self, limits: ResourceLimits) -> None:
        """Raises InvalidInput naming the limit that this machine cannot give."""
        ...

    def submit(self, job: Job, warrant: Warrant | TryWarrant) -> None:
        """Start `job`. Calls the door first: raises NotApproved and creates nothing unless
        the warrant covers exactly these bytes. Raises SandboxFailed if the engine fails.
        """
        ...

    def poll(self, run_id: str) -> JobState:
        """`running` while any worker runs; `absent` once nothing is left of every worker."""
        ...

    def cancel(self, run_id: str) -> None:
        """Kill what runs; what it left can be collected. Nothing happens if nothing runs."""
        ...

    def collect(self, run_id: str, limits: ResourceLimits, into: Path) -> Sequence[Collected | None]:
        """Stream the outputs of an ended job into the existing directory `into`, where they stay.

        One for each worker, in order; None where nothing of it is left. Takes nothing away.
        Raises SandboxFailed, also if there is no room for them.
        """
        ...

    def remove(self, run_id: str) -> None:
        """Kill and delete everything of this job. Nothing happens if there is nothing."""
        ...


# ---------------------------------------------------------------------- model

Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True)
class Request(Generic[Reply]):
    """One question to a model: a rendered prompt and the type its answer must have."""

    step: str
    system: str
    prompt: str
    reply_type: type[Reply]


@dataclass(frozen=True)
class Exchange(Generic[Reply]):
    """What was asked and what came back. `record` is what is committed."""

    reply: Reply
    model: str
    spent: Spend
    """On this exchange, and since the last record of a model on calls that brought none."""
    record: bytes
    """JSON of request, reply, usage, request id and timing; no headers, no secrets."""


class Account(Protocol):
    """What a model may still spend. Every call is reserved before it is made, durably."""

    @property
    def call(self) -> CallCaps: ...

    @property
    def spent(self) -> Spend:
        """Since the last record of a model, what is reserved included."""
        ...

    def reserve(self, input_tokens: int) -> float:
        """Seconds that a call with so much input may take. Raises BudgetSpent naming the setting."""
        ...

    def settle(self, usage: Usage | None, seconds: float) -> None:
        """The reserved call took this. None: it was turned away, so nothing was billed."""
        ...

    def keep(self, seconds: float) -> None:
        """The reserved call broke off, and may have been billed: the reservation counts as spent."""
        ...


class Model(Protocol):
    @property
    def name(self) -> str:
        """As it stands in trailers, e.g. `claude-…`."""
        ...

    def ask(self, request: Request[Reply], account: Account) -> Exchange[Reply]:
        """Raises ModelFailed if no valid reply came, BudgetSpent before a call that the budget
        does not cover, BackEndMissing without a credential.
        """
        ...


# ------------------------------------------------------------------- reviewer


@dataclass(frozen=True)
class ApprovalView:
    """Everything the approve gate shows."""

    bundle: Bundle
    title: str
    question: str
    plan: Plan
    critique: Critique
    prediction: Prediction
    preflight: Preflight
    files: Mapping[str, bytes]
    """The experiment's files as they would run."""
    previous_files: Mapping[str, bytes]
    """As last approved or refused; empty at the first gate."""
    previous_plan: Plan | None
    """The plan that those files belonged to; None at the first gate."""
    history: Sequence[str]
    """One line per earlier decision or loss in this cycle, oldest first."""
    author: Person
    """Who wrote the proposal."""
    reviewer: Person
    """Who is asked now."""
    ask_forecast: bool
    """Ask for the reviewer's own forecast first."""
    model: str
    cost_usd: str
    expected_trials: int
    cap_usd: str = "none"
    """The budget that `cost_usd` counts against."""
    tries: Sequence[Tryout] = ()
    """What was tried at this gate before, and whether it ran."""
    lock: Mapping[str, bytes] = field(default_factory=dict)
    """The environment's lock by its path, where the plan names one."""
    power: str = ""
    """What effect this many trials can show, in our words."""
    previous_critique: Critique | None = None
    """The one behind the last decision; None at the first gate."""
    author_record: str = ""
    """How the author's forecasts in this project came out so far; empty before the first result."""
    reviewer_record: str = ""
    before: str = ""
    """That these files ran or were tried before, or that their result is known; empty if nothing of that is so."""
    known: Sequence[str] = ()
    """What the project that this one was forked from had come to by then, a line each."""


@dataclass(frozen=True)
class ApprovalAnswer:
    decision: ApproveDecision
    shown: str
    """Digest of the bundle that was on the screen."""
    reason: str
    attention: Attention
    forecasts: Sequence[Forecast] = ()
    forecasts_skipped: bool = False
    edited: PlanDraft | None = None
    edited_files: Mapping[str, bytes] = field(default_factory=dict)
    """Paths as in `ApprovalView.files`."""
    tries: Sequence[Tryout] = ()
    """All that the reviewer knew of when deciding."""


TryOut = Callable[[str], Tryout]
"""Let the code that the gate shows run one trial an arm, given the digest that the reviewer
typed. Raises AutoresearchError if it could not be tried; then nothing was."""


@dataclass(frozen=True)
class AcceptanceView:
    """Everything the accept gate shows."""

    subject: Subject
    title: str
    plan: Plan
    forecasts: Sequence[Forecast]
    """The author's and the reviewer's."""
    approval: Approval
    result: Result
    check: Check
    conclusion: Conclusion
    monitoring: Monitoring
    critique: Critique
    log: str
    history: Sequence[str]
    reviewer: Person
    forecast_records: Sequence[str] = ()
    """How each forecaster's earlier forecasts in this project came out, a line each."""
    known: Sequence[str] = ()
    """As in `ApprovalView`."""


@dataclass(frozen=True)
class AcceptanceAnswer:
    decision: AcceptDecision
    shown: str
    claims: Mapping[str, ClaimVerdict]
    reason: str
    attention: Attention
    second_look: bool
    """The gate asked twice, as a result very far from its forecast calls for."""


class ReviewPort(Protocol):
    """A person at a gate. Every method raises Pending rather than decide without one."""

    def identity(self) -> Reviewer: ...

    def approve(self, view: ApprovalView, try_out: TryOut) -> ApprovalAnswer: ...

    def accept(self, view: AcceptanceView) -> AcceptanceAnswer: ...

    def confirm_settings(self, diff: str) -> bool:
        """Show the diff of `autoresearch.toml`; True if the person confirms it by typing."""
        ...


class Signer(Protocol):
    """A person's own key."""

    def reviewer(self, person: Person, registered: Sequence[RegisteredReviewer]) -> Reviewer:
        """`person` with the registered key that can sign here. Raises Pending with the mend if none can."""
        ...

    def sign(self, payload: bytes, key: RegisteredReviewer) -> str:
        """An armored signature of `payload` for git. Raises Pending if the person or the key would not."""
        ...


# ------------------------------------------------------------------- progress


class Progress(Protocol):
    """Where a person sees that work goes on. Standard error, or nowhere."""

    def step(self, step: str, cycle: int, attempt: int) -> None:
        """A step begins."""
        ...

    def recorded(self, entry: Entry, seconds: float) -> None:
        """A record was committed."""
        ...

    def trials(self, state: JobState, total: int, limits: ResourceLimits) -> None: ...

    def replying(self, model: str, tokens: int, seconds: float) -> None:
        """A reply is coming in; `tokens` is an estimate. None of its text is shown."""
        ...

    def say(self, line: str) -> None: ...


Sleep = Callable[[float], None]
