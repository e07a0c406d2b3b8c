"""The ledger: one commit per record on one branch of an ordinary git repository.

Read from commits only, never from the work tree. Written in this order, so that a
crash at any point loses nothing and leaves nothing half-done: objects, a note of
the work tree's pending update, the ref by compare-and-swap, then files and index.
"""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Self

import git
from filelock import FileLock, Timeout
from pydantic import ValidationError

from autoresearch.adapters.git_branch import Branch, Locked, Moved
from autoresearch.adapters.git_locks import remove_stale
from autoresearch.adapters.git_objects import (
    BLOB_MODE,
    CommitParts,
    ObjectWriter,
    Sync,
    grow_tree,
    object_id,
    remove_half_written,
    store_durably,
    sync,
    write_durably,
)
from autoresearch.adapters.git_place import BRANCH
from autoresearch.adapters.git_reader import ObjectReader
from autoresearch.boundaries import Reached, go_on
from autoresearch.contents import Content, HeldFile, bytes_of, hashed
from autoresearch.credentials import credential_in
from autoresearch.errors import LedgerError, Stale
from autoresearch.layout import (
    NOTES_DIR,
    OWN_DIRS,
    commit_message,
    is_own,
    record_path,
    trailers_of,
    vouched_files,
)
from autoresearch.ports import Clock, Commit, Entry, FileChange, Seal
from autoresearch.records import Person, Record, clip, parse_record
from autoresearch.safe_text import escape
from autoresearch.ssh_signature import with_signature

FILE_MODES = ("100644", "100755")
"""What is written to the work tree. A person's notes may hold links, too, which are left to their own git."""
OUTPUTS = "outputs"
WORK_TREE = "work-tree"
"""The journal's key of the move of the branch that files and index follow."""
HALF_WRITTEN_IN = ("objects/??", "autoresearch/artifacts", "autoresearch/journal")

_COMMIT = re.compile("([0-9a-f]{40})?")

# Nothing in a repository, the machine or the user's home may run code or change bytes.
_SAFE_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.attributesFile": os.devnull,
    "core.autocrlf": "false",
    "core.fsync": "all",
    "core.quotePath": "false",
    "gc.auto": "0",
    "core.commitGraph": "false",  # a file beside the objects that says who their parents are
    "i18n.logOutputEncoding": "UTF-8",
}
_SAFE_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    # In a partial clone a missing object is fetched, by a command if the configuration says so. Unlike
    # protocol.allow, which protocol.ext.allow overrides, this overrides every setting.
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_CONFIG_COUNT": str(len(_SAFE_SETTINGS)),
    **{f"GIT_CONFIG_KEY_{index}": key for index, key in enumerate(_SAFE_SETTINGS)},
    **{f"GIT_CONFIG_VALUE_{index}": value for index, value in enumerate(_SAFE_SETTINGS.values())},
}


@dataclass(frozen=True)
class Change:
    """A file of the work tree that differs from the last commit."""

    path: str
    what: str
    """`modified`, `deleted` or `untracked`."""

    def way_on(self, folder: str = ".") -> str:
        """What mends it, with the command as a shell takes it; `folder` is the project, seen from there.

        What git does not have is kept: nothing could bring it back.
        """
        if self.what != "untracked":
            command = ["git"] if folder == "." else ["git", "-C", folder]
            return f"undo with: {shlex.join([*command, 'checkout', '--', self.path])}"
        path, notes = (os.path.normpath(f"{folder}/{name}") for name in (self.path, NOTES_DIR))
        move = ["mv", "-n", "--", path, f"{notes}/"]
        return f"keep it with: {shlex.join(['mkdir', '-p', notes])} && {shlex.join(move)}"


