"""What has to hold between a record and those before it, kind by kind.

A rule sees one record with its commit, and everything that came before. To add one:
a function, and a row in RULES with what it looks at.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from autoresearch.decisions import Decisions
from autoresearch.door import issue_trials
from autoresearch.ports import Commit, FileChange
from autoresearch.records import (
    Acceptance,
    Approval,
    Body,
    Check,
    Config,
    Fork,
    Plan,
    Prediction,
    Proposal,
    Record,
    Report,
    Result,
    Run,
    Settings,
    WorkflowRef,
    digest_of,
)

B = TypeVar("B", bound=Body)


@dataclass(frozen=True)
class Told:
    """A record with the commit that brought it."""

    commit: Commit
    record: Record
    digest: str
    """The record's; taken once, since every later record asks for it."""
    before: "Told | None"
    changed: Mapping[str, FileChange]

    def __str__(self) -> str:
        return f"{self.record.kind} in {self.commit.id[:12]}"


Key = tuple[int, int, str, str]


def key_of(record: Record) -> Key:
    """Cycle, attempt, step and kind: where in the work a record stands."""
    return record.cycle, record.attempt, record.step, record.kind


@dataclass
class Past:
    """The records before the one that is looked at. Everything is found without going through them."""

    told: list[Told] = field(default_factory=list)
    by_digest: dict[str, Told] = field(default_factory=dict)
    by_key: dict[Key, Told] = field(default_factory=dict)
    decisions: Decisions = field(default_factory=Decisions)
    settings: Settings | None = None
    project: str = ""
    workflow: WorkflowRef | None = None
    """In force, each as the last record that has it says."""
    projects: set[str] = field(default_factory=set)
    """Ids that the history had, before and since a fork."""
    running: set[str] = field(default_factory=set)
    """Digests of runs without a result."""
    ended: dict[int, str] = field(default_factory=dict)
    """Cycle → the last decision at its second gate."""
    resulted: dict[str, Told] = field(default_factory=dict)
    """Digest of each run → its result."""

    forked_at: int = 0
    """How many records stand up to the last fork."""
    place: dict[str, int] = field(default_factory=dict)
    """Digest → how many records stand up to it."""

    def add(self, item: Told) -> None:
        body = item.record.body
        self.decisions.add(item.record, item.digest)
        self.told.append(item)
        self.place.setdefault(item.digest, len(self.told))
        self.by_digest.setdefault(item.digest, item)
        self.by_key.setdefault(key_of(item.record), item)
        if isinstance(body, Proposal | Config | Fork):
            self.settings = body.settings
        if isinstance(body, Proposal | Fork):
            self.project = body.project
            self.projects.add(body.project)
        if isinstance(body, Fork) and body.workflow is not None:
            self.workflow = body.workflow
        if isinstance(body, Proposal) and self.workflow is None:
            self.workflow = body.workflow
        if isinstance(body, Run):
            self.running.add(item.digest)
        if isinstance(body, Acceptance):
            self.ended[item.record.cycle] = body.decision
        if isinstance(body, Result):
            self.resulted.setdefault(body.run, item)
            self.running.discard(body.run)
        if isinstance(body, Fork):
            self.forked_at = len(self.told)

    @property
    def first(self) -> Told | None:
        return self.told[0] if self.told else None

    @property
    def last(self) -> Told | None:
        return self.told[-1] if self.told else None

    def body(self, digest: str, body_type: type[B]) -> B | None:
        """Of the record with this digest, if it stands before and is of this kind."""
        found = self.by_digest.get(digest)
        body = found.record.body if found else None
        return body if isinstance(body, body_type) else None


Rule = Callable[[Told, Past], list[str] | None]
"""Problems, or None where the rule does not apply."""


def _proposal(item: Told, past: Past) -> list[str] | None:
    body = item.record.body
    if not isinstance(body, Proposal) or past.first is None:
        return None
    first = past.first.record.body
    if not isinstance(first, Proposal):
        return [f"{item}: the history does not begin with a proposal"]
    free = {"text", "text_sha256", "settings", "environment", "inputs", "sources", "project", "workflow"}
    problems = [] if body.settings == past.settings else [f"{item}: changes the settings in force"]
    if (body.project, body.workflow) != (past.project, past.workflow):
        problems.append(f"{item}: changes the project or its workflow, which only a fork can")
    changed = sorted(
        name
        for name in Proposal.model_fields
        if name not in free and getattr(body, name) != getattr(first, name)
    )
    return problems + ([f"{item}: changes {', '.join(changed)}"] if changed else [])


def _approval(item: Told, past: Past) -> list[str] | None:
    body = item.record.body
    if not isinstance(body, Approval):
        return None
    bundle = body.bundle
    problems = _decided(item, past)
    plan = past.body(bundle.plan, Plan)
    if plan is None:
        problems.append(f"{item}: its plan is not before it")
    elif {data.name: data.sha256 for data in plan.inputs} != bundle.inputs:
        problems.append(f"{item}: the data approved are not the plan's")
    elif {ref.path: ref.sha256 for ref in plan.experiment} != bundle.files or plan.limits != bundle.limits:
        problems.append(f"{item}: the files or limits approved are not the plan's")
    return problems


def _decided(item: Told, past: Past) -> list[str]:
    parent = item.commit.parents[0] if item.commit.parents else ""
    found = past.decisions.problems(item.record, item.commit.author, parent)
    return [f"{item}: {problem}" for problem in found]


