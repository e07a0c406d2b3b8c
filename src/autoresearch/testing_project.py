"""A whole project in one process, without terminal, engine or network: for tests and rehearsals.

`make_project` writes the first record into a real repository; `drive` goes on with it
as `autoresearch run` does, with a scripted reviewer and a `FakeSandbox`. Time stands
still and chance follows from the ledger's head, so that a walk which was interrupted
and resumed makes the very commits that an unbroken one makes.
"""

import hashlib
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from autoresearch import __version__, assets
from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.config import render_settings, settings_diff
from autoresearch.driver import Driver, Ending, Written
from autoresearch.errors import Pending
from autoresearch.fork import fork_at, signers
from autoresearch.layout import IGNORE_FILE, IGNORED, PROPOSAL_FILE, SETTINGS_FILE, WORKFLOW_DIR
from autoresearch.nodes import Nodes
from autoresearch.ports import (
    AcceptanceAnswer,
    AcceptanceView,
    ApprovalAnswer,
    ApprovalView,
    Model,
    Sandbox,
    Signer,
    TryOut,
)
from autoresearch.recorded import Silent
from autoresearch.records import (
    HUMAN,
    AcceptDecision,
    ApproveDecision,
    Attention,
    Person,
    Proposal,
    Record,
    RegisteredReviewer,
    Reviewer,
    Settings,
    Spend,
    Tool,
    WorkflowRef,
    clip,
    digest_of,
    sha256,
)
from autoresearch.settings_in_force import proposal_in_force, workflow_in_force
from autoresearch.steps.situation import StepPorts
from autoresearch.testing import PERSON, WHEN, FakeSandbox, FixedClock
from autoresearch.workflow import Step, parse_workflow

STILL = FixedClock(tick=timedelta(0))


# -------------------------------------------------------------------- project


def make_project(
    root: Path,
    text: str,
    *,
    title: str = "A study",
    author: Person = PERSON,
    settings: Settings | None = None,
    demonstration: bool = False,
    clock: FixedClock = STILL,
    workflow: str = assets.STANDARD,
    tool: Tool | None = None,
) -> GitLedger:
    """A new project in the empty or missing directory `root`, with a shipped workflow."""
    settings = settings or Settings()
    files = assets.workflow_files(assets.workflow_file(workflow))
    body = Proposal(
        project=sha256(text.encode())[:32],
        title=clip(title, 200),
        text=text,
        text_sha256=sha256(text.encode()),
        author=author,
        settings=settings,
        workflow=workflow_reference(files),
        tool=tool or Tool(version=__version__, lock_sha256=assets.tool_lock_digest()),
        demonstration=demonstration,
    )
    committed = {
        PROPOSAL_FILE: text.encode(),
        SETTINGS_FILE: render_settings(settings).encode(),
        IGNORE_FILE: IGNORED,
        **{f"{WORKFLOW_DIR}/{path}": data for path, data in files.items()},
    }
    record = Record(
        kind="proposal", cycle=1, attempt=1, step="start", parent=None, inputs={}, made_by=HUMAN, body=body
    )
    root.mkdir(parents=True, exist_ok=True)
    ledger = GitLedger.create(root, clock)
    ledger.append(record, committed, after="", author=author, extra=tuple(committed))
    return ledger


def workflow_reference(files: Mapping[str, bytes]) -> WorkflowRef:
    digests = {path: sha256(data) for path, data in files.items()}
    name = parse_workflow(files["workflow.yaml"].decode()).name
    return WorkflowRef(name=name, sha256=digest_of(dict(digests)), files=digests)


