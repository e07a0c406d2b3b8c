"""Check a history against itself: what it says happened is what its bytes show.

Everything is worked out again from blobs: digests, messages, paths, order, seeds, and
that each result had an approval of the very bytes before it. Nothing here depends on
the version of the tool that reads.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from autoresearch.config import parse_settings
from autoresearch.contents import hashed
from autoresearch.door import issue_trials
from autoresearch.errors import AutoresearchError, InvalidInput
from autoresearch.layout import (
    IGNORE_FILE,
    IGNORED,
    LOCK_FILE,
    PROPOSAL_FILE,
    SETTINGS_FILE,
    WORKFLOW_DIR,
    commit_message,
    is_own,
    record_path,
    trailers_of,
    vouched_files,
)
from autoresearch.ports import Commit, Entry, FileChange, History
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
    count,
    digest_of,
    parse_record,
    sha256,
)
from autoresearch.safe_text import escape
from autoresearch.settings_in_force import project_in_force, settings_in_force, workflow_in_force
from autoresearch.signed import Keys

BLIND_SPOTS = (
    "cannot see: a history rebuilt, or cut back to an earlier record, by someone who can write here (no signature, "
    "no anchor); "
    "whether the reviewer read what they approved; anything the sandbox did not measure"
)
SIGNED_BLIND_SPOTS = (
    "cannot see: a history rebuilt from before the first key, or cut back to an earlier record, by someone who can "
    "write here (no anchor outside); whether a person held the key, and read what they signed; anything the sandbox "
    "did not measure"
)
SIGNED = "every decision is signed by a key that counted then"


@dataclass(frozen=True)
class Row:
    """One check over the whole history."""

    name: str
    looked_at: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass(frozen=True)
class Signing:
    """What stands behind the decisions at the gates."""

    unsigned: int
    signers: tuple[str, ...]
    """Name, address and fingerprint, once a decision whose signature holds."""

    def line(self) -> str:
        signed = len(self.signers)
        if not signed:
            return "unsigned: no decision here is signed, so each rests on the word of whoever can write to this repository"
        by = escape(", ".join(sorted(set(self.signers))))
        rest = (
            f"; {self.unsigned} unsigned: anybody who can write here could have made them"
            if self.unsigned
            else ""
        )
        return f"signed: {count(signed, 'decision')}, by {by}{rest}"


@dataclass(frozen=True)
class Verdict:
    rows: tuple[Row, ...]
    head: str
    signing: Signing
    unseen: tuple[str, ...] = ()
    """Large files that this clone does not have."""

    @property
    def sound(self) -> bool:
        return all(row.ok for row in self.rows)

    def lines(self) -> Iterator[str]:
        width = max(len(row.name) for row in self.rows)
        for row in self.rows:
            yield f"{'✓' if row.ok else '✗'} {row.name:<{width}} {row.looked_at:>5}"
            for problem in row.problems[:10]:
                yield f"    {problem}"
            if len(row.problems) > 10:
                yield f"    and {len(row.problems) - 10} more"
        for path in self.unseen:
            yield f"  not in this clone, so not compared: {path}"
        yield f"head {self.head}: {'sound' if self.sound else 'NOT SOUND'}"
        yield self.signing.line()
        yield self.blind_spots

    @property
    def blind_spots(self) -> str:
        return SIGNED_BLIND_SPOTS if self.signing.signers else BLIND_SPOTS

    def as_json(self) -> dict[str, object]:
        return {
            "sound": self.sound,
            "head": self.head,
            "checks": [
                {"name": row.name, "looked_at": row.looked_at, "problems": list(row.problems)}
                for row in self.rows
            ],
            "unseen": list(self.unseen),
            "signed_decisions": len(self.signing.signers),
            "unsigned_decisions": self.signing.unsigned,
            "blind_spots": self.blind_spots,
        }


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


@dataclass
class Findings:
    problems: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def look(self, check: str, *problems: str) -> None:
        """`problems` quote the history, so nothing in them may reach a terminal as it is."""
        self.counts[check] = self.counts.get(check, 0) + 1
        self.problems.setdefault(check, []).extend(map(escape, problems))

    def rows(self) -> tuple[Row, ...]:
        return tuple(Row(name, self.counts[name], tuple(self.problems[name])) for name in self.counts)


def verify(history: History) -> Verdict:
    """Never raises for a bad history: everything wrong is a row of the verdict."""
    findings = Findings()
    commits = history.commits()
    findings.look("the repository is whole and shows its own history", *history.oddities())
    told = _tell(history, commits, findings)
    unseen: list[str] = []
    signing = _signatures(told, findings)
    for index, item in enumerate(told):
        earlier = told[:index]
        findings.look("every message is the one its record yields", *_message(item))
        findings.look("every file is vouched for, byte for byte", *_files(history, item, unseen))
        findings.look("records follow one another, none twice, none missing", *_chain(item, earlier))
        findings.look("every record is made from records before it", *_inputs(item, earlier))
        for name, check in RULES.items():
            problems = check(item, earlier)
            if problems is not None:
                findings.look(name, *problems)
    head = commits[-1].id if commits else "none"
    return Verdict(findings.rows(), head, signing, tuple(unseen))


def _signatures(told: Sequence[Told], findings: Findings) -> "Signing":
    """Each by the keys in force when it was given."""
    keys, unsigned, signers = Keys(), 0, []
    for item in told:
        body = item.record.body
        problem = keys.take(item.record, item.commit.raw)
        if isinstance(body, Approval | Acceptance | Config | Fork) and (keys.registered or problem):
            findings.look(SIGNED, *([f"{item}: {problem}"] if problem else []))
        elif problem:
            findings.look(SIGNED, f"{item}: {problem}")
        if not isinstance(body, Approval | Acceptance):
            continue
        if keys.registered and not problem:
            signers.append(f"{body.reviewer.person} {body.reviewer.key}")
        else:
            unsigned += 1
    return Signing(unsigned, tuple(signers))


def _tell(history: History, commits: Sequence[Commit], findings: Findings) -> list[Told]:
    told: list[Told] = []
    line, own = "one line of commits, no merge", "every commit is a record, or a person's notes"
    for index, commit in enumerate(commits):
        expected = (commits[index - 1].id,) if index else ()
        findings.look(
            line, *([] if commit.parents == expected else [f"{commit.id[:12]} has parents {commit.parents}"])
        )
        changed = history.changed_paths(commit)
        if not trailers_of(commit.message):
            stray = [path for path in changed if not is_own(path)]
            problem = (
                f"{commit.id[:12]} by {commit.author.name} is no record and changes {', '.join(stray[:3])}"
            )
            findings.look(own, *([problem] if stray or not changed else []))
            continue
        try:
            record = _record_in(history, commit, changed)
        except AutoresearchError as error:
            findings.look(own, str(error))
            continue
        findings.look(own)
        told.append(Told(commit, record, record.digest, told[-1] if told else None, changed))
    return told


def _record_in(history: History, commit: Commit, changed: Mapping[str, FileChange]) -> Record:
    for path in sorted(changed):
        parts = path.split("/")
        if len(parts) == 4 and parts[0] == "cycles" and path.endswith(".json"):
            record = parse_record(history.read(path, commit.id), f"{path} in {commit.id[:12]}")
            if record_path(record) == path:
                return record
    raise AutoresearchError(f"{commit.id[:12]} claims a record and adds none")


def _message(item: Told) -> list[str]:
    if item.commit.message.rstrip("\n") == commit_message(
        item.record, item.before.record if item.before else None
    ).rstrip("\n"):
        return []
    stated = trailers_of(item.commit.message).get("Record", "no record")
    if not stated.endswith(item.digest):
        return [f"{item}: the message names {stated[:40]}…, the bytes give {item.digest[:12]}"]
    return [f"{item}: the message is not the one its record yields"]


def _files(history: History, item: Told, unseen: list[str]) -> list[str]:
    record, commit = item.record, item.commit
    refs = vouched_files(record)
    problems = []
    expected = {
        record_path(record),
        *(path for path, ref in refs.items() if ref.committed),
        *_special(record),
    }
    # A file that is the same as before is vouched for again without a change.
    stray = sorted(set(item.changed) - expected)
    problems += [f"{item}: {path} is not vouched for" for path in stray]
    for path, change in item.changed.items():
        if change.status == "D":
            problems.append(f"{item}: {path} was deleted")
        elif change.mode != "100644":
            problems.append(f"{item}: {path} has mode {change.mode}")
    for path, ref in refs.items():
        data = _bytes(history, path, commit.id) if ref.committed else history.stored(ref.sha256)
        if data is None and not ref.committed:
            unseen.append(path)
        elif data is None:
            problems.append(f"{item}: {path} is missing")
        elif hashed(data) != (ref.sha256, ref.size):
            problems.append(f"{item}: {path} is not the file the record vouches for")
    for path, problem in _special(record).items():
        data = _bytes(history, path, commit.id)
        if data is None or not problem(data):
            problems.append(f"{item}: {path} is not what the record says")
    return problems


def _special(record: Record) -> dict[str, Callable[[bytes], bool]]:
    """Files outside the attempt's directory, and how the record vouches for them."""
    body = record.body
    if isinstance(body, Config):
        settings = body.settings
        return {SETTINGS_FILE: lambda data: _settings_in(data) == settings}
    if isinstance(body, Fork):
        forked = body.settings
        return {
            SETTINGS_FILE: lambda data: _settings_in(data) == forked,
            **(_workflow_files(body.workflow) if body.workflow else {}),
        }
    if not isinstance(body, Proposal):
        return {}
    text = body.text.encode()
    special: dict[str, Callable[[bytes], bool]] = {
        PROPOSAL_FILE: lambda data: data == text and sha256(data) == body.text_sha256
    }
    lock = body.environment.lock if body.environment else None
    if lock is not None:
        special[LOCK_FILE] = lambda data: sha256(data) == lock.sha256
    if record.parent is None:
        special[IGNORE_FILE] = lambda data: data == IGNORED
        special[SETTINGS_FILE] = lambda data: _settings_in(data) == body.settings
        special |= _workflow_files(body.workflow)
    return special


