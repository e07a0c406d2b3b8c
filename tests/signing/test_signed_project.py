"""With keys registered, decisions are signed commits that plain git checks and replay makes again."""

import subprocess
from contextlib import closing

import pytest

from autoresearch.adapters.scratch_ledger import ScratchLedger
from autoresearch.adapters.ssh_signer import SshSigner
from autoresearch.errors import AuthorNeeded, LedgerError, NotApproved, Pending, Stale
from autoresearch.records import Reviewer, Settings
from autoresearch.replay import replay
from autoresearch.testing import FixedClock
from autoresearch.testing_project import NoKey, ScriptedReviewer, TextDesk, drive, make_driver, make_project
from autoresearch.verdict import blind_spots
from autoresearch.verify import SIGNED, verify
from autoresearch.workflow import parse_workflow

SIGNED_KINDS = ["config", "config", "approval", "acceptance"]


class At(FixedClock):
    """The time of the record that comes next."""

    def __init__(self, time):
        self.now = time


def signed_rows(ledger):
    return next((row for row in verify(ledger).rows if row.name == SIGNED), None)


def test_decisions_and_settings_are_signed_and_nothing_else(finished, people, opened):
    ledger = opened(finished)
    signed = [entry for entry in ledger.entries() if b"\ngpgsig " in entry.raw]
    assert [entry.record.kind for entry in signed] == SIGNED_KINDS
    assert {e.record.body.reviewer.key for e in signed} == {people.ada.registered.fingerprint}
    found = verify(ledger)
    assert found.sound, list(found.lines())
    assert signed_rows(ledger).looked_at == len(SIGNED_KINDS)
    *_, signing, blind = found.lines()
    assert signing == f"signed: 2 decisions, by {people.ada.person} {people.ada.registered.fingerprint}"
    assert blind == blind_spots(signed=True, anchored=False)
    assert found.as_json()["signed_decisions"] == 2


def test_plain_git_checks_them(finished, people, opened, tmp_path):
    def verified(entry, key):
        allowed = tmp_path / "allowed"
        allowed.write_text(f'ada@example.org namespaces="git" {key}\n')
        argv = ["git", "-C", finished, "-c", f"gpg.ssh.allowedSignersFile={allowed}"]
        return subprocess.run([*argv, "verify-commit", entry.commit], capture_output=True, check=False)

    for entry in opened(finished).entries():
        is_signed = entry.record.kind in ("config", "approval", "acceptance")
        done = verified(entry, people.ada.registered.key)
        assert (done.returncode == 0) == is_signed, done.stderr
        if is_signed:
            assert b'Good "git" signature for ada@example.org' in done.stderr
            assert verified(entry, people.bob.registered.key).returncode != 0
    subprocess.run(["git", "-C", finished, "fsck", "--strict"], check=True, capture_output=True)


def test_replay_makes_the_same_commits_without_the_key(finished, opened, tmp_path):
    source = opened(finished)
    workflow = parse_workflow(source.read("workflow/workflow.yaml", source.entries()[0].commit).decode())
    made = []

    def scratch(time):
        made.append(ScratchLedger.create(tmp_path, At(time)))
        return made[-1]

    number = replay(source, scratch, workflow, lambda _: None)
    with closing(made[0]):
        assert number == len(source.entries())
        assert made[0].head() == source.head()
        assert [e.raw for e in made[0].entries()] == [e.raw for e in source.entries()]


def test_a_decision_needs_a_key_at_hand_before_the_screen_is_read(project, sandbox):
    reviewer = ScriptedReviewer(["approve"])
    with pytest.raises(Pending, match="has no key here"):
        drive(project, ["approve"], sandbox=sandbox, signer=NoKey())
    assert reviewer.views == []
    assert project.entries()[-1].record.kind == "preflight" or project.entries()[-1].record.kind == "config"
    assert sandbox.submitted == []


@pytest.mark.parametrize("person", ["bob", "eve"])
def test_a_key_of_somebody_else_does_not_decide_for_ada(project, people, person, sandbox):
    """Ada sits here by git's word, and the key at hand is another's."""
    before = project.head()
    with pytest.raises(Pending, match="not at hand"):
        drive(project, ["approve"], sandbox=sandbox, signer=getattr(people, person).signer)
    assert project.head() == before


def test_somebody_unregistered_is_told_who_is(project, people, sandbox):
    reviewer = ScriptedReviewer(["approve"], person=people.eve.person)

    with pytest.raises(Pending, match=r"Ada Reviewer <ada@example.org>; Bob Second .*\n.*reviewer add"):
        make_driver(project, reviewer, sandbox=sandbox, signer=people.eve.signer).run()


def test_a_second_reviewer_decides_with_their_own_key(project, people, sandbox):

    reviewer = ScriptedReviewer(["approve"], person=people.bob.person)
    with pytest.raises(Pending, match="no further decision"):
        make_driver(project, reviewer, sandbox=sandbox, signer=people.bob.signer).run()
    approval = next(e for e in project.entries() if e.record.kind == "approval")
    assert approval.record.body.reviewer == people.bob.identity
    assert len(sandbox.submitted) == 2  # the run and its recheck
    assert verify(project).sound


