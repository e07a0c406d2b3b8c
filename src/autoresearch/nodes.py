"""The nodes of the graph: look a step up in the ledger, or run it and commit.

Resuming is walking from the start again. A step that is on record is returned as it
is, under its key (cycle, attempt, step); one that is missing runs. LangGraph's state
carries digests only and no answer ever travels through it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypedDict

from langgraph.types import interrupt

from autoresearch.decisions import GATE_INPUTS, require_decided
from autoresearch.errors import AutoresearchError, LedgerError, Rejected
from autoresearch.layout import file_path
from autoresearch.ports import Entry, Ledger, Progress
from autoresearch.records import (
    AGENT,
    APART,
    Acceptance,
    Approval,
    Kind,
    Proposal,
    Record,
    Result,
    Run,
    Settings,
    body_as,
)
from autoresearch.settings_in_force import proposal_in_force, settings_in_force
from autoresearch.signed import require_signed
from autoresearch.steps import (
    check,
    conclude,
    critique,
    experiment,
    ideate,
    monitor,
    plan,
    predict,
    preflight,
    writeup,
)
from autoresearch.steps.ask import forget
from autoresearch.steps.situation import Draft, Situation, StepPorts
from autoresearch.vouched import finder, reader
from autoresearch.workflow import Step, Workflow

RETURNS: dict[str, tuple[str, ...]] = {
    "approval": ("reject", "revise", "edit"),
    "acceptance": ("revise", "redo"),
    "result": ("failed", "lost"),
}
"""Decisions that open the next attempt."""


class State(TypedDict, total=False):
    """Digests and positions, never documents."""

    cycle: int
    attempt: int
    passed: dict[str, str]
    """Kind → digest of the record this walk passed last."""
    feedback: str
    """Digest of the record that opened the attempt; empty in a first attempt."""
    returned_to: str
    """The step at which the attempt began."""
    route: str


class Node(Protocol):
    """What LangGraph calls; it goes by the parameter's name."""

    def __call__(self, state: State) -> State: ...


class NewProposalNeeded(AutoresearchError):
    """Model none: the steps read the proposal, and it has to change before they can go on."""

    def __init__(self, cycle: int, attempt: int, kind: Kind, because: Entry | None) -> None:
        super().__init__(f"the {kind} record of cycle {cycle}, attempt {attempt} needs a changed proposal.md")
        self.cycle, self.attempt, self.kind, self.because = cycle, attempt, kind, because


class InputsDiffer(LedgerError):
    pass


@dataclass(frozen=True)
class StepCode:
    inputs: Callable[..., dict[str, str]]
    run: Callable[[Situation, StepPorts], Draft]
    reads_proposal: bool = False
    """With model none, the step has nothing to say until the proposal changes."""


CODE: dict[str, StepCode] = {
    "ideas": StepCode(ideate.inputs, ideate.run, reads_proposal=True),
    "critique": StepCode(critique.inputs, critique.run),
    "plan": StepCode(plan.inputs, plan.run, reads_proposal=True),
    "prediction": StepCode(predict.inputs, predict.run),
    "preflight": StepCode(preflight.inputs, preflight.run),
    "check": StepCode(check.inputs, check.run),
    "conclusion": StepCode(conclude.inputs, conclude.run, reads_proposal=True),
    "monitoring": StepCode(monitor.inputs, monitor.run),
    "report": StepCode(writeup.inputs, writeup.run),
}