def _workflow_files(workflow: WorkflowRef) -> dict[str, Callable[[bytes], bool]]:
    def is_frozen(digest: str) -> Callable[[bytes], bool]:
        return lambda data: sha256(data) == digest

    return {f"{WORKFLOW_DIR}/{path}": is_frozen(digest) for path, digest in workflow.files.items()}


def _settings_in(data: bytes) -> Settings | None:
    try:
        return parse_settings(data.decode())
    except (InvalidInput, UnicodeDecodeError):
        return None


def _bytes(history: History, path: str, commit: str) -> bytes | None:
    try:
        return history.read(path, commit)
    except AutoresearchError:
        return None


def _chain(item: Told, earlier: Sequence[Told]) -> list[str]:
    problems = []
    before = item.before.digest if item.before else None
    if item.record.parent != before:
        problems.append(
            f"{item}: says it follows {str(item.record.parent)[:12]}, but stands after {str(before)[:12]}"
        )
    twice = [other for other in earlier if _key(other.record) == _key(item.record)]
    problems += [f"{item}: its step is already on record in {other.commit.id[:12]}" for other in twice]
    return problems


def _key(record: Record) -> tuple[int, int, str, str]:
    return record.cycle, record.attempt, record.step, record.kind


def _inputs(item: Told, earlier: Sequence[Told]) -> list[str]:
    known = {other.digest for other in earlier}
    named = {name: digest for name, digest in item.record.inputs.items() if not name.startswith("section:")}
    return [
        f"{item}: made from {name} {digest[:12]}, which is not before it"
        for name, digest in named.items()
        if digest not in known
    ]


