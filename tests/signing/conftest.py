"""People with real keys, a project that knows some of them, and somebody who only can write to it."""

import shutil
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.ssh_signer import SshSigner
from autoresearch.config import render_settings
from autoresearch.errors import Pending
from autoresearch.graph import walk
from autoresearch.ports import Seal
from autoresearch.records import HUMAN, Config, Person, Record, RegisteredReviewer, Reviewer, Settings
from autoresearch.ssh_signature import split
from autoresearch.steps import writeup
from autoresearch.testing import PERSON, WHEN, FakeSandbox, FixedClock
from autoresearch.testing_project import ScriptedReviewer, TextDesk, drive, make_driver, make_project, shifted

TEXT = (Path(__file__).parents[1] / "data" / "quick.md").read_text()
NOWHERE = {"PATH": "/usr/bin:/bin"}
"""No agent, no terminal program."""


@dataclass(frozen=True)
class Holder:
    """A person whose key lies in a home of their own."""

    person: Person
    home: Path
    registered: RegisteredReviewer

    @property
    def signer(self):
        return SshSigner(self.home, environ=NOWHERE)

    @property
    def identity(self):
        return Reviewer(person=self.person, key=self.registered.fingerprint)

    def sign(self, payload, namespace="git"):
        """Whatever they want to sign, as ssh-keygen does it."""
        return subprocess.run(
            ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", self.home / ".ssh" / "id.pub"],
            input=payload, capture_output=True, check=True,
        ).stdout.decode()  # fmt: skip


def make_holder(home, name, email, passphrase=""):
    (home / ".ssh").mkdir(parents=True)
    key = home / ".ssh" / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "", "-f", key], check=True)
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    return Holder(
        Person(name=name, email=email), home, RegisteredReviewer(name=name, email=email, key=public)
    )


@dataclass(frozen=True)
class People:
    ada: Holder
    bob: Holder
    eve: Holder
    """Is registered nowhere."""


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    homes = tmp_path_factory.mktemp("people")
    return People(
        make_holder(homes / "ada", PERSON.name, PERSON.email),
        make_holder(homes / "bob", "Bob Second", "bob@example.org"),
        make_holder(homes / "eve", "Eve", "eve@example.org"),
    )


@pytest.fixture
def holder(tmp_path):
    """Makes one more person with a key."""
    return lambda name, email, passphrase="": make_holder(tmp_path / name, name, email, passphrase)


@pytest.fixture
def text():
    return TEXT


def ticking():
    """Time goes on, so that no two commits are equal by chance."""
    return FixedClock(WHEN, timedelta(seconds=1))


@pytest.fixture(scope="session")
def waiting(people, tmp_path_factory):
    """A project with Ada's and Bob's keys that waits at its first gate."""
    ledger = make_project(tmp_path_factory.mktemp("signed") / "project", TEXT)
    first = Settings(reviewers=[people.ada.registered])
    both = Settings(reviewers=[people.ada.registered, people.bob.registered])
    for settings in (first, both):
        with pytest.raises(Pending):
            drive(ledger, [], desk=TextDesk(ledger, changed=settings), signer=people.ada.signer)
    ledger.close()
    return ledger.root


@pytest.fixture(scope="session")
def finished(people, waiting, tmp_path_factory):
    """The same, approved and accepted by Ada."""
    root = Path(shutil.copytree(waiting, tmp_path_factory.mktemp("finished") / "project"))
    ledger = GitLedger(root, ticking())
    drive(ledger, ["approve", "accept"], signer=people.ada.signer)
    ledger.close()
    return root


@pytest.fixture
def project(waiting, opened, tmp_path):
    """A copy of `waiting` to spoil."""
    return opened(Path(shutil.copytree(waiting, tmp_path / "project")))


@pytest.fixture
def opened():
    ledgers = []

    def make(root):
        ledgers.append(GitLedger(root, ticking()))
        return ledgers[-1]

    yield make
    for ledger in ledgers:
        ledger.close()