class GitLedger:
    """The ledger of the project in `root`. Implements `ports.Ledger`."""

    def __init__(self, root: Path, clock: Clock, reached: Reached = go_on, sync: Sync = sync) -> None:
        self.root = root
        self._clock = clock
        self._reached = reached
        self._sync = sync
        try:
            self._repo = git.Repo(root, search_parent_directories=False)
        except (git.InvalidGitRepositoryError, git.NoSuchPathError) as error:
            raise LedgerError(f"{root} is not a project: it has no git repository") from error
        self._git = self._repo.git
        self._git.update_environment(**_SAFE_ENVIRONMENT)
        self.git_dir = Path(self._repo.git_dir)
        self._objects = ObjectReader(self.git_dir, {**os.environ, **_SAFE_ENVIRONMENT})
        self._own = self.git_dir / "autoresearch"
        self._cached: tuple[str, list[Entry]] = ("", [])

    @classmethod
    def create(cls, root: Path, clock: Clock) -> Self:
        """An empty ledger in `root`, which exists and is empty."""
        # An empty template: no hook of this machine's comes along.
        try:
            repo = git.Repo.init(
                root, initial_branch="main", object_format="sha1", template="", allow_unsafe_options=True
            )
        except git.GitCommandError as error:
            raise LedgerError(f"git could not make a repository in {root}: {_said(error)}") from error
        with repo.config_writer() as config:
            config.set_value("core", "autocrlf", "false")
            config.set_value("gc", "auto", "0")
        (Path(repo.git_dir) / "autoresearch").mkdir(mode=0o700)
        repo.close()
        return cls(root, clock)

    def take_over(self, source: "GitLedger", commit: str) -> None:
        """Begin, empty as this ledger is, with the history of `source` up to `commit`: the same objects and ids."""
        pack = [f"--git-dir={source.git_dir}", "pack-objects", "--revs", "--stdout", "--quiet"]
        unpack = [f"--git-dir={self.git_dir}", "index-pack", "--stdin", "--strict"]
        with self._writing(), tempfile.TemporaryFile(dir=self._own) as packed:
            _git_command(pack, stdin=f"{commit}\n".encode(), stdout=packed)
            packed.seek(0)
            _git_command(unpack, stdin=packed, stdout=subprocess.DEVNULL)
            self._move_to(commit, "")

    def keep(self, content: HeldFile) -> None:
        """Store a file that was too large to commit under its digest. Raises LedgerError if it is another's."""
        if hashed(content)[0] != content.sha256:
            raise LedgerError(f"{content.place} has changed on disk since it was written")
        with self._writing():
            self._store(content.sha256, content)

    def close(self) -> None:
        self._objects.close()
        self._repo.close()

    # ------------------------------------------------------------------ reading

    @property
    def objects_asked(self) -> int:
        """How many objects were asked of git so far: what reading costs, whatever the machine does."""
        return self._objects.asked

    def head(self) -> str:
        """The branch's commit id; empty before the first record."""
        found = self._objects.find(f"{BRANCH}^{{commit}}")
        return found.oid if found else ""

    def commits(self, until: str = BRANCH, after: str = "") -> list[Commit]:
        """First-parent history, oldest first."""
        if not self.head():
            return []
        span = f"{after}..{until}" if after else until
        raw = self._run(
            "log", "--first-parent", "--reverse", "-z", "--no-show-signature",
            "--format=%H%x00%P%x00%an%x00%ae%x00%at%x00%B", span, "--",
        )  # fmt: skip
        fields = raw.removesuffix("\0").split("\0") if raw else []
        if len(fields) % 6:
            raise LedgerError("git's history cannot be read: a commit message holds a NUL byte")
        return [self._parse(fields[at : at + 6]) for at in range(0, len(fields), 6)]

    def _parse(self, fields: Sequence[str]) -> Commit:
        name, parents, author, email, when, message = fields
        found = self._objects.find(name.strip())
        return Commit(
            name.strip(), tuple(parents.split()), _person(author, email), _moment(when), message,
            found.data if found else b"",
        )  # fmt: skip

    def entries(self) -> Sequence[Entry]:
        head = self.head()
        known, entries = self._cached
        if head != known:
            entries = list(entries) if known and self._descends(head, known) else []
            for commit in self.commits(after=known if entries else ""):
                entry = self._entry(commit)
                if entry is not None:
                    entries.append(entry)
            _require_beginning(entries)
            self._cached = (head, entries)
        return entries

    def read(self, path: str, commit: str) -> bytes:
        found = self._objects.find(f"{commit}:{path}")
        if found is None or found.kind != "blob":
            raise LedgerError(f"{path} is not in commit {commit[:12]}")
        return found.data

    def exists(self, path: str, commit: str) -> bool:
        return self._objects.find(f"{commit}:{path}") is not None

    def changed_paths(self, commit: Commit) -> dict[str, FileChange]:
        before = f"{commit.parents[0]}^{{tree}}" if commit.parents else None
        return dict(self._objects.difference(before, f"{commit.id}^{{tree}}"))

    def oddities(self) -> list[str]:
        """What git itself finds wrong, and what would make it show another history than it has."""
        found = []
        code, out, err = self._git.execute(
            ["git", "fsck", "--strict", "--full", "--no-dangling", "--no-progress"],
            with_extended_output=True, with_exceptions=False,
        )  # fmt: skip
        if int(code) != 0:
            found += [f"git fsck: {line}" for line in f"{out}\n{err}".splitlines() if line.strip()][:5]
        found += [
            f"a replace ref stands: {line}" for line in self._run("for-each-ref", "refs/replace").splitlines()
        ]
        for odd in ("info/grafts", "shallow", "objects/info/alternates"):
            if (self.git_dir / odd).exists():
                found.append(f".git/{odd} exists")
        if self._run("symbolic-ref", "--quiet", "HEAD", check=False).strip() != BRANCH:
            found.append(f"HEAD is not on {BRANCH}")
        return found

    def stored(self, sha256: str) -> HeldFile | None:
        """An artefact that was too large to commit, by digest; None in a clone without it."""
        place = self._own / "artifacts" / sha256
        return HeldFile(place, sha256, place.stat().st_size) if place.is_file() else None

    # ------------------------------------------------------------------ writing

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
        """Commit `record` and `files`.

        `extra` names the files among them that the body vouches for by other means than
        a FileRef (the proposal's, the settings').
        """
        refs = vouched_files(record)
        strangers = set(files) - set(refs) - set(extra)
        if strangers:
            raise LedgerError(
                f"{', '.join(sorted(strangers))} is not vouched for by the {record.kind} record"
            )
        committed = _committed(record, files)
        _refuse_credentials(committed)
        with self._writing():
            for path, data in files.items():
                if path in refs and not refs[path].committed:
                    self._store(refs[path].sha256, data)
        entries = self.entries()
        when = seal.when if seal else self._clock.now()
        parts = self._parts(record, after, author, when)

        def commit_of(tree: str) -> bytes:
            payload = replace(parts, tree=tree).payload()
            return with_signature(payload, seal.signature) if seal else payload

        raw = self._commit(committed, after, commit_of)
        commit = object_id("commit", raw)
        entry = Entry(record, record.digest, commit, _whole_seconds(when), author, raw)
        self._cached = (commit, [*entries, entry])
        return entry

    def payload(
        self,
        record: Record,
        files: Mapping[str, bytes],
        *,
        after: str,
        author: Person,
        when: datetime,
    ) -> bytes:
        """What a signature of the commit that `append` would make at `when` covers. Moves nothing.

        It needs no lock, so a signature may take its time. What is written for it is removed again.
        """
        parts = self._parts(record, after, author, when)
        writer = ObjectWriter(self.git_dir / "objects")
        with self._writing():
            try:
                return replace(parts, tree=self._grow(writer, _committed(record, files), after)).payload()
            finally:
                writer.discard()

    @property
    def inputs_dir(self) -> Path:
        """Where the project's data lie, outside its commits."""
        return self._own / "inputs"

    def repeat_commit(
        self, commit: Commit, files: Mapping[str, bytes], changes: Mapping[str, FileChange] | None = None
    ) -> str:
        """Make a commit again as it was, on top of this branch: a person's own, or a recorded one. Returns its id.

        `changes` is what it did to each path, where that is more than to add plain `files`:
        take away, link, make executable.
        """
        head = self.head()
        # All other headers stay as they are: committer, time zones, a signature of the person's own.
        headers, blank, message = commit.raw.partition(b"\n\n")
        kept = [line for line in headers.split(b"\n") if not line.startswith((b"tree ", b"parent "))]

        def commit_of(tree: str) -> bytes:
            places = [f"tree {tree}", *([f"parent {head}"] if head else [])]
            return b"\n".join([*(place.encode() for place in places), *kept]) + blank + message

        return object_id("commit", self._commit(files, head, commit_of, changes))

    def note(self, key: str, data: bytes) -> None:
        journal = self._own / "journal"
        with self._writing():
            journal.mkdir(parents=True, exist_ok=True)
            write_durably(journal / key, data, "journal entry", reached=self._reached, sync=self._sync)
            self._sync(journal)

    def outputs_dir(self, run_id: str) -> Path:
        """A new, empty directory for what a run leaves, until it is committed."""
        folder = self._own / OUTPUTS / run_id
        with self._writing():
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(mode=0o700, parents=True)
            self._reached("outputs folder made")
        return folder

    def clear_outputs(self) -> None:
        """What counts of them is committed; a run that has no record yet is collected again."""
        with self._writing():
            if (self._own / OUTPUTS).exists():
                shutil.rmtree(self._own / OUTPUTS)
                self._reached("outputs removed")

    def noted(self, key: str) -> bytes | None:
        place = self._own / "journal" / key
        return place.read_bytes() if place.is_file() else None

    def forget(self, key: str) -> None:
        with self._writing():
            (self._own / "journal" / key).unlink(missing_ok=True)
            self._reached("journal entry removed")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One writer at a time. Raises Stale if another process holds the lock."""
        with self._writing():
            self._own.mkdir(mode=0o700, exist_ok=True)
            try:
                held = FileLock(self._own / "lock", timeout=0).acquire()
            except Timeout as error:
                raise Stale(
                    "another autoresearch process is working on this project; wait for it, or look with: autoresearch status"
                ) from error
        with held:
            self._reached("lock taken")
            yield
            self._reached("lock about to be released")

    def mend(self) -> None:
        """Finish what a crash interrupted. Call under the lock, before anything else."""
        with self._writing():
            self._reached("mending begun")
            for leftover in (self._own / "scratch").glob("*"):
                leftover.unlink(missing_ok=True)
            for folder in HALF_WRITTEN_IN:
                remove_half_written(self.git_dir, folder)
            self._reached("half-written files removed")
            self.clear_outputs()
            self._mend_work_tree()

    def _mend_work_tree(self) -> None:
        pending = self.noted(WORK_TREE)
        if pending is None:
            return
        old, new = _noted_move(pending)
        # Only now can a lock be ours; at any other time it is a person's own git at work.
        self._branch().remove_own_lock(new)
        for name in ("index", BRANCH):
            remove_stale(self.git_dir / f"{name}.lock", self.root)
        if self.head() == new:
            self._update_work_tree(old, new)
        self._reached("work tree mended")
        self.forget(WORK_TREE)

    def changes(self) -> list[Change]:
        """Files of the work tree that differ from the last commit, notes and ignored ones left out."""
        found = []
        for path, _, oid in self._objects.files(f"{BRANCH}^{{tree}}"):
            if is_own(path):
                continue
            data = self._work_file(path)
            if data is None:
                found.append(Change(path, "deleted"))
            elif object_id("blob", data) != oid:
                found.append(Change(path, "modified"))
        others = self._run("ls-files", "--others", "--exclude-standard", "-z").removesuffix("\0").split("\0")
        found += [Change(path, "untracked") for path in others if path and not is_own(path)]
        return found

    def work_file(self, path: str) -> bytes | None:
        """A file as the person left it; None if it is not a regular file."""
        return self._work_file(path)

    # ----------------------------------------------------------------- internals

    def _parts(self, record: Record, after: str, author: Person, when: datetime) -> CommitParts:
        """The commit of `record` on top of `after`, but for its tree. Raises Stale."""
        entries = self.entries()
        last = entries[-1] if entries else None
        if record.parent != (last.digest if last else None):
            raise Stale("the project moved on meanwhile; look again with: autoresearch status")
        before, digest = (last.record, last.digest) if last else (None, "")
        return CommitParts(
            tree="", parents=(after,) if after else (), author=author, when=when,
            message=commit_message(record, before, parent_digest=digest),
        )  # fmt: skip

    def _grow(
        self,
        writer: ObjectWriter,
        blobs: Mapping[str, Content],
        old: str,
        changes: Mapping[str, FileChange] | None = None,
    ) -> str:
        """The id of `old`'s tree with `blobs` put in, and `changes` made."""
        entries: dict[str, tuple[str, str] | None] = {
            path: (BLOB_MODE, writer.blob(bytes_of(data))) for path, data in blobs.items()
        }
        for path, change in (changes or {}).items():
            entries[path] = None if change.status == "D" else (change.mode, change.oid)
        base = self._objects.tree(f"{old}^{{tree}}") if old else {}
        return writer.tree(grow_tree(writer, base, entries, self._objects.tree))

    def _commit(
        self,
        blobs: Mapping[str, Content],
        old: str,
        commit_of: Callable[[str], bytes],
        changes: Mapping[str, FileChange] | None = None,
    ) -> bytes:
        """Put `blobs` on top of `old`; `commit_of` makes the commit object of a tree. Returns that object."""
        writer = ObjectWriter(self.git_dir / "objects", self._reached, self._sync)
        with self._writing():
            try:
                raw = commit_of(self._grow(writer, blobs, old, changes))
                new = writer.commit(raw)
                writer.sync()
            finally:
                writer.discard()
            self._move_to(new, old)
        self._reached("record committed")
        return raw

    def _move_to(self, new: str, old: str) -> None:
        self.note(WORK_TREE, f"{old}\n{new}\n".encode())
        self._reached("work tree noted")
        self._move_branch(new, old)
        self._reached("branch moved")
        self._update_work_tree(old, new)
        self.forget(WORK_TREE)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LedgerError(
                f"could not write to {self.root}: {error.strerror or error}{self._what_next()}"
            ) from error

    def _what_next(self) -> str:
        """After a write that failed."""
        return "; mend that, then: autoresearch run" if self.head() else ""

    def _move_branch(self, new: str, old: str) -> None:
        if (self.git_dir / "reftable").is_dir():
            raise LedgerError(
                f"{self.root} keeps its branches as a reftable, which is not written here; "
                "type: git refs migrate --ref-format=files"
            )
        try:
            self._branch().move(new, old, self.head)
        except Moved as error:
            raise Stale("the project moved on meanwhile; look again with: autoresearch status") from error
        except Locked as error:
            raise LedgerError(
                f"could not move {BRANCH}: {BRANCH}.lock is there. If no git is at work in {self.root}, remove "
                f".git/{BRANCH}.lock and go on with: autoresearch run"
            ) from error

    def _update_work_tree(self, old: str, new: str) -> None:
        """Bring files and index of the commit up to date, leaving a person's changes alone."""
        difference = self._objects.difference(f"{old}^{{tree}}" if old else None, f"{new}^{{tree}}")
        changed = {path: found for path, found in difference if found.status != "D"}
        scratch = self._scratch()
        for path, change in changed.items():
            present = self._work_file(path)
            untouched = ("" if present is None else object_id("blob", present)) == change.before
            if untouched and change.mode in FILE_MODES and not self._blocked(path):
                target = self.root / path
                target.parent.mkdir(parents=True, exist_ok=True)
                data = self._objects.blob(change.oid)
                write_durably(
                    target, data, "work file", scratch=scratch, reached=self._reached, sync=self._sync
                )
                if change.mode == "100755":
                    target.chmod(target.stat().st_mode | 0o111)
        self._reached("work files written")
        lines = "".join(f"{change.mode} {change.oid}\t{path}\0" for path, change in changed.items())
        self._index(lines.encode())
        self._reached("index updated")

    def _branch(self) -> Branch:
        return Branch(self.git_dir / BRANCH, self._scratch(), self._reached, self._sync)

    def _scratch(self) -> Path:
        folder = self._own / "scratch"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _index(self, lines: bytes) -> None:
        # Not through GitPython, which takes as long again as git itself.
        update = [f"--git-dir={self.git_dir}", "update-index", "-z", "--index-info"]
        _git_command(update, stdin=lines, stdout=subprocess.DEVNULL)

    def _blocked(self, path: str) -> bool:
        """A folder stands where the file should, or a file where its folder should: a person's, so it stays."""
        target = self.root / path
        above = (folder for folder in target.parents if folder.is_relative_to(self.root))
        return self._through_link(path) or target.is_dir() or any(folder.is_file() for folder in above)

    def _through_link(self, path: str) -> bool:
        """A link on the way would carry the write out of the project."""
        parts = Path(path).parts
        return any((self.root / Path(*parts[:depth])).is_symlink() for depth in range(1, len(parts)))

    def _work_file(self, path: str) -> bytes | None:
        place = self.root / path
        if self._through_link(path) or place.is_symlink() or not place.is_file():
            return None
        return place.read_bytes()

    def _entry(self, commit: Commit) -> Entry | None:
        trailers = trailers_of(commit.message)
        if not trailers:
            if problem := self._foreign(commit):
                short = commit.id[:12]
                raise LedgerError(
                    f"commit {short} by {commit.author.name} is not a record and {problem}; look at it with: "
                    f"git show {short}\n"
                    f"undo it, and what follows it, in {self.root} with: git reset --keep {short}~1"
                )
            return None
        path = self._record_path(commit, trailers)
        record = parse_record(self.read(path, commit.id), f"{path} in {commit.id[:12]}")
        stated = trailers["Record"].removeprefix(f"{record.kind}@sha256:")
        if stated != record.digest:
            raise LedgerError(
                f"{path} in commit {commit.id[:12]} is not the record that its commit names; see: autoresearch verify"
            )
        return Entry(record, record.digest, commit.id, commit.when, commit.author, commit.raw)

    def _foreign(self, commit: Commit) -> str:
        """Why a commit that is no record is not a person's own either; empty if it is."""
        paths = self.changed_paths(commit)
        if len(commit.parents) > 1:
            return "merges another history"
        if not paths:
            return "changes nothing"
        return "" if all(is_own(path) for path in paths) else f"touches more than {'/ and '.join(OWN_DIRS)}/"

    def _record_path(self, commit: Commit, trailers: dict[str, str]) -> str:
        """The one record file that the commit adds."""
        try:
            place = f"cycles/{int(trailers['Cycle']):02d}/attempt-{int(trailers['Attempt'])}/"
            kind = trailers["Record"].split("@", 1)[0]
            step = trailers["Step"]
        except (KeyError, ValueError) as error:
            raise LedgerError(f"commit {commit.id[:12]} has broken trailers") from error
        before = commit.parents[0] if commit.parents else None
        for candidate in (f"{place}{kind}.json", f"{place}{step}.json"):
            now = self._objects.find(f"{commit.id}:{candidate}")
            if now is not None and (before is None or self._objects.find(f"{before}:{candidate}") != now):
                return candidate
        raise LedgerError(f"commit {commit.id[:12]} names a {kind} record but adds none")

    def _descends(self, head: str, known: str) -> bool:
        code = self._git.merge_base(
            "--is-ancestor", known, head, with_extended_output=True, with_exceptions=False
        )[0]
        return int(code) == 0

    def _store(self, sha256: str, content: Content) -> None:
        folder = self._own / "artifacts"
        folder.mkdir(parents=True, exist_ok=True)
        store_durably(folder / sha256, content, self._reached, self._sync)
        self._sync(folder)

    def _run(self, *args: str, check: bool = True) -> str:
        try:
            out = self._git.execute(
                ["git", *args], stdout_as_string=False, strip_newline_in_stdout=False, with_exceptions=check
            )
        except git.GitCommandError as error:
            raise LedgerError(f"git {args[0]} failed: {_said(error)}") from error
        return bytes(out).decode("utf-8", "surrogateescape")