class Nodes:
    """One function per step of a workflow, over a ledger."""

    def __init__(
        self,
        workflow: Workflow,
        ledger: Ledger,
        ports_for: Callable[[str, Step, Settings], StepPorts],
        progress: Progress,
    ) -> None:
        self._workflow = workflow
        self._ledger = ledger
        self._ports_for = ports_for
        self._progress = progress
        self._read = reader(ledger)
        self._find = finder(ledger)

    def node(self, name: str) -> Node:
        kind = self._workflow.steps[name].kind
        if kind in GATE_INPUTS:
            return lambda state: self._gate(name, state)
        if kind == "result":
            return lambda state: self._experiment(name, state)
        return lambda state: self._machine(name, state)

    def situation(self, name: str, state: State) -> Situation:
        history = list(self._ledger.entries())
        by_digest = {entry.digest: entry for entry in history}
        cycle, attempt = state["cycle"], state["attempt"]
        accepted = [e for e in history if e.record.kind == "acceptance" and e.record.cycle == cycle - 1]
        return Situation(
            cycle=cycle,
            attempt=attempt,
            step=name,
            kind=_kind(self._workflow.steps[name].kind),
            project=history[0],
            proposal=proposal_in_force(history, cycle, attempt),
            settings=_settings_then(history, state),
            upstream={_kind(kind): by_digest[digest] for kind, digest in state.get("passed", {}).items()},
            feedback=by_digest.get(state.get("feedback", "")),
            followed_up=accepted[-1] if accepted else None,
            history=history,
            read=self._read,
            find=self._find,
        )

    # ------------------------------------------------------------------- nodes

    def _machine(self, name: str, state: State) -> State:
        step = self._workflow.steps[name]
        code = CODE[step.kind]
        at = self.situation(name, state)
        ports = self._ports_for(name, step, at.settings)
        by_model = ports.model is not None
        if code.reads_proposal and not by_model:
            _require_new_proposal(at, state)
            if step.kind == "plan" and state.get("returned_to") == name:
                state = self._earlier_readers(state)
                at = self.situation(name, state)
        inputs = code.inputs(at, by_model=by_model) if step.kind != "check" else check.inputs(at)
        entry = self._recorded(at, _kind(step.kind), inputs) or _same_inputs(at, _kind(step.kind), inputs)
        if entry is None and _forked(at):
            return self._machine(name, self._past_fork(name, state))
        if entry is None:
            began = ports.clock.monotonic()
            self._progress.step(name, at.cycle, at.attempt)
            entry = self._commit(at, inputs, code.run(at, ports))
            self._progress.recorded(entry, ports.clock.monotonic() - began)
        forget(at, self._ledger)
        return _pass(state, entry)

    def _earlier_readers(self, state: State) -> State:
        """A changed proposal may have changed what the steps before the plan read.

        Those whose sections did not change return the record they have.
        """
        for name, step in self._workflow.steps.items():
            if step.kind in ("ideas", "critique"):
                state = self._machine(name, state)
        return state

    def _gate(self, name: str, state: State) -> State:
        step = self._workflow.steps[name]
        kind = _kind(step.kind)
        at = self.situation(name, state)
        entry = self._recorded(at, kind, at.digests(*GATE_INPUTS[kind]))
        if _forked(at) and (entry is None or _is_void(at, entry)):
            return self._gate(name, self._past_fork(name, state))
        while entry is not None and (_is_void(at, entry) or self._used_before(at, entry)):
            # Something else was recorded before the run could begin, or it has begun before: ask again.
            at = replace(at, attempt=at.attempt + 1)
            entry = self._recorded(at, kind, at.digests(*GATE_INPUTS[kind]))
        state = {**state, "attempt": at.attempt}
        if entry is None:
            interrupt({"gate": name, "state": dict(state)})
            raise AssertionError("interrupt never returns: no answer travels through the graph")
        # Whatever was decided, and not only what opens the sandbox: a forged rejection moves work, too.
        before = experiment.before(at.history, entry)
        require_signed(before, entry)
        require_decided(before, entry)
        body = entry.record.body
        assert isinstance(body, Approval | Acceptance)
        return self._route(_pass(state, entry), step, body.decision, entry)

    def _experiment(self, name: str, state: State) -> State:
        step = self._workflow.steps[name]
        at = self.situation(name, state)
        ports = self._ports_for(name, step, at.settings)
        run = self._recorded(at, "run", experiment.run_inputs(at))
        fresh = run is None
        if run is None:
            self._progress.step(name, at.cycle, at.attempt)
            began = ports.clock.monotonic()
            run = self._commit(at, experiment.run_inputs(at), experiment.issue(at, ports))
            self._progress.recorded(run, ports.clock.monotonic() - began)
        at = self.situation(name, _pass(state, run))
        result = self._recorded(at, "result", experiment.result_inputs(at))
        if result is None and _forked(at):
            raise LedgerError(
                "a fork stands behind a run without its end, which belongs to the other project; see: autoresearch verify"
            )
        if result is None:
            # After the run record, before anything starts: a crash between the two costs the run, as any
            # does, and not the approval, which would have to be asked for again though nothing ran.
            self._ledger.note(_consumed(at.entry("approval")), b"")
            began = ports.clock.monotonic()
            result = self._commit(
                at, experiment.result_inputs(at), experiment.execute(at, ports, fresh=fresh)
            )
            self._progress.recorded(result, ports.clock.monotonic() - began)
        if _last_but_settings(self._ledger.entries()).digest == result.digest:
            experiment.clean_up(at, ports)
        status = body_as(result.record, Result).status
        route = {"Completed": "completed", "Lost": "lost"}.get(status, "failed")
        return self._route(_pass(_pass(state, run), result), step, route, result)

    def _past_fork(self, name: str, state: State) -> State:
        """A fork closes the attempt it stands in: what comes after it belongs to the next one.

        A proposal that the person changed there may change what the steps before this one read.
        Those whose sections did not change return the record they have.
        """
        self._require_attempts_left(state)
        state = {**state, "attempt": state["attempt"] + 1, "returned_to": ""}
        here = (state["cycle"], state["attempt"])
        changed = any(
            entry.record.kind == "proposal" and (entry.record.cycle, entry.record.attempt) == here
            for entry in self._ledger.entries()
        )
        kinds = [*GATE_INPUTS["approval"], "ideas", "approval"]
        if not changed or self._workflow.steps[name].kind not in kinds:
            return state
        state = {**state, "feedback": ""}  # the person has said anew what it asked for
        for before, step in self._workflow.steps.items():
            if before == name:
                break
            if step.kind in kinds and step.kind != "approval":
                state = self._machine(before, state)
        return state

    # ----------------------------------------------------------------- helpers

    def _used_before(self, at: Situation, approval: Entry) -> bool:
        """True if a run began under it here, though a history cut back no longer shows that run."""
        has_run = any(
            isinstance(body := entry.record.body, Run) and body.approval == approval.digest
            for entry in at.history
        )
        return not has_run and self._ledger.noted(_consumed(approval)) is not None

    def _recorded(self, at: Situation, kind: Kind, inputs: Mapping[str, str]) -> Entry | None:
        """The record under this key. Raises InputsDiffer if it was made from other inputs."""
        for entry in at.history:
            record = entry.record
            if (record.cycle, record.attempt, record.step, record.kind) == (
                at.cycle,
                at.attempt,
                at.step,
                kind,
            ):
                if dict(record.inputs) != dict(inputs):
                    raise InputsDiffer(_difference(record, inputs))
                return entry
        return None

    def _commit(self, at: Situation, inputs: Mapping[str, str], draft: Draft) -> Entry:
        last = at.history[-1]
        record = Record(
            kind=draft.body.kind, cycle=at.cycle, attempt=at.attempt, step=at.step,
            parent=last.digest, inputs=dict(inputs), made_by=draft.made_by, body=draft.body,
        )  # fmt: skip
        by_path = {
            ref.path: file_path(record, ref) for ref in [*draft.body.files(), *draft.made_by.exchanges]
        }
        files = {by_path[path]: data for path, data in draft.files.items()}
        author = body_as(at.project.record, Proposal).author if draft.made_by.author == "person" else AGENT
        entry = self._ledger.append(record, files, after=self._ledger.head(), author=author)
        self._ledger.clear_outputs()
        return entry

    def _route(self, state: State, step: Step, decision: str, entry: Entry) -> State:
        """Follow the workflow's edge for a decision, opening the next attempt where it goes back."""
        if decision not in RETURNS[step.kind]:
            return {**state, "route": decision}
        self._require_attempts_left(state, Rejected if step.kind != "result" else AutoresearchError)
        target = step.successors()[decision]
        back: State = {**state, "route": decision, "attempt": state["attempt"] + 1}
        if decision == "lost":
            return back
        return {**back, "feedback": entry.digest, "returned_to": target}

    def _require_attempts_left(
        self, state: State, error: type[AutoresearchError] = AutoresearchError
    ) -> None:
        bound = _settings_then(self._ledger.entries(), state).max_attempts
        if state["attempt"] >= bound:
            raise error(
                f"cycle {state['cycle']} has used its {bound} attempts; raise max_attempts in autoresearch.toml "
                "and go on with: autoresearch run"
            )