Rule = Callable[[Told, Sequence[Told]], list[str] | None]
"""Problems, or None where the rule does not apply."""


def _proposal(item: Told, earlier: Sequence[Told]) -> list[str] | None:
    body = item.record.body
    if not isinstance(body, Proposal):
        return None
    first = earlier[0].record.body if earlier else None
    if first is None:
        return []
    if not isinstance(first, Proposal):
        return [f"{item}: the history does not begin with a proposal"]
    free = {"text", "text_sha256", "settings", "environment", "inputs", "sources", "project", "workflow"}
    before = _entries(earlier)
    problems = (
        [] if body.settings == settings_in_force(before) else [f"{item}: changes the settings in force"]
    )
    if (body.project, body.workflow) != (project_in_force(before), workflow_in_force(before)[0]):
        problems.append(f"{item}: changes the project or its workflow, which only a fork can")
    changed = sorted(
        name
        for name in Proposal.model_fields
        if name not in free and getattr(body, name) != getattr(first, name)
    )
    return problems + ([f"{item}: changes {', '.join(changed)}"] if changed else [])


def _approval(item: Told, earlier: Sequence[Told]) -> list[str] | None:
    body = item.record.body
    if not isinstance(body, Approval):
        return None
    problems = []
    bundle = body.bundle
    if body.shown != digest_of(bundle):
        problems.append(f"{item}: what was confirmed is not the bundle in the record")
    if bundle.ledger_head != (item.commit.parents[0] if item.commit.parents else ""):
        problems.append(f"{item}: given on top of {bundle.ledger_head[:12]}, but stands elsewhere")
    plan = _body_of(earlier, bundle.plan, Plan)
    if plan is None:
        problems.append(f"{item}: its plan is not before it")
    elif {data.name: data.sha256 for data in plan.inputs} != bundle.inputs:
        problems.append(f"{item}: the data approved are not the plan's")
    elif {ref.path: ref.sha256 for ref in plan.experiment} != bundle.files or plan.limits != bundle.limits:
        problems.append(f"{item}: the files or limits approved are not the plan's")
    return problems + _decider(item, body, earlier)


