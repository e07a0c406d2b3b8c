"""A finished project, and ways to write its history anew."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from autoresearch.adapters.anthropic_model import AnthropicModel
from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.scratch_ledger import ScratchLedger
from autoresearch.errors import Pending
from autoresearch.layout import PROPOSAL_FILE, SETTINGS_FILE, vouched_files
from autoresearch.records import Config, ModelChoice, Proposal, Record, Settings, Tool, digest_of
from autoresearch.replay import own_commits, own_files, replay
from autoresearch.testing import FixedClock
from autoresearch.testing_http import ScriptedMessagesServer
from autoresearch.testing_project import STILL, TextDesk, drive, make_project
from autoresearch.workflow import parse_workflow

TEXT = (Path(__file__).parents[1] / "data" / "quick.md").read_text()
CHANGED = TEXT.replace("Which way does the mean", "In which direction does the mean")
CRITIQUE = {
    "assumptions": [
        {"id": "A1", "statement": "Trials are independent.", "status": "tested", "breaks_if": "Seeds repeat."}
    ],
    "objections": [{"id": "O1", "objection": "A mean hides the tails.", "answer": "Report all values."}],
    "proxy": None,
}
"""What the scripted server says; no model wrote it."""


def git(root, *args, data=None, **environ):
    done = subprocess.run(
        ["git", "-C", str(root), *args],
        input=data,
        capture_output=True,
        check=True,
        env={**os.environ, **environ},
    )
    return done.stdout


@pytest.fixture(name="add_note")
def note_adder():
    return add_note


@pytest.fixture(name="git")
def git_command():
    return git


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    return make_finished(tmp_path_factory.mktemp("finished") / "project")


@pytest.fixture(scope="session")
def finished_elsewhere(tmp_path_factory):
    """The same project, made by another version of the tool."""
    other = Tool(version="0.0.1", lock_sha256="0" * 64)
    return make_finished(tmp_path_factory.mktemp("elsewhere") / "project", tool=other)


def make_finished(root, tool=None):
    """A rejection, a new proposal, changed settings, a person's notes, a model's critique, a report."""
    ledger = make_project(
        root, TEXT, settings=Settings(models={"critique": {"use": "anthropic:scripted"}}), tool=tool
    )
    desk = TextDesk(ledger, [CHANGED])
    with ScriptedMessagesServer(lambda _: CRITIQUE) as server:

        def model_for(spec):
            if spec == "none":
                return None
            return AnthropicModel(
                "scripted",
                options=ModelChoice(base_url=server.base_url),
                environ={"ANTHROPIC_API_KEY": "k"},
                clock=STILL,
                sleep=lambda _: None,
                jitter=lambda: 0.5,
            )

        with pytest.raises(Pending):
            drive(ledger, [("reject", "vague")], desk=desk, model_for=model_for)
        add_note(ledger.root, "a thought\n")
        desk.changed = Settings(models={"critique": {"use": "anthropic:scripted"}}, max_attempts=5)
        drive(ledger, ["approve", "accept"], desk=desk, model_for=model_for)
    ledger.close()
    return ledger.root


@pytest.fixture(scope="session")
def waiting(tmp_path_factory):
    """A project at its first gate for the second time, with a person's note on top."""
    ledger = make_project(tmp_path_factory.mktemp("waiting") / "project", TEXT)
    desk = TextDesk(ledger, [CHANGED])
    with pytest.raises(Pending):
        drive(ledger, [("reject", "vague")], desk=desk)
    add_note(ledger.root, "a thought\n")
    ledger.close()
    return ledger.root


def add_note(root, text):
    notes = root / "notes"
    notes.mkdir(exist_ok=True)
    (notes / "mine.txt").write_text(text)
    who = {"NAME": "Ada Reviewer", "EMAIL": "ada@example.org", "DATE": "2026-01-01T00:00:00+0000"}
    environ = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
    git(root, "add", "notes")
    git(root, "commit", "-q", "-m", "a note of my own", **environ)


