"""Any course of decisions, deaths and forks: what a history promises holds after each of them."""

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import deaths
from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.scratch_ledger import ScratchLedger
from autoresearch.replay import replay
from autoresearch.reporting.status import status
from autoresearch.testing import FixedClock
from autoresearch.testing_project import STILL, make_fork
from autoresearch.verify import verify
from autoresearch.workflow import parse_workflow

LONG = os.environ.get("AUTORESEARCH_COURSES") == "long"
"""Set by `make campaign-ledger ARGS=--courses`, which takes minutes."""
MOST_RECORDS = 45
FORKED_AFTER = ("ideate", "plan", "preflight")
AT_APPROVE = ("approve", "reject", "revise")
AT_ACCEPT = ("accept", "reject", "revise", "redo", "follow-up")
NONE_LEFT = 10_000
"""So manieth boundary comes in no stretch."""


class At(FixedClock):
    """The time of the record that comes next."""

    def __init__(self, time):
        self.now = time


class Courses(RuleBasedStateMachine):
    server: deaths.Deaths
    met: Counter

    @initialize()
    def begin(self):
        self.top = Path(tempfile.mkdtemp(prefix="autoresearch-courses-"))
        self.root = self.top / "0"
        self.root.mkdir()
        deaths.make(self.root)
        self.decisions, self.forks, self.heads, self.verified = 0, 0, [], ""
        self.go([])

    def teardown(self):
        if hasattr(self, "top"):
            shutil.rmtree(self.top)

    # ---------------------------------------------------------------- helpers

    def opened(self):
        return closing(GitLedger(self.root / "project", STILL))

    def go(self, decisions, after=NONE_LEFT):
        """True if the stretch came to its gate or end; False if it died."""
        found = self.server.stretch(self.root, decisions=decisions, after=after)
        assert found["point"] or found.get("ended") or found.get("error") in ("Pending", "Rejected"), found
        return not found["point"]

    def gate(self):
        """The gate that waits; empty if none does."""
        with self.opened() as ledger:
            now = status(ledger.entries())
        return now.where if now.state == "waiting" else ""

    # ------------------------------------------------------------------ rules

    @rule(choice=st.integers(0, 59), after=st.integers(1, 400))
    def decide(self, choice, after):
        """Whatever may be decided at the gate that waits; if the stretch dies, another follows."""
        where = self.gate()
        with self.opened() as ledger:
            full = len(ledger.entries()) > MOST_RECORDS
        if full or not where:
            return
        allowed = AT_ACCEPT if "accept" in where else AT_APPROVE
        decision = allowed[choice % len(allowed)]
        self.met[decision] += 1
        self.decisions += 1
        # A second look blocks, after a redo as in a fork, so that accepting may take a reason, too.
        reason = "" if decision == "approve" else "not yet"
        if not self.go([[decision, reason]], after):
            self.met["died"] += 1
            self.go([])

    @precondition(lambda self: self.decisions)
    @rule()
    def nobody_decides(self):
        with self.opened() as ledger:
            before = ledger.head()
        self.go([])
        with self.opened() as ledger:
            assert ledger.head() == before, "without a decision nothing happens"

    @precondition(lambda self: self.decisions and self.forks < 2)
    @rule(step=st.sampled_from(FORKED_AFTER))
    def fork(self, step):
        self.forks += 1
        self.met["forked"] += 1
        target = self.top / f"{self.forks}"
        with self.opened() as source, closing(make_fork(source, step, target / "project")):
            pass
        self.root, self.heads = target, []
        self.go([])
        with self.opened() as ledger:
            last = ledger.entries()[-1].record
        assert last.kind != "run", "an approval does not come along"

    @precondition(lambda self: LONG)
    @rule()
    def make_again(self):
        with self.opened() as ledger, tempfile.TemporaryDirectory() as scratch:
            first = ledger.entries()[0].commit
            workflow = parse_workflow(ledger.read("workflow/workflow.yaml", first).decode())
            made = []

            def create(time):
                made.append(ScratchLedger.create(Path(scratch), At(time)))
                return made[-1]

            replay(ledger, create, workflow, lambda _: None)
            assert made[-1].head() == ledger.head()
            made[-1].close()

    # ------------------------------------------------------------- invariants

    @invariant()
    def what_a_history_promises(self):
        if not hasattr(self, "root"):
            return
        with self.opened() as ledger:
            entries, commits = ledger.entries(), ledger.commits()
            if self.verified != ledger.head():
                found = verify(ledger)
                assert found.sound, list(found.lines())
                self.verified = ledger.head()
        records = [entry.record for entry in entries]
        keys = Counter((r.cycle, r.attempt, r.step, r.kind) for r in records)
        assert max(keys.values()) == 1, keys
        consumed = Counter(r.body.approval for r in records if r.kind == "run")
        assert max(consumed.values(), default=1) == 1, consumed
        assert set(self.heads) <= {commit.id for commit in commits}, "a head is gone"
        self.heads.append(commits[-1].id)
        status_of_git = ["git", "-C", self.root / "project", "status", "--porcelain"]
        assert subprocess.check_output(status_of_git) == b""


@pytest.mark.slow
@pytest.mark.timeout(1200 if not LONG else 7200)
def test_any_course():
    server = deaths.Deaths()
    Courses.server, Courses.met = server, Counter()
    bound = settings(
        max_examples=60 if LONG else 5, stateful_step_count=14 if LONG else 6, deadline=None, derandomize=not LONG,
        suppress_health_check=list(HealthCheck), database=None, print_blob=False,
    )  # fmt: skip
    try:
        run_state_machine_as_test(Courses, settings=bound)
    finally:
        server.close()
    print(dict(Courses.met))
    assert {"died", "forked", "approve"} <= set(Courses.met), "too little was tried"
