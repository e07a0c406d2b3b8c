"""Kills a whole cycle at random moments, many times; each project is then taken to its end.

    python tests/campaigns/kill_ledger.py [--kills 300] [--seed 20260801] [--json FILE]
    python tests/campaigns/kill_ledger.py --boundaries [--json FILE]
    python tests/campaigns/kill_ledger.py --courses

Everything is the shipped code but for the engine and the model, which live on disk and answer at
once; clock and chance are fixed. Both gates are answered on a pseudo-terminal. Afterwards no record
may be missing or stand twice, `verify` has to find nothing, and the history has to be the very
commits of an undisturbed run, unless a run or a reply that was paid for was lost to the kill.

`--boundaries` dies once, and fails once with ENOSPC and with EIO, at every write boundary of every step.
`--courses` is `tests/ledger/test_any_course.py` at length: decisions, deaths, forks and replays as they come.
"""

import argparse
import json
import os
import pty
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from pexpect import EOF, TIMEOUT, fdpexpect

sys.path.insert(0, str(Path(__file__).parents[1]))

import deaths
from autoresearch.adapters.terminal import TerminalReviewer
from autoresearch.records import Reviewer
from autoresearch.testing import PERSON
from autoresearch.testing_project import STILL

QUESTIONS = [
    b"Decision: ", rb'To [a-z -]+, type ([0-9a-f]{8}) \("back" if not\): ', rb"\[Enter skips\]: ", EOF
]  # fmt: skip
LONG = {"AUTORESEARCH_COURSES": "long"}
TESTS = Path(__file__).parents[1]
NOWHERE = deaths.Failpoint(only=())


class OnTerminal:
    """A stretch of work in a process with a terminal of its own."""

    def __init__(self, root):
        self.pid, terminal = pty.fork()
        if self.pid == 0:
            reviewer = TerminalReviewer(
                Reviewer(person=PERSON), STILL, environ={"TERM": "xterm"}, size=(80, 24)
            )
            try:
                deaths.go_on_with(root, NOWHERE, reviewer)
            except BaseException as error:  # noqa: BLE001 - a forked child must not go on as its parent
                print(repr(error), flush=True)
                os._exit(1)
            os._exit(0)
        self.child = fdpexpect.fdspawn(terminal)
        self.seen = b""

    def drive(self, seconds):
        """Answer the gates until it ends (True) or the time is over."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                found = self.child.expect(QUESTIONS, timeout=left)
            except TIMEOUT:
                return False
            self.seen += self.child.before
            if found == 3:
                return True
            self.child.send([b"a", self.child.match[int(found == 1)], b"0.7 1.0 1.3"][found] + b"\n")
        return False

    def end(self):
        """The exit status."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.child.close()
        return status

    def kill(self):
        os.killpg(self.pid, signal.SIGKILL)
        return self.end()


def whole(root):
    """Make a project and take it to its end. Returns seconds and head."""
    deaths.make(root)
    began = time.monotonic()
    to_the_end(root)
    return time.monotonic() - began, deaths.head(root)


def to_the_end(root):
    session = OnTerminal(root)
    assert session.drive(300), session.seen
    assert session.end() == 0, session.seen


def kill_at(root, delay):
    """Returns the kind of the last record when it was killed; None if it had ended."""
    deaths.make(root)
    session = OnTerminal(root)
    if session.drive(delay):
        assert session.end() == 0, session.seen
        return None
    assert session.kill() == -signal.SIGKILL
    return deaths.history(root)[-1].record.kind


def what_was_lost(root, head):
    """`nothing`, if the history is the undisturbed one; else the one thing that explains the difference."""
    kinds, asked = deaths.require_sound(root)
    statuses = [e.record.body.status for e in deaths.history(root) if e.record.kind == "result"]
    lost = statuses.count("Lost")
    assert statuses == ["Lost"] * lost + ["Completed"]
    once = deaths.STORY[: deaths.STORY.index("approval")]
    repeated = ["approval", "run", "result"]
    rest = deaths.STORY[deaths.STORY.index("check") :]
    assert kinds == [*once, *repeated * (lost + 1), *rest], kinds
    asked_again = {step: count for step, count in asked.items() if count > 1}
    if deaths.head(root) == head:
        assert not lost
        assert not asked_again
        return "nothing"
    if lost:
        return "a run"
    calls = sum(entry.record.made_by.calls for entry in deaths.history(root))
    assert calls == len(asked) + 1, (calls, asked)  # a reservation, or a reply, that nothing came of
    return "a reply"


def random_kills(scratch, kills, seed):
    draw = random.Random(seed)
    span, head = whole(scratch / "whole")
    again = whole(scratch / "again")
    assert again[1] == head, "two undisturbed runs differ"
    span = min(span, again[0])
    print(f"undisturbed: {span:.1f} s; seed {seed}", flush=True)
    met, lost, number = Counter(), Counter(), 0
    while number < kills:
        root, delay = scratch / f"kill-{number}", draw.uniform(0, span)
        stood = kill_at(root, delay)
        if stood is not None:
            to_the_end(root)
            number += 1
            met[stood] += 1
            lost[what_was_lost(root, head)] += 1
            if number % 10 == 0:
                print(f"{number:>4}  lost so far: {dict(lost)}", flush=True)
        shutil.rmtree(root)
    print("kills by the last record that stood:", dict(met.most_common()))
    print("lost:", dict(lost), "  records missing: 0, twice: 0, findings of verify: 0")
    return {"kills": kills, "seed": seed, "met": met, "lost": lost}


def boundaries(scratch):
    server, found, undisturbed = deaths.Deaths(), {}, scratch / "whole"
    try:
        deaths.make(undisturbed)
        assert server.stretch(undisturbed, only=["none"])["ended"] == "accepted"
        head = deaths.head(undisturbed)
        for trouble in ("kill", *deaths.TROUBLES):
            spared, projects = set(), 0
            while True:
                before, root = len(spared), scratch / f"{trouble}-{projects}"
                deaths.make(root)
                only = deaths.ALL if trouble == "kill" else deaths.WRITING
                server.course(root, spared, trouble, skip=deaths.WINDOWS, only=only)
                deaths.require_sound(root)
                assert deaths.head(root) == head
                projects += 1
                if len(spared) == before:
                    break
            found[trouble] = {"points": len(spared), "projects": projects}
            print(
                f"{trouble}: at {len(spared)} points in {projects} projects, every history the same",
                flush=True,
            )
    finally:
        server.close()
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=20260801)
    parser.add_argument("--boundaries", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--courses", action="store_true")
    asked = parser.parse_args()
    if asked.courses:
        test = str(TESTS / "ledger" / "test_any_course.py")
        os.execve(sys.executable, [sys.executable, "-m", "pytest", test, "-s"], os.environ | LONG)
    scratch = Path(tempfile.mkdtemp(prefix="autoresearch-campaign-"))
    try:
        found = boundaries(scratch) if asked.boundaries else random_kills(scratch, asked.kills, asked.seed)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