def _settings_then(history: Sequence[Entry], state: State) -> Settings:
    """Those in force when the step after what this walk has passed was last decided on.

    A record was made under the settings of its time. Under later ones the step would have
    other inputs, and the walk would stop at what is no contradiction.
    """
    passed = {*state.get("passed", {}).values(), state.get("feedback", "")}
    behind = [
        index
        for index, entry in enumerate(history)
        if entry.digest in passed or entry.record.cycle < state["cycle"]
    ]
    following = range(behind[-1] + 1 if behind else 0, len(history))
    made = (index for index in following if history[index].record.kind not in ("proposal", *APART))
    return settings_in_force(history[: next(made, len(history))])


def _last_but_settings(history: Sequence[Entry]) -> Entry:
    return next(entry for entry in reversed(history) if entry.record.kind != "config")


def _forked(at: Situation) -> bool:
    """Whether a fork closed the attempt."""
    return any(
        entry.record.kind == "fork" and (entry.record.cycle, entry.record.attempt) == (at.cycle, at.attempt)
        for entry in at.history
    )


def _require_new_proposal(at: Situation, state: State) -> None:
    here = (at.proposal.record.cycle, at.proposal.record.attempt) == (at.cycle, at.attempt)
    began_here = state.get("returned_to", "") == at.step
    edited = plan.edited_by_person(at) is not None
    new_cycle = at.cycle > 1 and at.attempt == 1 and not at.upstream
    if ((began_here and not edited) or new_cycle) and not here:
        raise NewProposalNeeded(at.cycle, at.attempt, at.kind, at.feedback)