def make_fork(
    source: GitLedger, step: str, root: Path, *, reason: str = "", signer: Signer | None = None, person: Person = PERSON,
    workflow: Mapping[str, bytes] | None = None, clock: FixedClock = STILL,
) -> GitLedger:  # fmt: skip
    """A fork of `source` after the last record of `step`, as `autoresearch fork` makes it."""
    history = source.entries()
    last = next(e for e in reversed(history) if step in (e.record.step, e.record.kind, e.digest))
    root.mkdir(parents=True)
    ledger = GitLedger.create(root, clock)
    ledger.take_over(source, last.commit)
    ref = workflow_reference(workflow) if workflow else None
    body = fork_at(
        history, last, project=sha256(str(root).encode())[:32], reviewer=Reviewer(person=person), reason=reason,
        workflow=ref, pending=Spend(),
    )  # fmt: skip
    files = {f"{WORKFLOW_DIR}/{path}": data for path, data in (workflow or {}).items()}
    files[SETTINGS_FILE] = source.read(SETTINGS_FILE, source.head())
    driver = make_driver(ledger, ScriptedReviewer(person=person), signer=signer)
    driver.record_fork(body, files, signers(history, last))
    return ledger


# --------------------------------------------------------------------- people

Decide = Callable[[Any], "str | tuple[str, str] | ApprovalAnswer | AcceptanceAnswer"]
"""The view → a decision, a decision with its reason, or the whole answer."""
Decision = str | tuple[str, str] | Decide


@dataclass
class ScriptedReviewer:
    """Answers the gates from a list. `ports.ReviewPort`; raises Pending when the list is empty.

    `views` keeps what each gate showed.
    """

    decisions: list[Decision] = field(default_factory=list)
    person: Person = PERSON
    views: list[ApprovalView | AcceptanceView] = field(default_factory=list)
    try_out: TryOut = field(init=False)
    """The last gate's, for a decision that tries first."""

    def identity(self) -> Reviewer:
        return Reviewer(person=self.person)

    def approve(self, view: ApprovalView, try_out: TryOut) -> ApprovalAnswer:
        self.try_out = try_out
        answer = self._next(view)
        if isinstance(answer, ApprovalAnswer):
            return answer
        decision, reason = answer
        return approval(view, decision, reason)

    def accept(self, view: AcceptanceView) -> AcceptanceAnswer:
        answer = self._next(view)
        if isinstance(answer, AcceptanceAnswer):
            return answer
        decision, reason = answer
        return acceptance(view, decision, reason)

    def confirm_settings(self, diff: str) -> bool:  # noqa: ARG002 - a desk hands over only what was confirmed
        return True

    def _next(self, view: ApprovalView | AcceptanceView) -> Any:
        self.views.append(view)
        if not self.decisions:
            raise Pending("the script holds no further decision; come back with: autoresearch review")
        decision = self.decisions.pop(0)
        if callable(decision):
            decision = decision(view)  # type: ignore[assignment]  # what it gives is looked at next
        return (decision, "") if isinstance(decision, str) else decision


class NoKey:
    """Somebody without any key. `ports.Signer`."""

    def reviewer(self, person: Person, registered: Sequence[RegisteredReviewer]) -> Reviewer:  # noqa: ARG002 - none is theirs
        raise Pending(f"{person} has no key here")

    def sign(self, payload: bytes, key: RegisteredReviewer) -> str:  # noqa: ARG002 - likewise
        raise Pending(f"nobody here has {key.fingerprint}")


def approval(view: ApprovalView, decision: ApproveDecision, reason: str = "", **more: Any) -> ApprovalAnswer:
    """An answer to what `view` shows; `more` are its other fields."""
    return ApprovalAnswer(
        decision=decision, shown=digest_of(view.bundle), reason=reason, attention=_attention(), **more
    )


def acceptance(view: AcceptanceView, decision: AcceptDecision, reason: str = "") -> AcceptanceAnswer:
    """An answer that takes every claim, or rejects every claim."""
    verdict = "reject" if decision == "reject" else "accept"
    return AcceptanceAnswer(
        decision=decision,
        shown=digest_of(view.subject),
        claims={claim.id: verdict for claim in view.conclusion.claims},  # type: ignore[misc]
        reason=reason,
        attention=_attention(),
        second_look=view.check.surprise.needs_second_look,
    )


def _attention() -> Attention:
    return Attention(opened_at=WHEN, decided_at=WHEN)


