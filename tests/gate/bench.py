"""One project for one way round a gate, and what has to be true of it afterwards."""

import os
import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.terminal import TerminalReviewer
from autoresearch.decisions import require_counting
from autoresearch.errors import AutoresearchError, NotApproved, Pending
from autoresearch.graph import compile_graph
from autoresearch.records import Reviewer
from autoresearch.reporting.status import status
from autoresearch.testing import PERSON, WHEN, FakeSandbox, FixedClock
from autoresearch.testing_project import ScriptedReviewer, make_driver, make_project, shifted
from autoresearch.verify import verify

TEXT = (Path(__file__).parents[1] / "data" / "quick.md").read_text()
STOPS = {"waiting": [], "rejected": [("reject", "no")], "approved": ["approve"], "concluded": ["approve"]}
"""Where a way begins → the decisions before: at the first gate, behind a rejection or an unused
approval, at the second gate."""


def make_stages(root):
    """A project at each of `STOPS`, all the same one."""
    ledger = make_project(root / "waiting", TEXT)
    with pytest.raises(Pending):
        make_driver(ledger, ScriptedReviewer()).run()
    ledger.close()
    for name, decisions in STOPS.items():
        if decisions:
            ledger = opened(Path(shutil.copytree(root / "waiting", root / name)))
            driver = make_driver(ledger, ScriptedReviewer(list(decisions)))
            if name == "concluded":
                with pytest.raises(Pending):
                    driver.run()
            else:
                assert driver.decide_once()
            ledger.close()
    return root


def opened(root):
    return GitLedger(root, FixedClock(WHEN, timedelta(seconds=1)))


@dataclass
class Bench:
    """A copy of a project to spoil."""

    ledger: GitLedger
    sandbox: FakeSandbox = field(default_factory=lambda: FakeSandbox(shifted))

    @property
    def root(self):
        return self.ledger.root

    def driver(self, reviewer=None, **more):
        return make_driver(self.ledger, reviewer or ScriptedReviewer(), sandbox=self.sandbox, **more)

    def graph(self):
        driver = self.driver()
        return compile_graph(driver.workflow, driver.nodes)

    def last(self, kind):
        return next(e for e in reversed(self.ledger.entries()) if e.record.kind == kind)

    def state(self, **changes):
        """A graph's state that claims everything on record has been passed."""
        passed = {entry.record.kind: entry.digest for entry in self.ledger.entries()}
        base = {
            "cycle": 1,
            "attempt": 1,
            "passed": passed,
            "feedback": "",
            "returned_to": "",
            "route": "approve",
        }
        return {**base, **changes}

    def refused(self, said="", reviewer=None, sandbox=None):
        """Going on stops with an error that says so."""
        self.sandbox = sandbox or self.sandbox
        with pytest.raises(AutoresearchError, match=said):
            self.driver(reviewer).run()

    def does_not_count(self, said):
        """Going on stops with an error that says so, `verify` finds it, and no page takes it for a decision."""
        self.refused(f"does not count: .*{said}")
        history = self.ledger.entries()
        assert any(said in row for found in verify(self.ledger).rows for row in found.problems)
        assert "does not count" in status(history).where
        assert "DOES NOT COUNT" in status(history).last_decision
        with pytest.raises(NotApproved, match=said):
            require_counting(history)

    def asks_again(self):
        """Going on comes to a gate and no further."""
        with pytest.raises(Pending, match="no further decision"):
            self.driver().run()

    def append(self, record, files=None, author=PERSON):
        return self.ledger.append(record, files or {}, after=self.ledger.head(), author=author)

    def decision(self, answer="approve"):
        """The record that this answer at the open gate would make; it is not appended."""
        driver = self.driver(ScriptedReviewer([answer]))
        stop = driver._walk()
        at = driver.nodes.situation(stop.step, stop.state)
        if driver.workflow.steps[stop.step].kind == "approval":
            return driver._ask_approval(at, self.ledger.head(), Reviewer(person=PERSON))[0]
        return driver._ask_acceptance(at, self.ledger.head(), Reviewer(person=PERSON))

    def git(self, *args, **more):
        return subprocess.run(
            ["git", "-C", self.root, "-c", "user.name=Mallory", "-c", "user.email=m@example.org", *args],
            capture_output=True, text=True, check=True, **more,
        ).stdout  # fmt: skip

    def at_terminal(self, *typed, prepared=b"", hangs_up=False, timeout=60.0):
        """Go on at a pseudo-terminal where `typed` answers one prompt each; returns what was shown."""
        ours, theirs = os.openpty()
        if prepared:
            os.write(ours, prepared)
        seen = _answer(ours, list(typed), hangs_up=hangs_up)
        reviewer = TerminalReviewer(
            Reviewer(person=PERSON), FixedClock(), opener=lambda: theirs, environ={"TERM": "xterm"},
            size=(80, 24), timeout=timeout,
        )  # fmt: skip
        with pytest.raises(Pending) as caught:
            self.driver(reviewer).run()
        return seen, str(caught.value)


def _answer(ours, typed, *, hangs_up):
    """A thread that types the next answer whenever a prompt stands there, and then hangs up."""
    seen = bytearray()

    def converse():
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:
                break
            seen.extend(data)
            if not seen.endswith(b": "):
                continue
            if typed:
                os.write(ours, typed.pop(0))
            elif hangs_up:
                break
        os.close(ours)

    threading.Thread(target=converse, daemon=True).start()
    return seen