def _same_inputs(at: Situation, kind: Kind, inputs: Mapping[str, str]) -> Entry | None:
    """An earlier attempt's record made from the same inputs: the step would say the same again."""
    if kind in ("check", "report"):
        return None
    for entry in reversed(at.history):
        record = entry.record
        if (record.cycle, record.step, record.kind) == (
            at.cycle,
            at.step,
            kind,
        ) and record.attempt < at.attempt:
            return entry if dict(record.inputs) == dict(inputs) else None
    return None


def _consumed(approval: Entry) -> str:
    """The journal's note that an approval was used. It stays, whatever becomes of the history."""
    return f"consumed-{approval.digest}"


def _is_void(at: Situation, entry: Entry) -> bool:
    """An approval counts only while it is the last record, or its run record follows it at once."""
    body = entry.record.body
    if not isinstance(body, Approval) or body.decision != "approve":
        return False
    position = next(index for index, known in enumerate(at.history) if known.digest == entry.digest)
    following = at.history[position + 1 :]
    return bool(following) and following[0].record.kind not in ("run", "approval")


def _pass(state: State, entry: Entry) -> State:
    return {**state, "passed": {**state.get("passed", {}), entry.record.kind: entry.digest}}


def _difference(record: Record, inputs: Mapping[str, str]) -> str:
    names = sorted(n for n in record.inputs.keys() | inputs.keys() if record.inputs.get(n) != inputs.get(n))
    parts = [
        f"{name} was {record.inputs.get(name, 'absent')[:12]} and is {inputs.get(name, 'absent')[:12]}"
        for name in names
    ]
    return (
        f"the {record.kind} record of cycle {record.cycle}, attempt {record.attempt} was made from other inputs: "
        f"{'; '.join(parts)}; see: autoresearch verify"
    )


def _kind(name: str) -> Kind:
    return name  # type: ignore[return-value]  # step kinds are record kinds; Step validated it
