"""Ways to get an approval past the door without a registered key. Each is refused three times over:
by the door, given the forged history directly; by `run`, before anything is recorded; and by `verify`.
"""

import subprocess
from dataclasses import replace

import pytest

from autoresearch import door
from autoresearch.errors import AutoresearchError, LedgerError, NotApproved, Pending
from autoresearch.ports import Job, Warrant
from autoresearch.records import Approval, Plan, Reviewer, Run, Settings, sha256
from autoresearch.ssh_signature import with_signature
from autoresearch.testing import FAKE_ISOLATION, FakeSandbox, entry_of
from autoresearch.testing_project import drive, make_project, shifted
from autoresearch.verify import SIGNED, verify
from autoresearch.vouched import reader


def warrant_of(ledger):
    """What the sandbox would be asked with, the run record made by hand: no graph, no driver."""
    entries = list(ledger.entries())
    at = max(n for n, entry in enumerate(entries) if isinstance(entry.record.body, Approval))
    approval, earlier = entries[at], entries[:at]
    plan = next(e for e in reversed(earlier) if isinstance(e.record.body, Plan))
    body = plan.record.body
    trials = door.issue_trials(approval.record.body, plan.digest, body)
    run = approval.record.model_copy(
        update={
            "kind": "run", "step": "experiment", "parent": approval.digest,
            "body": Run(approval=approval.digest, trials=trials, run_id="forged", host="h", probe=None),
        }
    )  # fmt: skip
    read = reader(ledger)
    files = {ref.path: read(plan, ref.path) for ref in body.experiment}
    job = Job("forged", files, trials, body.config, body.limits)
    return job, Warrant(entries[0].record, plan.record, approval, entry_of(run), earlier)


def refused_by_door(ledger):
    job, warrant = warrant_of(ledger)
    sandbox = FakeSandbox(shifted)
    with pytest.raises((NotApproved, LedgerError)) as caught:
        sandbox.submit(job, warrant)
    assert sandbox.submitted == []
    return str(caught.value)


def refused_everywhere(ledger, signer):
    """The door's words, after run and verify said no as well."""
    said = refused_by_door(ledger)
    before, sandbox = ledger.head(), FakeSandbox(shifted)
    with pytest.raises(AutoresearchError) as caught:
        drive(ledger, ["approve"], sandbox=sandbox, signer=signer)
    assert "does not count" in str(caught.value)
    assert ledger.head() == before, "nothing is recorded on top of a forgery"
    assert sandbox.submitted == []
    rows = {row.name: row.problems for row in verify(ledger).rows}
    assert rows[SIGNED], "verify names it"
    return said


def test_the_clean_twin_is_admitted(forger, people):
    """What the forgeries below are made by, with the one thing right that each has wrong."""
    forger.approve(people.ada.identity, people.ada.sign)
    job, warrant = warrant_of(forger.ledger)
    door.admit(job, warrant, FAKE_ISOLATION, frozenset())
    assert verify(forger.ledger).sound


def ada_unsigned(forger, people):
    forger.approve(people.ada.identity)
    return "its commit is not signed"


def ada_without_a_key(forger, people):
    forger.approve(Reviewer(person=people.ada.person))
    return "it names no key"


def a_key_nobody_registered(forger, people):
    forger.approve(people.eve.identity, people.eve.sign)
    return "not a registered reviewer's"


def a_key_nobody_registered_in_adas_name(forger, people):
    forger.approve(Reviewer(person=people.ada.person, key=people.eve.registered.fingerprint), people.eve.sign)
    return "not a registered reviewer's"


def signed_by_eve_and_said_to_be_adas_key(forger, people):
    forger.approve(people.ada.identity, people.eve.sign)
    return "signature does not hold"


def signed_by_bob_and_said_to_be_adas_key(forger, people):
    forger.approve(people.ada.identity, people.bob.sign)
    return "signature does not hold"


def signed_by_bob_in_adas_name(forger, people):
    forger.approve(Reviewer(person=people.ada.person, key=people.bob.registered.fingerprint), people.bob.sign)
    return "the key is registered for Bob"