def _decider(item: Told, body: Approval | Acceptance, earlier: Sequence[Told]) -> list[str]:
    """A decision belongs to its project, and a script decides in a demonstration only."""
    project = earlier[0].record.body if earlier else None
    if not isinstance(project, Proposal):
        return [f"{item}: no proposal stands at the beginning"]
    bound = body.bundle if isinstance(body, Approval) else body.subject
    here = project_in_force(_entries(earlier))
    problems = [] if bound.project == here else [f"{item}: belongs to another project"]
    if body.reviewer.is_person == project.demonstration:
        who = "a person" if body.reviewer.is_person else "a script"
        what = "a demonstration" if project.demonstration else "a project that is no demonstration"
        problems.append(f"{item}: {who} decides in {what}")
    return problems


def _fork(item: Told, earlier: Sequence[Told]) -> list[str] | None:
    body = item.record.body
    if not isinstance(body, Fork):
        return None
    if not earlier:
        return [f"{item}: shares no record with any project"]
    stated = (body.from_commit, body.from_record)
    problems = []
    if stated != (item.commit.parents[0] if item.commit.parents else "", earlier[-1].digest):
        problems.append(f"{item}: says it goes on from {body.from_commit[:12]}, but stands elsewhere")
    ids = [b.project for other in earlier if isinstance(b := other.record.body, Proposal | Fork)]
    if body.from_project != ids[-1] or body.project in ids:
        problems.append(f"{item}: confuses the project it comes from with the one it begins")
    if item.commit.author != body.reviewer.person:
        problems.append(f"{item}: is in the name of {body.reviewer.person}, but {item.commit.author} made it")
    ended = {b.run for other in earlier if isinstance(b := other.record.body, Result)}
    if any(other.record.kind == "run" and other.digest not in ended for other in earlier):
        problems.append(f"{item}: comes between a run and its result")
    return problems


def _entries(told: Sequence[Told]) -> list[Entry]:
    return [Entry(t.record, t.digest, t.commit.id, t.commit.when, t.commit.author) for t in told]


def _run(item: Told, earlier: Sequence[Told]) -> list[str] | None:
    body = item.record.body
    if not isinstance(body, Run):
        return None
    last = earlier[-1].record.body if earlier else None
    if not isinstance(last, Approval) or last.decision != "approve" or earlier[-1].digest != body.approval:
        return [f"{item}: no approval stands right before it"]
    plan = _body_of(earlier, last.bundle.plan, Plan)
    if plan is None or body.trials != issue_trials(body.nonce, last.bundle.plan, plan):
        return [f"{item}: its trials do not follow from the nonce and the approved plan"]
    return []


