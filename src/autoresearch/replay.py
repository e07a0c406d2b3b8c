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
from typing import Protocol

from autoresearch.comparison import MESSAGE, Difference, Files, but_for_versions, exactly, explained
from autoresearch.contents import Content, HeldFile, bytes_of
from autoresearch.driver import Driver
from autoresearch.errors import AutoresearchError, LedgerError, Pending
from autoresearch.layout import (
    LOCK_FILE,
    PROPOSAL_FILE,
    SETTINGS_FILE,
    WORKFLOW_DIR,
    commit_message,
    record_path,
    vouched_files,
)
from autoresearch.nodes import Nodes
from autoresearch.ports import Commit, Entry, FileChange, Seal
from autoresearch.recorded import (
    AskedOtherwise,
    RecordedClock,
    RecordedDesk,
    RecordedEntropy,
    RecordedReviewer,
    RecordedSandbox,
    RecordedSigner,
    Silent,
    Source,
    Tape,
    TapeEnded,
    recorded_ports,
)
from autoresearch.records import APART, Config, Person, Proposal, Record, body_as
from autoresearch.settings_in_force import workflow_in_force
from autoresearch.ssh_signature import split
from autoresearch.workflow import Workflow, parse_workflow


@dataclass(frozen=True)
class Derived:
    """One record made again."""

    entry: Entry
    """As recorded."""
    differences: tuple[Difference, ...]
    """Empty: the record and its commit are equal to the last bit; between versions, as `but_for_versions` says."""

    @property
    def explained(self) -> bool:
        """Nothing differs that another version of a rule or a library would not account for."""
        return all(explained(self.entry.record, found) for found in self.differences)


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
    *,
    other_versions: bool = False,
) -> int:
    """Returns how many records were made again. Raises DivergedError at the first that is not equal.

    With `other_versions`, made by another tool or with other libraries, what those explain is a
    difference and no error. Each record is then made from the recorded ones before it, so that
    every difference is told where it arises and not again in all that follows from it.
    """
    tape = Tape(source)
    scratch = make_scratch(tape.time_of_next)
    ledger = ComparingLedger(tape, scratch, on_record, other_versions=other_versions)
    ledger.begin()
    try:
        _run_to_the_end(_driver(ledger, tape, workflow), tape)
        while not tape.ended():  # a fork stands here
            ledger.repeat_fork()
            _run_to_the_end(_driver(ledger, tape, _workflow_then(tape)), tape)
    except AskedOtherwise as error:
        derived = Derived(error.entry, error.differences)
        on_record(derived)
        raise DivergedError(derived) from error
    return tape.position