@pytest.fixture
def copy(finished, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(finished, root)
    return root


@pytest.fixture
def opened():
    """Open a ledger, to be closed at the end."""
    ledgers = []

    def make(root):
        ledgers.append(GitLedger(root, STILL))
        return ledgers[-1]

    yield make
    for ledger in ledgers:
        ledger.close()


# ------------------------------------------------- commits as they come, by git's own tools


@dataclass(frozen=True)
class Snap:
    """One commit: its whole tree, and its header."""

    id: str
    """As it was; a changed one gets another when it is written."""
    files: dict[str, tuple[str, bytes]]
    """Path → (mode, bytes)."""
    message: bytes
    author: bytes
    """`Name <address> seconds zone`."""

    def put(self, path, data, mode="100644"):
        return replace(self, files={**self.files, path: (mode, data)})


@pytest.fixture(scope="session")
def snaps(finished):
    """The finished project's commits, oldest first."""
    names = git(finished, "rev-list", "--reverse", "main").decode().split()
    return tuple(_load(finished, name) for name in names)


def _load(root, commit):
    header, _, message = git(root, "cat-file", "commit", commit).partition(b"\n\n")
    author = next(line for line in header.split(b"\n") if line.startswith(b"author ")).removeprefix(
        b"author "
    )
    files = {}
    for row in git(root, "ls-tree", "-r", "-z", commit).decode().rstrip("\0").split("\0"):
        details, path = row.split("\t", 1)
        mode, _, oid = details.split()
        files[path] = (mode, git(root, "cat-file", "blob", oid))
    return Snap(commit, files, message, author)


def write_history(root, snaps, merge_at=None):
    """Replace the branch by `snaps`; the commit at `merge_at` gets the first one as a second parent."""
    out = []
    for number, snap in enumerate(snaps, 1):
        out.append(
            b"commit refs/heads/main\nmark :%d\nauthor %s\ncommitter %s\n"
            % (number, snap.author, snap.author)
        )
        out.append(b"data %d\n%s\n" % (len(snap.message), snap.message))
        if number > 1:
            out.append(b"from :%d\n" % (number - 1))
        if number - 1 == merge_at:
            out.append(b"merge :1\n")
        out.append(b"deleteall\n")
        for path, (mode, data) in snap.files.items():
            out.append(b"M %s inline %s\ndata %d\n%s\n" % (mode.encode(), path.encode(), len(data), data))
    git(root, "fast-import", "--force", "--quiet", "--date-format=raw-permissive", data=b"".join(out))


@pytest.fixture
def rewrite(copy, snaps, opened):
    """Write a history of the copy anew: `rewrite(change)` where `change` takes and gives a list of snaps."""

    def make(change, **more):
        write_history(copy, change(list(snaps)), **more)
        return opened(copy)

    return make


@pytest.fixture(scope="session")
def place(finished):
    """Number of the last commit that brings a record of `kind`, and the record's path."""
    ledger = GitLedger(finished, STILL)
    numbers = {}
    for number, commit in enumerate(ledger.commits()):
        for entry in ledger.entries():
            if entry.commit == commit.id:
                stem = entry.record.kind if entry.record.kind != "config" else entry.record.step
                numbers[entry.record.kind] = (number, f"{entry.place}/{stem}.json")
    ledger.close()
    return numbers.__getitem__


# --------------------------------------------- a forger who keeps every digest consistent


@pytest.fixture
def forge(finished, tmp_path, opened):
    """Write the history with this package's own ledger, `change` applied to each record's JSON.

    Digests, messages, the chain and what was confirmed at gates are all worked out again:
    what is left to find is only what the content itself contradicts. `order` gives the
    positions of the original records in the new history.
    """

    def make(change, order=None, of=finished):
        source = opened(of)
        own = own_commits(source)
        entries = [source.entries()[n] for n in order] if order else list(source.entries())
        ledger = GitLedger.create(tmp_path / "forged", STILL)
        renamed: dict[str, str] = {}
        for entry in entries:
            record = _forged(entry.record, ledger, renamed, change)
            files = _files_of(source, entry, record)
            ledger._clock = FixedClock(entry.when, timedelta(0))
            made = ledger.append(record, files, after=ledger.head(), author=entry.author, extra=tuple(files))
            renamed |= {entry.digest: made.digest, entry.commit: made.commit}
            for commit in own.get(entry.commit, []) if order is None else []:
                renamed[commit.id] = ledger.repeat_commit(commit, own_files(source, commit))
        ledger.close()
        return opened(tmp_path / "forged")

    return make


def _forged(record, ledger, renamed, change):
    text = record.to_bytes().decode()
    for old, new in renamed.items():
        text = text.replace(old, new)
    data: dict[str, Any] = json.loads(text)
    change(data)
    before = ledger.entries()
    data["parent"] = before[-1].digest if before else None
    body = data["body"]
    for bound in {"bundle", "subject"} & set(body):
        body[bound]["ledger_head"] = ledger.head()
        body["shown"] = digest_of(body[bound])
    return Record.model_validate(data)


def _files_of(source, entry, record):
    kept = [path for path in vouched_files(entry.record) if path in vouched_files(record)]
    files = {path: source.read(path, entry.commit) for path in kept}
    body = record.body
    if isinstance(body, Proposal):
        files[PROPOSAL_FILE] = body.text.encode()
        if record.parent is None:
            changed = source.changed_paths(next(c for c in source.commits() if c.id == entry.commit))
            files |= {
                path: source.read(path, entry.commit)
                for path in changed
                if path == ".gitignore" or path.startswith(("workflow/", SETTINGS_FILE))
            }
    if isinstance(body, Config):
        files[SETTINGS_FILE] = source.read(SETTINGS_FILE, entry.commit)
    return files


# ----------------------------------------------------------- a history without a repository


@pytest.fixture(scope="session")
def memory():
    """Snaps as a `ports.History`: fast, for a great many garbled ones."""
    from autoresearch.errors import LedgerError
    from autoresearch.ports import Commit, FileChange
    from autoresearch.testing import PERSON, WHEN

    class Memory:
        def __init__(self, snaps):
            self.snaps = {snap.id: snap for snap in snaps}

        def commits(self):
            names = list(self.snaps)
            return [
                Commit(name, tuple(names[:number][-1:]), PERSON, WHEN, snap.message.decode())
                for number, (name, snap) in enumerate(self.snaps.items())
            ]

        def read(self, path, commit):
            try:
                return self.snaps[commit].files[path][1]
            except KeyError:
                raise LedgerError(f"{path} is not in commit {commit[:12]}") from None

        def changed_paths(self, commit):
            new = self.snaps[commit.id].files
            old = self.snaps[commit.parents[0]].files if commit.parents else {}
            return {
                path: FileChange(
                    "D" if path not in new else "M" if path in old else "A",
                    (new.get(path) or old[path])[0],
                    "",
                    "",
                )
                for path in old.keys() | new.keys()
                if old.get(path) != new.get(path)
            }

        def oddities(self):
            return []

        def stored(self, sha256):
            return None

    return Memory


class At(FixedClock):
    """The time of the record that comes next."""

    def __init__(self, time):
        self.now = time


@pytest.fixture
def again(tmp_path, opened):
    """Replay the project in `root`; what was made, and where."""

    def make(root, **more):
        ledger = opened(root)
        made = []
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        workflow = parse_workflow(ledger.read("workflow/workflow.yaml", ledger.entries()[0].commit).decode())
        ledgers = []

        def make_scratch(time):
            ledgers.append(ScratchLedger.create(scratch, At(time)))
            return ledgers[-1]

        try:
            number = replay(ledger, make_scratch, workflow, made.append, **more)
        finally:
            ledgers[-1].close()
        return number, made, opened(scratch)

    return make
