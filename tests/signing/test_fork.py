"""A fork sets settings, so where keys are registered one that counts has to sign it."""

import pytest

from autoresearch.config import render_settings
from autoresearch.errors import InvalidInput, LedgerError, Pending
from autoresearch.fork import fork_at, signers
from autoresearch.records import HUMAN, Fork, Record, Reviewer, Settings, Spend
from autoresearch.settings_in_force import settings_in_force
from autoresearch.testing import PERSON, FakeSandbox
from autoresearch.testing_project import drive, make_fork, shifted
from autoresearch.verify import SIGNED, verify


@pytest.fixture
def fork(project, opened, tmp_path):
    """A fork of the project that waits at its first gate."""

    def make(step, signer, **more):
        made = make_fork(project, step, tmp_path / "fork", signer=signer, **more)
        made.close()
        return opened(tmp_path / "fork")

    return make


def test_a_signed_fork_goes_on_with_the_keys_it_has(fork, people):
    forked = fork("preflight", people.ada.signer)
    assert settings_in_force(forked.entries()).reviewers == [people.ada.registered, people.bob.registered]
    drive(forked, ["approve", "accept"], signer=people.ada.signer)
    assert verify(forked).sound
    assert forked.entries()[-1].record.kind == "report"


def test_nobody_forks_without_a_key_that_counts(fork, people):
    with pytest.raises(Pending):
        fork("preflight", people.eve.signer)


def test_a_fork_from_before_the_keys_brings_them_along(fork, people, project):
    """Else whoever wants to decide without a key would only have to fork early."""
    forked = fork("ideate", people.ada.signer)
    assert forked.entries()[-1].record.body.reviewer.key == people.ada.registered.fingerprint
    assert settings_in_force(forked.entries()) == settings_in_force(project.entries())
    with pytest.raises(Pending):
        drive(forked, ["approve"], signer=people.eve.signer)
    assert verify(forked).sound


def test_keys_that_were_exchanged_since_sign_no_fork(project, people, forger):
    """A key that was taken out must not get a project of its own by forking."""
    forger.configure(Settings(reviewers=[people.bob.registered]), people.ada.identity, people.ada.sign)
    history = project.entries()
    first = next(entry for entry in history if entry.record.kind == "config")
    assert settings_in_force(history[: history.index(first) + 1]).reviewers == [people.ada.registered]
    with pytest.raises(InvalidInput, match="no reviewer's key that counted then counts now"):
        signers(history, first)


def forged(ledger, reviewer, sign=None, **body):
    """A fork record on top of a ledger, past the command that makes them."""
    history = ledger.entries()
    made = fork_at(
        history, history[-1], project="f" * 32, reviewer=reviewer, reason="", workflow=None, pending=Spend()
    )
    last = history[-1].record
    return Record(
        kind="fork", cycle=last.cycle, attempt=last.attempt, step="fork-1", parent=last.digest, inputs={},
        made_by=HUMAN, body=Fork(**{**made.model_dump(), **body}),
    )  # fmt: skip


@pytest.mark.parametrize("settings", [Settings(), None])
@pytest.mark.parametrize("who", ["nobody's key", "Ada's, unsigned", "Ada's, signed by Eve", "Eve's own"])
def test_a_forged_fork_drops_no_keys(forger, people, who, settings):
    reviewer, sign = {
        "nobody's key": (Reviewer(person=PERSON), None),
        "Ada's, unsigned": (people.ada.identity, None),
        "Ada's, signed by Eve": (people.ada.identity, people.eve.sign),
        "Eve's own": (people.eve.identity, people.eve.sign),
    }[who]
    ledger, sandbox = forger.ledger, FakeSandbox(shifted)
    record = forged(ledger, reviewer, **({"settings": settings} if settings else {}))
    files = {"autoresearch.toml": render_settings(record.body.settings).encode()}
    signature = sign(forger.payload(record, files, reviewer.person)) if sign else None
    forger.append(record, files, signature, reviewer.person)
    head = ledger.head()
    with pytest.raises(LedgerError, match=r"the fork record in commit .* does not count"):
        drive(ledger, ["approve"], sandbox=sandbox)
    assert (ledger.head(), sandbox.submitted) == (head, [])
    rows = {row.name: row.problems for row in verify(ledger).rows}
    assert rows[SIGNED]


def test_the_same_by_ada_herself_counts(forger, people):
    """The clean twin of the forgeries above."""
    record = forged(forger.ledger, people.ada.identity)
    signature = people.ada.sign(forger.payload(record, {}))
    forger.append(record, {}, signature)
    assert verify(forger.ledger).sound
    drive(forger.ledger, ["approve", "accept"], signer=people.ada.signer)