@dataclass
class Forger:
    """Writes to a project what its gates never gave, through the ledger and past everything else."""

    ledger: GitLedger

    def decision(self, reviewer, change=lambda record: record):
        """(record, files) of the decision that the open gate waits for, as if `reviewer` had given it."""
        driver = make_driver(self.ledger, ScriptedReviewer(["approve"]))
        # The driver itself asks nobody whose key is unknown to the project.
        keyless = reviewer.model_copy(update={"key": None})
        record, files = driver._ask_approval(self._open_gate(driver), self.ledger.head(), keyless)
        body = record.body.model_copy(update={"reviewer": reviewer})
        return change(record.model_copy(update={"body": body})), files

    def acceptance(self, reviewer):
        """(record, files) of an acceptance of everything."""
        driver = make_driver(self.ledger, ScriptedReviewer(["accept"]))
        return driver._ask_acceptance(self._open_gate(driver), self.ledger.head(), reviewer), {}

    def _open_gate(self, driver):
        gate = walk(driver.workflow, driver.nodes, 1, 8)
        return driver.nodes.situation(gate.step, gate.state)

    def write_up(self):
        """The writing step alone, on what is on record: no walk, no gate node."""
        entries = list(self.ledger.entries())
        driver = make_driver(self.ledger, ScriptedReviewer([]))
        last = {entry.record.kind: entry.digest for entry in entries}
        state = {"cycle": 1, "attempt": 1, "passed": last}
        writeup.run(driver.nodes.situation("writeup", state), None)

    def note(self):
        """A commit of notes, as anybody makes one."""
        notes = self.ledger.root / "notes"
        notes.mkdir(exist_ok=True)
        (notes / "mine.txt").write_text("a thought")
        for args in (["add", "notes"], ["commit", "-q", "-m", "a note"]):
            subprocess.run(["git", "-C", self.ledger.root, *args], check=True)

    def payload(self, record, files, author=PERSON):
        return self.ledger.payload(record, files, after=self.ledger.head(), author=author, when=WHEN)

    def append(self, record, files, signature=None, author=PERSON):
        seal = Seal(WHEN, signature) if signature is not None else None
        return self.ledger.append(
            record, files, after=self.ledger.head(), author=author, extra=tuple(files), seal=seal
        )

    def approve(self, reviewer, sign=None, change=lambda record: record):
        """Append an approval; `sign` takes the payload and gives the signature."""
        record, files = self.decision(reviewer, change)
        signature = sign(self.payload(record, files, reviewer.person)) if sign else None
        return self.append(record, files, signature, reviewer.person)

    def configure(self, settings, reviewer, sign=None):
        """Append a config record."""
        history = self.ledger.entries()
        last = history[-1].record
        record = Record(
            kind="config", cycle=last.cycle, attempt=last.attempt, step=f"config-{len(history)}",
            parent=last.digest, inputs={}, made_by=HUMAN,
            body=Config(settings=settings, diff="forged", reviewer=reviewer),
        )  # fmt: skip
        files = {"autoresearch.toml": render_settings(settings).encode()}
        signature = sign(self.payload(record, files, reviewer.person)) if sign else None
        return self.append(record, files, signature, reviewer.person)

    def replace_head(self, raw):
        """Make the commit object `raw` the branch's head."""
        done = subprocess.run(
            ["git", "-C", self.ledger.root, "hash-object", "-t", "commit", "-w", "--stdin", "--literally"],
            input=raw, capture_output=True, check=True,
        )  # fmt: skip
        name = done.stdout.decode().strip()
        subprocess.run(["git", "-C", self.ledger.root, "update-ref", "refs/heads/main", name], check=True)
        return name

    def signature_of(self, kind):
        """The signature on the last commit of a kind."""
        return split([e for e in self.ledger.entries() if e.record.kind == kind][-1].raw)[1]


@pytest.fixture
def forger(project):
    return Forger(project)


@pytest.fixture
def make_forger():
    return Forger


@pytest.fixture
def sandbox():
    return FakeSandbox(shifted)