def a_signature_of_another_commit_pasted(forger, people):
    forger.approve(people.ada.identity, lambda _: forger.signature_of("config"))
    return "signature does not hold"


def a_signature_made_for_another_purpose(forger, people):
    forger.approve(people.ada.identity, lambda payload: people.ada.sign(payload, namespace="file"))
    return "signature does not hold"


def an_empty_signature(forger, people):
    forger.approve(people.ada.identity, lambda _: "")
    return "not an OpenSSH signature"


def a_signature_of_another_kind(forger, people):
    forger.approve(
        people.ada.identity, lambda _: "-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n"
    )
    return "not an OpenSSH signature"


def signed_by_ada_as_a_script(forger, people):
    """The demonstration's reviewer, even with a key."""
    forger.approve(people.ada.identity.model_copy(update={"is_person": False}), people.ada.sign)
    return "a script"


def a_reason_changed_after_signing(forger, people):
    def later(record):
        return record.model_copy(
            update={"body": record.body.model_copy(update={"reason": "and anything else"})}
        )

    record, files = forger.decision(people.ada.identity)
    signature = people.ada.sign(forger.payload(record, files))
    forger.append(later(record), files, signature)
    return "signature does not hold"


def a_rejection_turned_into_an_approval(forger, people):
    record, files = forger.decision(people.ada.identity)
    rejected = record.model_copy(
        update={"body": record.body.model_copy(update={"decision": "reject", "reason": "no"})}
    )
    signature = people.ada.sign(forger.payload(rejected, files))
    forger.append(record, files, signature)
    return "signature does not hold"


def a_file_slipped_in_after_signing(forger, people):
    """The message is the signed one, and so is the record; the tree is not."""
    record, files = forger.decision(people.ada.identity)
    signature = people.ada.sign(forger.payload(record, files))
    forger.append(record, {**files, "notes/more.txt": b"x"}, signature)
    return "signature does not hold"


def a_genuine_approval_put_on_another_parent(forger, people):
    record, files = forger.decision(people.ada.identity)
    signature = people.ada.sign(forger.payload(record, files))
    forger.note()
    forger.append(record, files, signature)
    return "signature does not hold"


def a_second_signature_header(forger, people):
    """Some readers take the first, some the last, some both."""
    entry = forger.approve(people.ada.identity, people.eve.sign)
    forger.replace_head(with_signature(entry.raw, forger.signature_of("config")))
    return "its commit is not signed"


def eves_key_added_by_an_unsigned_record(forger, people):
    keys = [people.ada.registered, people.bob.registered, people.eve.registered]
    forger.configure(Settings(reviewers=keys), people.ada.identity)
    forger.approve(people.eve.identity, people.eve.sign)
    return "config record"


def eves_key_added_by_a_record_that_eve_signed(forger, people):
    """It vouches for itself, as the first key does; it is not the first."""
    forger.configure(Settings(reviewers=[people.eve.registered]), people.eve.identity, people.eve.sign)
    forger.approve(people.eve.identity, people.eve.sign)
    return "config record"


def all_reviewers_removed_unsigned(forger, people):
    forger.configure(Settings(), Reviewer(person=people.ada.person))
    forger.approve(Reviewer(person=people.ada.person))
    return "config record"


def another_setting_changed_unsigned(forger, people):
    keys = [people.ada.registered, people.bob.registered]
    forger.configure(Settings(reviewers=keys, max_attempts=100), people.ada.identity)
    forger.approve(people.ada.identity, people.ada.sign)
    return "config record"


def reviewers_removed_by_a_new_proposal(forger, people):
    """A proposal record holds settings, too, and nobody signs it."""
    _propose(forger, Settings())
    forger.approve(Reviewer(person=people.ada.person))
    return "changes the reviewers' keys"


def a_setting_changed_by_a_new_proposal(forger, people):
    _propose(forger, Settings(reviewers=[people.ada.registered, people.bob.registered], max_attempts=100))
    forger.approve(people.ada.identity, people.ada.sign)
    return "changes the settings"