def _fork(item: Told, past: Past) -> list[str] | None:
    body = item.record.body
    if not isinstance(body, Fork):
        return None
    if past.last is None:
        return [f"{item}: shares no record with any project"]
    problems = []
    parent = item.commit.parents[0] if item.commit.parents else ""
    if (body.from_commit, body.from_record) != (parent, past.last.digest):
        problems.append(f"{item}: says it goes on from {body.from_commit[:12]}, but stands elsewhere")
    if body.from_project != past.project or body.project in past.projects:
        problems.append(f"{item}: confuses the project it comes from with the one it begins")
    if item.commit.author != body.reviewer.person:
        problems.append(f"{item}: is in the name of {body.reviewer.person}, but {item.commit.author} made it")
    if past.running:
        problems.append(f"{item}: comes between a run and its result")
    return problems


def _run(item: Told, past: Past) -> list[str] | None:
    body = item.record.body
    if not isinstance(body, Run):
        return None
    last = past.last.record.body if past.last else None
    if past.last is None or not isinstance(last, Approval) or past.last.digest != body.approval:
        return [f"{item}: no approval stands right before it"]
    if last.decision != "approve":
        return [f"{item}: no approval stands right before it"]
    plan = past.body(last.bundle.plan, Plan)
    if plan is None or body.trials != issue_trials(last, last.bundle.plan, plan):
        return [f"{item}: its trials do not follow from the approval and its plan"]
    return []


def _result(item: Told, past: Past) -> list[str] | None:
    body = item.record.body
    if not isinstance(body, Result):
        return None
    run = past.body(body.run, Run)
    approval = past.body(run.approval, Approval) if run else None
    if approval is None:
        return [f"{item}: no approved run stands before it"]
    if body.isolation != approval.bundle.isolation:
        return [f"{item}: ran in another image or isolation than approved"]
    assert run is not None  # or there was no approval
    problems = _probed(item, body, run)
    if past.body(approval.bundle.prediction, Prediction) is None:
        problems.append(f"{item}: is older than its prediction")
    if (twice := past.resulted.get(body.run)) is not None:
        problems.append(f"{item}: its run has a result already, in {twice.commit.id[:12]}")
    if past.forked_at >= past.place[body.run]:
        problems.append(f"{item}: ended in another project than it began in")
    return problems


def _probed(item: Told, result: Result, run: Run) -> list[str]:
    if result.probe != (None if run.probe is None else digest_of(run.probe)):
        return [f"{item}: names another probe of its isolation than the run's"]
    if run.probe and not all(row.ok for row in run.probe.rows):
        return [f"{item}: ran although its isolation did not hold when it was tried"]
    return []


def _acceptance(item: Told, past: Past) -> list[str] | None:
    return _decided(item, past) if isinstance(item.record.body, Acceptance) else None


def _report(item: Told, past: Past) -> list[str] | None:
    body = item.record.body
    if not isinstance(body, Report):
        return None
    ended = past.ended.get(item.record.cycle) in ("accept", "reject", "follow-up")
    problems = [] if ended else [f"{item}: no decision that ends a cycle stands before it"]
    covered = set(body.covers)
    problems += [f"{item}: leaves out {other}" for other in past.told if other.digest not in covered]
    unknown = sorted(covered - past.by_digest.keys())
    return problems + [f"{item}: covers {digest[:12]}, which is not before it" for digest in unknown]


def _forecasts(item: Told, past: Past) -> list[str] | None:
    """Those that stood before the result, all of them, and no others."""
    body, inputs = item.record.body, item.record.inputs
    if not isinstance(body, Check):
        return None
    prediction = past.body(inputs.get("prediction", ""), Prediction)
    approval = past.body(inputs.get("approval", ""), Approval)
    problems = []
    if approval is None or approval.bundle.prediction != inputs.get("prediction"):
        problems.append(f"{item}: scores other forecasts than those the experiment was approved with")
    made = [*(prediction.forecasts if prediction else ()), *(approval.forecasts if approval else ())]
    scored = {(score.forecaster, score.forecast) for score in body.scores}
    left_out = [f for f in made if (f.forecaster, f.id) not in scored]
    return problems + [f"{item}: forecast {f.id} of {f.forecaster} is not scored" for f in left_out]


def _exchanges(item: Told, past: Past) -> list[str] | None:  # noqa: ARG001 - as every rule is called
    """That its files are there and whole is looked at with every other file."""
    made = item.record.made_by
    if made.author != "agent" and not made.exchanges:
        return None
    if not made.exchanges:
        return [f"{item}: {made.model} is said to have written it, and no exchange shows that"]
    return [f"{item}: {ref.path} is not committed" for ref in made.exchanges if not ref.committed]


RULES: dict[str, tuple[str, Rule]] = {
    "every later proposal changes the text alone": ("later proposals", _proposal),
    "every fork follows what it shares, under a new id": ("forks", _fork),
    "every record by a model has its exchange": ("records by a model", _exchanges),
    "every approval was given for what it binds": ("approvals", _approval),
    "every run follows an approval at once, with issued seeds": ("runs", _run),
    "every result ran as approved, after its prediction": ("results", _result),
    "every forecast was scored": ("checks", _forecasts),
    "every acceptance binds what stands before it": ("acceptances", _acceptance),
    "every report comes after a decision and leaves nothing out": ("reports", _report),
}
"""Name of the check → what it looks at, and the rule."""
