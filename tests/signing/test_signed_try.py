"""Where keys are registered, a try needs a reviewer's signature, too: it runs the code."""

from dataclasses import replace

import pytest

from autoresearch.door import try_trials
from autoresearch.errors import NotApproved, Pending
from autoresearch.records import digest_of
from autoresearch.testing import FakeSandbox
from autoresearch.testing_project import NoKey, ScriptedReviewer, approval, make_driver, shifted


class Intercepted(FakeSandbox):
    """Lets a test change the warrant of a try on its way to the door."""

    def __init__(self, change):
        super().__init__(shifted)
        self.change = change

    def submit(self, job, warrant):
        warrant = self.change(warrant)
        plan = warrant.plan
        super().submit(replace(job, trials=try_trials(warrant.nonce, plan.digest, plan.body)), warrant)


def tried(project, signer, sandbox):
    """What a try at the open gate comes to, for whoever signs with `signer`."""

    def decide(view):
        made.append(reviewer.try_out(digest_of(view.bundle)))
        return approval(view, "terminate", tries=made)

    made, reviewer = [], ScriptedReviewer([])
    reviewer.decisions = [decide]
    make_driver(project, reviewer, sandbox=sandbox, signer=signer).run()
    return made[0].outcome


def test_a_registered_reviewer_may_try(project, people):
    assert tried(project, people.ada.signer, Intercepted(lambda warrant: warrant)) == "ran"


CHANGES = {
    "without a signature": lambda warrant, people: replace(warrant, signature=""),
    "signed by somebody else": lambda warrant, people: replace(
        warrant, signature=people.eve.sign(warrant.payload)
    ),
    "signed for another purpose": lambda warrant, people: replace(
        warrant, signature=people.ada.sign(warrant.payload, namespace="file")
    ),
    "the signature of another try": lambda warrant, people: replace(warrant, nonce="0" * 64),
    "in the name of somebody else": lambda warrant, people: replace(warrant, reviewer=people.bob.identity),
    "by nobody registered": lambda warrant, people: replace(warrant, reviewer=people.eve.identity),
}


@pytest.mark.parametrize("change", CHANGES)
def test_refused(change, project, people):
    sandbox = Intercepted(lambda warrant: CHANGES[change](warrant, people))
    with pytest.raises(NotApproved, match=r"signature|key"):
        tried(project, people.ada.signer, sandbox)
    assert sandbox.submitted == []


def test_nobody_without_a_key_comes_so_far(project):
    sandbox = FakeSandbox(shifted)
    with pytest.raises(Pending):
        tried(project, NoKey(), sandbox)
    assert sandbox.submitted == []


def test_the_signature_of_a_try_signs_no_commit(people, project):
    payloads = []

    class Keeps(Intercepted):
        def submit(self, job, warrant):
            payloads.append(warrant.payload)
            super().submit(job, warrant)

    tried(project, people.ada.signer, Keeps(lambda warrant: warrant))
    assert not payloads[0].startswith(b"tree ")
    assert b"\n\n" not in payloads[0]