def _result(item: Told, earlier: Sequence[Told]) -> list[str] | None:
    body = item.record.body
    if not isinstance(body, Result):
        return None
    run = _body_of(earlier, body.run, Run)
    approval = _body_of(earlier, run.approval, Approval) if run else None
    if approval is None:
        return [f"{item}: no approved run stands before it"]
    if body.isolation != approval.bundle.isolation:
        return [f"{item}: ran in another image or isolation than approved"]
    if not any(other.digest == approval.bundle.prediction for other in earlier):
        return [f"{item}: is older than its prediction"]
    assert run is not None  # or there was no approval
    began = next(place for place, other in enumerate(earlier) if other.digest == body.run)
    if any(other.record.kind == "fork" for other in earlier[began:]):
        return [f"{item}: ended in another project than it began in"]
    return _probed(item, body, run)


def _probed(item: Told, result: Result, run: Run) -> list[str]:
    if result.probe != (None if run.probe is None else digest_of(run.probe)):
        return [f"{item}: names another probe of its isolation than the run's"]
    if run.probe and not all(row.ok for row in run.probe.rows):
        return [f"{item}: ran although its isolation did not hold when it was tried"]
    return []


def _acceptance(item: Told, earlier: Sequence[Told]) -> list[str] | None:
    body = item.record.body
    if not isinstance(body, Acceptance):
        return None
    problems = []
    subject = body.subject
    if body.shown != digest_of(subject):
        problems.append(f"{item}: what was confirmed is not the subject in the record")
    if subject.ledger_head != (item.commit.parents[0] if item.commit.parents else ""):
        problems.append(f"{item}: given on top of {subject.ledger_head[:12]}, but stands elsewhere")
    known = {other.digest for other in earlier}
    bound = (subject.result, subject.check, subject.conclusion, subject.monitoring)
    problems += [
        f"{item}: binds {digest[:12]}, which is not before it" for digest in bound if digest not in known
    ]
    return problems + _decider(item, body, earlier)


def _report(item: Told, earlier: Sequence[Told]) -> list[str] | None:
    body = item.record.body
    if not isinstance(body, Report):
        return None
    decided = [
        other.record.body.decision
        for other in earlier
        if isinstance(other.record.body, Acceptance) and other.record.cycle == item.record.cycle
    ]
    ended = decided and decided[-1] in ("accept", "reject", "follow-up")
    problems = [] if ended else [f"{item}: no decision that ends a cycle stands before it"]
    left_out = [other for other in earlier if other.digest not in body.covers]
    return problems + [f"{item}: leaves out {other}" for other in left_out]


def _forecasts(item: Told, earlier: Sequence[Told]) -> list[str] | None:
    body = item.record.body
    if not isinstance(body, Check):
        return None
    prediction = _body_of(earlier, item.record.inputs.get("prediction", ""), Prediction)
    approval = _body_of(earlier, item.record.inputs.get("approval", ""), Approval)
    made = [*(prediction.forecasts if prediction else ()), *(approval.forecasts if approval else ())]
    scored = {(score.forecaster, score.forecast) for score in body.scores}
    left_out = [f for f in made if (f.forecaster, f.id) not in scored]
    return [f"{item}: forecast {f.id} of {f.forecaster} is not scored" for f in left_out]


RULES: dict[str, Rule] = {
    "every later proposal changes the text alone": _proposal,
    "every fork follows what it shares, under a new id": _fork,
    "every approval was given for what it binds": _approval,
    "every run follows an approval at once, with issued seeds": _run,
    "every result ran as approved, after its prediction": _result,
    "every forecast was scored": _forecasts,
    "every acceptance binds what stands before it": _acceptance,
    "every report comes after a decision and leaves nothing out": _report,
}


B = TypeVar("B", bound=Body)


def _body_of(earlier: Sequence[Told], digest: str, body_type: type[B]) -> B | None:
    body = next((other.record.body for other in earlier if other.digest == digest), None)
    return body if isinstance(body, body_type) else None