def _propose(forger, settings):
    history = forger.ledger.entries()
    body = history[0].record.body
    text = body.text + "\n"
    changed = body.model_copy(
        update={"settings": settings, "text": text, "text_sha256": sha256(text.encode())}
    )
    record = history[0].record.model_copy(
        update={"attempt": 2, "parent": history[-1].digest, "body": changed}
    )
    forger.append(record, {"proposal.md": text.encode()})


def a_key_that_ada_took_back(forger, people):
    forger.configure(Settings(reviewers=[people.ada.registered]), people.ada.identity, people.ada.sign)
    forger.approve(people.bob.identity, people.bob.sign)
    return "not a registered reviewer's"


ATTACKS = [
    ada_unsigned, ada_without_a_key, a_key_nobody_registered, a_key_nobody_registered_in_adas_name,
    signed_by_eve_and_said_to_be_adas_key, signed_by_bob_and_said_to_be_adas_key, signed_by_bob_in_adas_name,
    a_signature_of_another_commit_pasted, a_signature_made_for_another_purpose, an_empty_signature,
    a_signature_of_another_kind, signed_by_ada_as_a_script, a_reason_changed_after_signing,
    a_rejection_turned_into_an_approval, a_file_slipped_in_after_signing,
    a_genuine_approval_put_on_another_parent, a_second_signature_header, eves_key_added_by_an_unsigned_record,
    eves_key_added_by_a_record_that_eve_signed, all_reviewers_removed_unsigned,
    another_setting_changed_unsigned, reviewers_removed_by_a_new_proposal,
    a_setting_changed_by_a_new_proposal, a_key_that_ada_took_back,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_refused(attack, forger, people):
    expected = attack(forger, people)
    assert expected in refused_everywhere(forger.ledger, people.ada.signer)


@pytest.mark.parametrize(
    "attack", [eves_key_added_by_an_unsigned_record, eves_key_added_by_a_record_that_eve_signed]
)
def test_verify_names_the_record_that_brought_a_key_and_what_the_key_signed(attack, forger, people):
    attack(forger, people)
    rows = {row.name: row.problems for row in verify(forger.ledger).rows}
    brought, signed = rows[SIGNED]
    assert brought.startswith("config in ")
    assert signed.startswith("approval in ")
    assert "not a registered reviewer's" in signed


# ------------------------------------------------------- past the ledger: the door asked directly


def test_a_history_without_the_records_that_register_keys_is_refused(forger, people):
    """Without them no key would be in force, and none be needed."""
    forger.approve(Reviewer(person=people.ada.person))
    job, warrant = warrant_of(forger.ledger)
    without = [entry for entry in warrant.earlier if entry.record.kind != "config"]
    each = [[*warrant.earlier[:n], *warrant.earlier[n + 1 :]] for n in range(len(warrant.earlier))]
    for earlier in (without, warrant.earlier[:1], [], warrant.earlier[::-1], *each):
        with pytest.raises(NotApproved, match="history before the approval"):
            door.admit(job, replace(warrant, earlier=earlier), FAKE_ISOLATION, frozenset())


def test_an_approval_signed_over_a_history_cut_short_is_refused(forger, people, project):
    """The records are rebuilt without the keys, and a signed approval that they once bore put on top."""
    entry = forger.approve(people.ada.identity, people.ada.sign)
    job, warrant = warrant_of(project)
    kept = [known for known in warrant.earlier if known.record.kind != "config"]
    last = kept[-1].record
    moved = entry.record.model_copy(update={"parent": last.digest})
    approval = replace(entry_of(moved), raw=entry.raw)
    run = warrant.run.record
    follows = run.model_copy(
        update={"parent": approval.digest, "body": run.body.model_copy(update={"approval": approval.digest})}
    )
    forged = replace(warrant, approval=approval, run=entry_of(follows), earlier=kept)
    with pytest.raises(NotApproved, match=r"none is registered|history before"):
        door.admit(job, forged, FAKE_ISOLATION, frozenset())


def test_a_genuine_signature_of_another_record_is_refused(forger, people):
    """Ada's rejection, its commit untouched, held out as the commit of an approval."""

    def decided(decision, reason):
        def change(record):
            body = record.body.model_copy(update={"decision": decision, "reason": reason})
            return record.model_copy(update={"body": body})

        return change

    rejection = forger.approve(people.ada.identity, people.ada.sign, decided("reject", "no"))
    job, warrant = warrant_of(forger.ledger)
    approval = replace(entry_of(decided("approve", "")(rejection.record)), raw=rejection.raw)
    run = warrant.run.record
    body = run.body.model_copy(update={"approval": approval.digest})
    follows = entry_of(run.model_copy(update={"parent": approval.digest, "body": body}))
    with pytest.raises(NotApproved, match="signed for another record"):
        door.admit(job, replace(warrant, approval=approval, run=follows), FAKE_ISOLATION, frozenset())


def test_a_warrant_that_only_says_it_is_signed_is_refused(forger, people):
    """What counts is the commit's bytes."""
    forger.approve(people.ada.identity, people.ada.sign)
    job, warrant = warrant_of(forger.ledger)
    bare = replace(warrant, approval=replace(warrant.approval, raw=b""))
    with pytest.raises(NotApproved, match="not signed"):
        door.admit(job, bare, FAKE_ISOLATION, frozenset())


def test_the_first_record_is_the_projects(forger, people):
    forger.approve(people.ada.identity, people.ada.sign)
    job, warrant = warrant_of(forger.ledger)
    body = warrant.project.body.model_copy(update={"example": "label-noise"})
    other = replace(warrant, project=warrant.project.model_copy(update={"body": body}))
    with pytest.raises(NotApproved, match="history before the approval"):
        door.admit(job, other, FAKE_ISOLATION, frozenset())


# -------------------------------------------------------------------- the other gate


def test_a_forged_acceptance_leads_to_no_report(project, people, make_forger):
    with pytest.raises(Pending):
        drive(project, ["approve"], signer=people.ada.signer)
    forger = make_forger(project)
    record, files = forger.acceptance(people.ada.identity)
    forger.append(record, files)
    before = project.head()
    with pytest.raises(
        NotApproved, match=r"acceptance record in commit .* does not count: its commit is not signed"
    ):
        drive(project, [], signer=people.ada.signer)
    assert project.head() == before
    with pytest.raises(NotApproved, match="not signed"):
        forger.write_up()
    assert not verify(project).sound


def test_a_forged_rejection_moves_nothing_either(forger, people):
    def rejected(record):
        return record.model_copy(
            update={"body": record.body.model_copy(update={"decision": "reject", "reason": "no"})}
        )

    forger.approve(people.ada.identity, change=rejected)
    with pytest.raises(NotApproved, match="does not count"):
        drive(forger.ledger, [], signer=people.ada.signer)


def test_what_git_signs_for_ada_counts_as_hers(forger, people, tmp_path):
    """A limit that docs/signing.md names: the namespace is git's, and she rewrote a commit she had not read."""
    forger.approve(people.ada.identity)
    assert "not signed" in refused_by_door(forger.ledger)
    key = people.ada.home / ".ssh" / "id.pub"
    signing = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={key}", "-c", "commit.gpgsign=true"]
    amend = ["git", "-C", forger.ledger.root, *signing, "commit", "-q", "--amend", "--no-edit"]
    subprocess.run(amend, check=True, capture_output=True)
    job, warrant = warrant_of(forger.ledger)
    door.admit(job, warrant, FAKE_ISOLATION, frozenset())


def test_a_history_rebuilt_without_any_key_shows_as_unsigned(tmp_path, text, people):
    """Nothing inside can tell; what verify says changes, and an anchor outside would."""
    ledger = make_project(tmp_path / "rebuilt", text)
    drive(ledger, ["approve", "accept"])
    found = verify(ledger)
    ledger.close()
    assert found.sound
    assert list(found.lines())[-2].startswith("unsigned: ")