def _driver(ledger: "ComparingLedger", tape: Tape, workflow: Workflow) -> Driver:
    return Driver(
        ledger=ledger,
        lock=_no_lock,
        workflow=workflow,
        nodes=Nodes(workflow, ledger, recorded_ports(tape), Silent()),
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


def _workflow_then(tape: Tape) -> Workflow:
    commit = workflow_in_force(tape.entries[: tape.position])[1]
    return parse_workflow(tape.source.read(f"{WORKFLOW_DIR}/workflow.yaml", commit).decode())


def _run_to_the_end(driver: Driver, tape: Tape) -> None:
    """Run until the tape ends, or a fork comes next; again where the person had left, changed the settings and come back."""
    came_back = True
    stopped: AutoresearchError | None = None
    while came_back and not tape.ended() and not tape.at_fork():
        began = tape.position
        stopped = _run_once(driver)
        came_back = not tape.ended() and tape.position > began and isinstance(tape.next().record.body, Config)
    if tape.ended() or tape.at_fork():
        return
    if stopped is not None:
        at = f"the {tape.next().record.kind} in {tape.next().commit[:12]}"
        raise LedgerError(f"the replay stopped before the history did, at {at}: {stopped}") from stopped
    raise LedgerError(
        f"{len(tape.entries) - tape.position} records follow that the steps before them do not lead to, "
        f"the first a {tape.next().record.kind} in {tape.next().commit[:12]}"
    )


def _run_once(driver: Driver) -> AutoresearchError | None:
    """What stopped the driver short of an end, if anything did. Raises DivergedError."""
    try:
        driver.run()
    except (DivergedError, AskedOtherwise):
        raise
    except AutoresearchError as error:
        return error
    return None


class ComparingLedger:
    """Appends to the scratch repository and compares each record with the tape."""

    def __init__(
        self, tape: Tape, scratch: Scratch, on_record: Callable[[Derived], None], *, other_versions: bool
    ) -> None:
        self._tape = tape
        self._scratch = scratch
        self._on_record = on_record
        self._other_versions = other_versions
        self._own = own_commits(tape.source)
        self._commits = {commit.id: commit for commit in tape.source.commits()}
        for name in (
            "entries", "head", "payload", "read", "note", "noted", "forget", "outputs_dir", "clear_outputs",
        ):  # fmt: skip
            setattr(self, name, getattr(scratch, name))

    entries: Callable[[], Sequence[Entry]]
    head: Callable[[], str]
    payload: Callable[..., bytes]
    read: Callable[[str, str], bytes]
    outputs_dir: Callable[[str], Path]
    clear_outputs: Callable[[], None]
    note: Callable[[str, bytes], None]
    noted: Callable[[str], bytes | None]
    forget: Callable[[str], None]

    def stored(self, sha256: str) -> HeldFile | None:
        return self._scratch.stored(sha256) or self._tape.source.stored(sha256)

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
        changed = source.changed_paths(self._commits[entry.commit])
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
        if self._other_versions:
            derived = Derived(recorded, tuple(self._but_for_versions(recorded, record, files)))
        else:
            made = self._scratch.append(record, files, after=after, author=author, extra=extra, seal=seal)
            derived = Derived(recorded, tuple(self._exactly(recorded, made, files)))
        self._on_record(derived)
        if derived.differences and not (self._other_versions and derived.explained):
            raise DivergedError(derived)
        if self._other_versions:
            made = self._repeat(recorded)
        self._tape.position += 1
        for commit in self._own.get(recorded.commit, ()):
            source = self._tape.source
            self._scratch.repeat_commit(commit, own_files(source, commit), source.changed_paths(commit))
        if self._tape.ended() and made.record.kind != "fork":
            raise TapeEnded("the history ends here")
        return made

    def _exactly(self, recorded: Entry, made: Entry, files: Mapping[str, Content]) -> Iterator[Difference]:
        """The commit last, since it covers every file and the message."""
        yield from exactly(recorded.record, made.record, *self._files(recorded, made.record, files))
        if recorded.commit != made.commit and recorded.digest == made.digest:
            yield Difference("commit (a file, the message or the author)", recorded.commit, made.commit)

    def _but_for_versions(
        self, recorded: Entry, record: Record, files: Mapping[str, Content]
    ) -> Iterator[Difference]:
        yield from but_for_versions(recorded.record, record, *self._files(recorded, record, files))
        before = self._tape.entries[self._tape.position - 1].record if self._tape.position else None
        was, now = self._commits[recorded.commit].message, commit_message(recorded.record, before)
        if was.rstrip("\n") != now.rstrip("\n"):
            yield Difference(MESSAGE, _differing_line(was, now), _differing_line(now, was))

    def _files(self, recorded: Entry, record: Record, files: Mapping[str, Content]) -> tuple[Files, Files]:
        """The files that differ, as recorded and as made again; one too large to commit goes by its digest."""
        was, now = vouched_files(recorded.record), vouched_files(record)
        same = {path for path, ref in was.items() if path in now and now[path].sha256 == ref.sha256}
        source = self._tape.source
        return (
            {ref.path: source.read(path, recorded.commit) for path, ref in was.items() if path not in same and ref.committed},
            {ref.path: bytes_of(files[path]) for path, ref in now.items() if path not in same and ref.committed},
        )  # fmt: skip

    def _repeat(self, recorded: Entry) -> Entry:
        """The recorded commit, byte for byte: what follows is made from what was recorded."""
        commit = self._commits[recorded.commit]
        self._scratch.repeat_commit(commit, own_files(self._tape.source, commit))
        return self._scratch.entries()[-1]


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


def _differing_line(text: str, other: str) -> str:
    """The first line of `text` that `other` does not have in its place."""
    there = other.splitlines()
    lines = enumerate(text.splitlines())
    return next((line for number, line in lines if there[number : number + 1] != [line]), "absent")


def _no_lock() -> AbstractContextManager[None]:
    return nullcontext()