def _git_command(args: Sequence[str], *, stdin: bytes | IO[bytes], stdout: int | IO[bytes]) -> None:
    """Raises LedgerError with git's own words."""
    data, file = (stdin, None) if isinstance(stdin, bytes) else (None, stdin)
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        ["git", *args], input=data, stdin=file, stdout=stdout,
        stderr=subprocess.PIPE, env={**os.environ, **_SAFE_ENVIRONMENT}, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = escape(" ".join(done.stderr.decode(errors="replace").split()))
        raise LedgerError(f"git {args[1]} failed: {said}")


def _require_beginning(entries: Sequence[Entry]) -> None:
    """A shallow clone shows the last commits as if they were all."""
    if entries and entries[0].record.parent is not None:
        raise LedgerError(
            f"the history begins with a {entries[0].record.kind} that follows another record: this clone is not whole; "
            "get the rest with: git fetch --unshallow"
        )


def _refuse_credentials(files: Mapping[str, Content]) -> None:
    """Whatever the source: what is committed once stays in the history, and goes wherever that is pushed."""
    for path, data in sorted(files.items()):
        what = credential_in(bytes_of(data))
        if what is not None:
            raise LedgerError(
                f"{path} holds what looks like {what}; nothing was committed\n"
                "take it out where it comes from, and replace the credential if it was a real one"
            )


