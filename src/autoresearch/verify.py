"""Check a history against itself: what it says happened is what its bytes show.

Everything is worked out again from blobs: digests, messages, paths, order, seeds, and
that each result had an approval of the very bytes before it. Each record is looked at
once, and what it refers to is found by digest, so the work grows with the history and
no faster. Nothing here depends on the version of the tool that reads: only the words of
commit messages do, and those of another version are not compared.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from autoresearch import __version__
from autoresearch.anchor import ANCHORED, Anchored
from autoresearch.config import parse_settings
from autoresearch.contents import Content, hashed
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
from autoresearch.ports import Commit, FileChange, History
from autoresearch.records import (
    Acceptance,
    Approval,
    Config,
    FileRef,
    Fork,
    Proposal,
    Record,
    Settings,
    WorkflowRef,
    count,
    parse_record,
    sha256,
)
from autoresearch.signed import Keys
from autoresearch.verdict import Findings, Signing, Verdict
from autoresearch.verify_rules import RULES, Past, Told, key_of

WHOLE = "the repository is whole and shows its own history"
LINE = "one line of commits, no merge"
OWN = "every commit is a record, or a person's notes"
SIGNED = "where keys are registered, every decision is signed"
MESSAGES = "every message is the one its record yields"
FILES = "every file is vouched for, byte for byte"
CHAIN = "records follow one another, none twice, none missing"
INPUTS = "every record is made from records before it"
CHECKS = {
    WHOLE: "repositories",
    ANCHORED: "anchored heads",
    LINE: "commits",
    OWN: "commits",
    MESSAGES: "messages",
    FILES: "files",
    CHAIN: "records",
    INPUTS: "inputs",
    SIGNED: "decisions",
    **{name: noun for name, (noun, _) in RULES.items()},
}
"""Each check, in the order of the table, and what it looks at."""


def verify(history: History, anchors: Sequence[Anchored] | None = None) -> Verdict:
    """Never raises for a bad history: everything wrong is a row of the verdict.

    `anchors` are heads that were seen before and kept elsewhere; None where nobody kept any.
    """
    findings = Findings(
        {name: noun for name, noun in CHECKS.items() if name != ANCHORED or anchors is not None}
    )
    commits = history.commits()
    findings.look(WHOLE, *history.oddities())
    told = _tell(history, commits, findings)
    for anchored in anchors or ():
        findings.look(ANCHORED, *anchored.problems(_records_at(commits, told)))
    signing = _signatures(told, findings)
    files = _Files(history)
    words = _Words(told)
    past = Past()
    for item in told:
        findings.look(MESSAGES, *words.problems(item))
        number, problems = files.look(item)
        findings.look(FILES, *problems, at=number)
        findings.look(CHAIN, *_chain(item, past))
        number, problems = _inputs(item, past)
        findings.look(INPUTS, *problems, at=number)
        for name, (_, rule) in RULES.items():
            found = rule(item, past)
            if found is not None:
                findings.look(name, *found)
        past.add(item)
    return Verdict(
        findings.rows(),
        commits[-1].id if commits else "none",
        len(told),
        signing,
        tuple(files.unseen),
        words.notes(),
        anchored=bool(anchors),
    )


def _records_at(commits: Sequence[Commit], told: Sequence[Told]) -> dict[str, int]:
    """Commit id → how many records the history up to it has."""
    records = {item.commit.id for item in told}
    found, number = {}, 0
    for commit in commits:
        number += commit.id in records
        found[commit.id] = number
    return found


def _signatures(told: Sequence[Told], findings: Findings) -> Signing:
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
    for index, commit in enumerate(commits):
        expected = (commits[index - 1].id,) if index else ()
        findings.look(
            LINE, *([] if commit.parents == expected else [f"{commit.id[:12]} has parents {commit.parents}"])
        )
        changed = history.changed_paths(commit)
        if not trailers_of(commit.message):
            stray = [path for path in changed if not is_own(path)]
            problem = (
                f"{commit.id[:12]} by {commit.author.name} is no record and changes {', '.join(stray[:3])}"
            )
            findings.look(OWN, *([problem] if stray or not changed else []))
            continue
        try:
            record = _record_in(history, commit, changed)
        except AutoresearchError as error:
            findings.look(OWN, str(error))
            continue
        findings.look(OWN)
        told.append(Told(commit, record, record.digest, told[-1] if told else None, changed))
    return told


def _record_in(history: History, commit: Commit, changed: Mapping[str, FileChange]) -> Record:
    for path in sorted(changed):
        parts = path.split("/")
        if len(parts) == 4 and parts[2].startswith("attempt-") and path.endswith(".json"):
            record = parse_record(history.read(path, commit.id), f"{path} in {commit.id[:12]}")
            if record_path(record) == path:
                return record
    raise AutoresearchError(f"{commit.id[:12]} claims a record and adds none")


class _Words:
    """Messages. What they name is compared strictly; their prose only if this version wrote it."""

    def __init__(self, told: Sequence[Told]) -> None:
        first = told[0].record.body if told else None
        self._version = first.tool.version if isinstance(first, Proposal) else __version__
        self._others = 0

    def problems(self, item: Told) -> list[str]:
        before = item.before
        said = item.commit.message.rstrip("\n")
        yielded = commit_message(
            item.record, before.record if before else None, item.digest, before.digest if before else ""
        ).rstrip("\n")
        if said == yielded:
            return []
        trailers = trailers_of(said)
        if not trailers.get("Record", "").endswith(item.digest):
            stated = trailers.get("Record", "no record")
            return [f"{item}: the message names {stated[:40]}…, the bytes give {item.digest[:12]}"]
        if self._version == __version__ or trailers != trailers_of(yielded):
            return [f"{item}: the message is not the one its record yields"]
        self._others += 1
        return []

    def notes(self) -> tuple[str, ...]:
        if not self._others:
            return ()
        what = f"{count(self._others, 'message')} in the words of another version than {__version__}"
        return (f"{what}: what they name was compared, their prose was not; made by {self._version}",)


class _Files:
    """Every file of every record's commit, against what the record says of it."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.unseen: list[str] = []

    def look(self, item: Told) -> tuple[int, list[str]]:
        """How many files were looked at, and what is wrong with them."""
        refs, special = vouched_files(item.record), _special(item.record)
        problems = [*self._strays(item, refs, special), *self._vouched(item, refs)]
        for path, holds in special.items():
            data = self._bytes(path, item.commit.id)
            if data is None or not holds(data):
                problems.append(f"{item}: {path} is not what the record says")
        return len({*item.changed, *refs, *special}), problems

    def _strays(
        self, item: Told, refs: Mapping[str, FileRef], special: Mapping[str, object]
    ) -> Iterator[str]:
        expected = {
            record_path(item.record),
            *(path for path, ref in refs.items() if ref.committed),
            *special,
        }
        # A file that is the same as before is vouched for again without a change.
        for path in sorted(set(item.changed) - expected):
            yield f"{item}: {path} is not vouched for"
        for path, change in item.changed.items():
            if change.status == "D":
                yield f"{item}: {path} was deleted"
            elif change.mode != "100644":
                yield f"{item}: {path} has mode {change.mode}"

    def _vouched(self, item: Told, refs: Mapping[str, FileRef]) -> Iterator[str]:
        for path, ref in refs.items():
            if ref.committed:
                data: Content | None = self._bytes(path, item.commit.id)
            else:
                data = self._history.stored(ref.sha256)
            if data is None and not ref.committed:
                self.unseen.append(path)
            elif data is None:
                yield f"{item}: {path} is missing"
            elif hashed(data) != (ref.sha256, ref.size):
                yield f"{item}: {path} is not the file the record vouches for"

    def _bytes(self, path: str, commit: str) -> bytes | None:
        try:
            return self._history.read(path, commit)
        except AutoresearchError:
            return None


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


def _chain(item: Told, past: Past) -> list[str]:
    problems = []
    last, record = past.last, item.record
    before = last.digest if last else None
    if record.parent != before:
        problems.append(
            f"{item}: says it follows {str(record.parent)[:12]}, but stands after {str(before)[:12]}"
        )
    twice = past.by_key.get(key_of(record))
    if twice is not None:
        problems.append(f"{item}: its step is already on record in {twice.commit.id[:12]}")
    here, there = (record.cycle, record.attempt), (last.record.cycle, last.record.attempt) if last else (0, 0)
    if here not in (there, (there[0], there[1] + 1), (there[0] + 1, 1)):
        problems.append(
            f"{item}: cycle {here[0]}, attempt {here[1]} comes after cycle {there[0]}, attempt {there[1]}"
        )
    return problems


def _inputs(item: Told, past: Past) -> tuple[int, list[str]]:
    """How many records it was made from, and which of them do not stand before it."""
    named = {name: digest for name, digest in item.record.inputs.items() if not name.startswith("section:")}
    return len(named), [
        f"{item}: made from {name} {digest[:12]}, which is not before it"
        for name, digest in named.items()
        if digest not in past.by_digest
    ]