@dataclass
class TextDesk:
    """What the person wrote outside the gates, from lists. `driver.Desk`.

    With no further proposal it stays as it is on record; `changed` settings are taken
    in once, when the driver next asks.
    """

    ledger: GitLedger
    proposals: list[str | Written] = field(default_factory=list)
    changed: Settings | None = None

    def proposal(self) -> Written:
        if self.proposals:
            written = self.proposals.pop(0)
            return Written(written) if isinstance(written, str) else written
        entries = self.ledger.entries()
        last = entries[-1].record
        body = proposal_in_force(entries, last.cycle, last.attempt).record.body
        assert isinstance(body, Proposal)
        return Written(body.text, body.environment, None, body.inputs, body.sources)

    def changed_proposal(self, before: Proposal) -> Written | None:
        written = self.proposal() if self.proposals else None
        return None if written is None or written.same_as(before) else written

    def offer_edit(self, why: str) -> bool:  # noqa: ARG002 - no editor here
        return False

    def settings(self, in_force: Settings) -> tuple[Settings, str, bytes] | None:
        new, self.changed = self.changed, None
        if new is None:
            return None
        return new, settings_diff(in_force, new), render_settings(new).encode()


# ---------------------------------------------------------------------- drive


@dataclass(frozen=True)
class LedgerEntropy:
    """Chance that follows from the head: the same at the same place of the same history."""

    ledger: GitLedger

    def token_hex(self, size: int) -> str:
        return hashlib.shake_256(self.ledger.head().encode()).hexdigest(size)


def shifted(arm: str, seed: int, config: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - as a trial is called
    """A trial as the tests' small study has it: noise, plus one in the arm `shifted`."""
    rng = random.Random(seed)  # noqa: S311 - a trial's noise
    shift = 1.0 if arm == "shifted" else 0.0
    return {"numbers": [rng.gauss(shift, 1.0) for _ in range(20)]}


ModelFor = Callable[[str], Model | None]
"""What a step's model is called in the settings → the model; None: the step reads the proposal."""


def make_driver(
    ledger: GitLedger,
    reviewer: ScriptedReviewer,
    *,
    sandbox: Sandbox | None = None,
    desk: TextDesk | None = None,
    signer: Signer | None = None,
    model_for: ModelFor = lambda _: None,
    require_models: Callable[[Settings, Collection[str]], None] = lambda _settings, _steps: None,
) -> Driver:
    """The driver of `autoresearch run`, over doubles."""
    engine = sandbox or FakeSandbox(shifted)
    first = workflow_in_force(ledger.entries())[1]
    text = ledger.read(f"{WORKFLOW_DIR}/workflow.yaml", first).decode()
    workflow = parse_workflow(text)

    def ports_for(name: str, step: Step, settings: Settings) -> StepPorts:
        choice = settings.model_of(name, step.model)
        return StepPorts(
            model=model_for(choice.use) if step.prompt else None,
            choice=choice,
            prompt=lambda path: ledger.read(f"{WORKFLOW_DIR}/{path}", first).decode(),
            prompt_path=step.prompt,
            open_sandbox=lambda: engine,
            clock=STILL,
            entropy=LedgerEntropy(ledger),
            sleep=lambda _: None,
            note=ledger.note,
            noted=ledger.noted,
            outputs_dir=ledger.outputs_dir,
            on_trials=lambda _state, _total, _limits: None,
        )

    return Driver(
        ledger=ledger,
        lock=ledger.lock,
        workflow=workflow,
        nodes=Nodes(workflow, ledger, ports_for, Silent()),
        sandbox=lambda: engine,
        reviewer=reviewer,
        desk=desk or TextDesk(ledger),
        signer=signer or NoKey(),
        progress=Silent(),
        clock=STILL,
        entropy=LedgerEntropy(ledger),
        sleep=lambda _: None,
        require_models=require_models,
    )


def drive(ledger: GitLedger, decisions: Sequence[Decision], **doubles: Any) -> Ending:
    """Go on with the project until its end. Raises Pending once `decisions` are used up."""
    return make_driver(ledger, ScriptedReviewer(list(decisions)), **doubles).run()