def _said(error: git.GitCommandError) -> str:
    """Git's own words in one line, out of GitPython's wrapping."""
    return " ".join(str(error.stderr).strip().removeprefix("stderr:").split()).strip("'")


def _committed(record: Record, files: Mapping[str, Content]) -> dict[str, Content]:
    """What goes into the commit: the record, and its files but for those too large."""
    refs = vouched_files(record)
    kept = {path: data for path, data in files.items() if path not in refs or refs[path].committed}
    return {**kept, record_path(record): record.to_bytes()}


def _person(name: str, email: str) -> Person:
    """Whoever a commit names; what no record could hold is escaped and cut, so that it can be shown."""
    try:
        return Person(name=name or "unknown", email=email)
    except ValidationError:
        return Person(name=clip(escape(name), 500) or "unknown", email=clip(escape(email), 200))


def _moment(seconds: str) -> datetime:
    """A date beyond the calendar is no date of this tool; such a commit is foreign whatever it says."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def _whole_seconds(when: datetime) -> datetime:
    return datetime.fromtimestamp(int(when.timestamp()), UTC)


def _noted_move(pending: bytes) -> tuple[str, str]:
    """The commits before and after (before: empty for the first). Raises LedgerError."""
    lines = pending.decode("ascii", "replace").split("\n")
    if len(lines) != 3 or not all(_COMMIT.fullmatch(line) for line in lines[:2]) or not lines[1]:
        raise LedgerError(
            f".git/autoresearch/journal/{WORK_TREE} cannot be read; it only says which files to bring up to date. "
            "Remove it and go on with: autoresearch run"
        )
    return lines[0], lines[1]