def test_a_script_cannot_decide_where_keys_are(project, people):
    class Script(ScriptedReviewer):
        def identity(self):
            return Reviewer(person=people.ada.person, is_person=False)

    before = project.head()
    with pytest.raises(NotApproved, match="a script is none of them"):
        make_driver(project, Script(["approve"]), signer=people.ada.signer).run()
    assert project.head() == before


class Broken(SshSigner):
    """ssh-keygen ends badly: a touch that never came, a passphrase that was wrong."""

    def __init__(self, holder, error):
        super().__init__(holder.home, environ={})
        self._error = error

    def sign(self, payload, key):
        raise self._error


def test_no_signature_leaves_the_gate_pending_and_nothing_recorded(project, people, sandbox):
    before = project.head()
    with pytest.raises(Pending, match="no touch"):
        drive(project, ["approve"], sandbox=sandbox, signer=Broken(people.ada, Pending("no touch")))
    assert project.head() == before
    assert sandbox.submitted == []
    with pytest.raises(Pending, match="no further decision"):
        drive(project, ["approve"], sandbox=sandbox, signer=people.ada.signer)
    assert sandbox.submitted != []


def test_a_second_decision_counts_only_if_the_first_did_not_land_while_the_key_was_looked_for(
    project, people, opened, sandbox
):
    """Signing waits for a person, without the lock; the ledger may have moved on meanwhile."""

    class Slow(SshSigner):
        def sign(self, payload, key):
            with pytest.raises(AuthorNeeded):  # with the rejection on record
                drive(opened(project.root), [("reject", "no")], signer=people.ada.signer)
            return super().sign(payload, key)

    with pytest.raises(Stale, match="somebody else decided"):
        drive(project, ["approve"], sandbox=sandbox, signer=Slow(people.ada.home, environ={}))
    assert sandbox.submitted == []
    assert [e.record.body.decision for e in project.entries() if e.record.kind == "approval"] == ["reject"]


# ------------------------------------------------------------------- the settings


def test_a_removed_reviewer_counts_no_more(project, people, sandbox):

    only_bob = Settings(reviewers=[people.bob.registered])
    with pytest.raises(Pending, match="decisions here need the key of: Bob"):
        drive(project, [], desk=TextDesk(project, changed=only_bob), signer=people.ada.signer)
    with pytest.raises(Pending, match="decisions here need the key of: Bob"):
        drive(project, ["approve"], sandbox=sandbox, signer=people.ada.signer)
    assert sandbox.submitted == []
    reviewer = ScriptedReviewer(["approve"], person=people.bob.person)
    with pytest.raises(Pending, match="no further decision"):
        make_driver(project, reviewer, sandbox=sandbox, signer=people.bob.signer).run()
    assert verify(project).sound


def test_settings_need_a_present_reviewers_signature(project, people):
    before = project.head()
    added = Settings(reviewers=[people.ada.registered, people.bob.registered, people.eve.registered])
    both = [people.ada.registered, people.bob.registered]
    elsewhere = Settings(reviewers=both, isolation="gvisor")
    for changed in (added, Settings(), Settings(reviewers=both, max_attempts=50), elsewhere):
        with pytest.raises(Pending):
            drive(project, [], desk=TextDesk(project, changed=changed), signer=people.eve.signer)
        assert project.head() == before


def test_the_first_key_vouches_for_itself(tmp_path, people, text):

    ledger = make_project(tmp_path / "project", text)
    with closing(ledger):
        theirs = Settings(reviewers=[people.bob.registered])
        with pytest.raises(Pending, match="decisions here need the key of: Bob"):
            drive(ledger, [], desk=TextDesk(ledger, changed=theirs), signer=people.ada.signer)
        assert len(ledger.entries()) == 1


def test_without_keys_everything_works_and_says_unsigned(tmp_path, text):

    ledger = make_project(tmp_path / "project", text)
    with closing(ledger):
        drive(ledger, ["approve", "accept"])
        found = verify(ledger)
        assert found.sound
        *_, signing, blind = found.lines()
        assert signing.startswith("unsigned: no decision here is signed")
        assert blind == blind_spots(signed=False, anchored=False)
        assert signed_rows(ledger).looked_at == 0
        assert all(b"gpgsig" not in entry.raw for entry in ledger.entries())


def test_a_decision_may_not_name_a_key_where_none_is_registered(tmp_path, people, text, make_forger):

    ledger = make_project(tmp_path / "project", text)
    with closing(ledger):
        with pytest.raises(Pending):
            drive(ledger, [])
        make_forger(ledger).approve(people.ada.identity, people.ada.sign)
        with pytest.raises(NotApproved, match="none is registered"):
            drive(ledger, [])


def test_settings_forged_in_an_unsigned_record_stop_the_work(forger, people):
    forger.configure(Settings(reviewers=[people.eve.registered]), people.eve.identity, people.eve.sign)
    with pytest.raises(
        LedgerError, match=r"config record in commit .* does not count: .*see: autoresearch verify"
    ):
        drive(forger.ledger, ["approve"], signer=people.eve.signer)
