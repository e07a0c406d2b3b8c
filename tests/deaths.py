"""A whole project in processes that die: killed, or with a disk that fails, at a boundary that is named.

`Deaths` keeps one process with everything imported and forks it for each stretch, so that a death is
a real SIGKILL and costs no second interpreter. Sandbox and model live on disk beside the project, as
an engine and a provider outlive whoever asked them, and note what was asked of them.

    python tests/deaths.py      reads one request a line on standard input; for `Deaths` only
"""

import errno
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import traceback
import zlib
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.asking import Answered, converse
from autoresearch.boundaries import BOUNDARIES, go_on
from autoresearch.errors import AutoresearchError
from autoresearch.exchanges import Call, MessageReply
from autoresearch.ports import ApprovalView
from autoresearch.records import Settings, Usage
from autoresearch.testing import WHEN, FakeSandbox
from autoresearch.testing_project import STILL, ScriptedReviewer, make_driver, make_project
from autoresearch.verify import verify

DATA = Path(__file__).parent / "data"
SPEC = "command:scripted"
SETTINGS = Settings(model={"use": SPEC}, max_attempts=100, artifact_limit_mb=0.0002)
"""So small a limit that what the trials left is kept aside, as a large artifact is."""

EDGES = (
    "run about to start", "run started", "run looked at", "outputs about to be collected",
    "outputs collected", "run about to be removed", "run removed", "model about to answer", "model answered",
)  # fmt: skip
"""The boundaries of the ports, beside the ledger's own."""
ALL = (*BOUNDARIES, *EDGES)
RARE = (*EDGES, "artifact written", "artifact synced", "artifact placed", "outputs folder made")
"""What one step alone comes to."""
WRITING = tuple(
    name for name in BOUNDARIES if name.split()[-1] in ("written", "synced", "placed") or name in
    ("objects durable", "branch locked", "outputs folder made", "outputs removed", "journal entry removed")
)  # fmt: skip
"""Where a disk that is full or broken shows."""
TROUBLES = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}
RUN_WINDOW = ("@ run",)
"""Points between the run record and the start of what it announces: a death there costs the run."""
MODEL_WINDOW = ("noting spending", "model ", "noting reply")
"""Points at which a reply that was paid for is not yet kept: a death there costs the reply."""


# ------------------------------------------------------------------ the world


class Log:
    """What was asked of the world, a line each, whoever dies."""

    def __init__(self, place):
        self.place = place

    def add(self, *words):
        with self.place.open("a") as file:
            file.write(" ".join(words) + "\n")

    def lines(self):
        return self.place.read_text().splitlines() if self.place.exists() else []


def trial(arm, seed, config):
    rng = random.Random(seed)
    shift = config["shift"] if arm == "shifted" else 0.0
    return {"numbers": [rng.gauss(shift, 1.0) for _ in range(config["draws"])]}


class KeptSandbox(FakeSandbox):
    """Runs that stay when their supervisor dies."""

    def __init__(self, place, reached=go_on):
        super().__init__(trial)
        self._place, self._reached = place / "runs", reached
        self._log = Log(place / "log")
        if self._place.exists():
            self._runs = pickle.loads(self._place.read_bytes())

    def submit(self, job, warrant):
        self._reached("run about to start")
        super().submit(job, warrant)
        self._log.add("started", job.run_id)
        self._keep()
        self._reached("run started")

    def poll(self, run_id):
        found = super().poll(run_id)
        self._keep()
        self._reached("run looked at")
        return found

    def collect(self, run_id, limits, into):
        self._reached("outputs about to be collected")
        found = super().collect(run_id, limits, into)
        self._reached("outputs collected")
        return found

    def remove(self, run_id):
        self._reached("run about to be removed")
        super().remove(run_id)
        self._keep()
        self._reached("run removed")

    def _keep(self):
        aside = self._place.with_suffix(".new")
        aside.write_bytes(pickle.dumps(self._runs))
        aside.replace(self._place)


class ScriptedModel:
    """A model in this process that answers each step from a file."""

    name, secrets = "scripted", ()
    replies = json.loads((DATA / "scripted_replies.json").read_text())

    def __init__(self, place, reached):
        self._log, self._reached = Log(place / "log"), reached

    def ask(self, request, account):
        return converse(self, request, account)

    def call(self, request, repair, account):
        account.reserve(1000)
        self._reached("model about to answer")
        self._log.add("asked", request.step)
        self._reached("model answered")
        usage = Usage(input_tokens=900, output_tokens=90)
        account.settle(usage, 1.0)
        sent = {"system": request.system, "messages": [{"role": "user", "content": request.prompt}]}
        reply = {
            "type": "message", "model": self.name, "stop_reason": "end_turn", "usage": usage.model_dump(exclude_none=True),
            "content": [{"type": "text", "text": json.dumps(self.replies[request.step])}],
        }  # fmt: skip
        call = Call(
            started=WHEN, ended=WHEN, tries=1, failed_tries=[], request_id=None, request=sent, reply=reply
        )
        return Answered(MessageReply.model_validate(reply), call)


class Watched(GitLedger):
    """Says which record a boundary belongs to: the one that is being made, or the last."""

    kind = ""
    doing = ""

    @property
    def point(self):
        return f"{self.kind}, {self.doing}" if self.doing else self.kind

    def append(self, record, files, **more):
        self.kind = record.kind
        return super().append(record, files, **more)

    def note(self, key, data):
        with self._doing(f"noting {key.split('-')[0]}"):
            super().note(key, data)

    def forget(self, key):
        with self._doing(f"forgetting {key.split('-')[0]}"):
            super().forget(key)

    def mend(self):
        self.kind = self.entries()[-1].record.kind
        with self._doing("mending"):
            super().mend()

    @contextmanager
    def _doing(self, what):
        before, self.doing = self.doing, f"{self.doing} and {what}" if self.doing else what
        yield
        self.doing = before


# ---------------------------------------------------------------- one stretch


@dataclass
class Failpoint:
    """Ends the process, or raises a disk's error, at the first point that is not in `spared`.

    A point is a boundary and the record it belongs to. `only`: some boundaries. `skip`: not at points
    with one of these in their name. `one_in`: of a boundary that
    many steps come to, its first point and so many of the others, drawn by a hash. `after`: at so manieth boundary, whatever its point.
    """

    trouble: str = "kill"
    spared: set = field(default_factory=set)
    only: tuple = ALL
    skip: tuple = ()
    one_in: int = 1
    after: int = 0
    ledger: Watched | None = None
    point: str = ""

    def __call__(self, boundary):
        assert boundary in ALL, boundary
        point = f"{boundary} @ {self.ledger.point}" if self.ledger else boundary
        left_out = boundary not in self.only or any(part in point for part in self.skip)
        met = any(spared.split(" @ ")[0] == boundary for spared in self.spared)
        left_out |= boundary not in RARE and met and zlib.crc32(point.encode()) % self.one_in != 0
        self.after -= 1
        if self.point or left_out or point in self.spared or self.after > 0:
            return
        self.point = point
        if self.trouble == "kill":
            sys.stdout.write(json.dumps({"point": point}) + "\n")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(TROUBLES[self.trouble], os.strerror(TROUBLES[self.trouble]))


WINDOWS = (*RUN_WINDOW, *MODEL_WINDOW)
STORY = [
    "proposal", "ideas", "critique", "plan", "prediction", "preflight", "approval",
    "run", "result", "check", "conclusion", "monitoring", "acceptance", "report",
]  # fmt: skip


def decide(view):
    return "approve" if isinstance(view, ApprovalView) else "accept"


def make(root):
    make_project(root / "project", (DATA / "free_form.md").read_text(), settings=SETTINGS).close()


def go_on_with(root, failpoint, reviewer=None):
    """As `autoresearch run` does: mend, then to the end. Returns how it ended."""
    ledger = Watched(root / "project", STILL, failpoint)
    failpoint.ledger = ledger
    with closing(ledger):
        with ledger.lock():
            ledger.mend()
        driver = make_driver(
            ledger, reviewer or ScriptedReviewer([decide] * 200), sandbox=KeptSandbox(root, failpoint),
            model_for=lambda spec: ScriptedModel(root, failpoint) if spec == SPEC else None,
        )  # fmt: skip
        return driver.run().standing


def stretch(root, failpoint, reviewer=None):
    """What becomes of a stretch that is not killed."""
    try:
        said = {"ended": go_on_with(root, failpoint, reviewer)}
    except AutoresearchError as error:
        said = {"error": type(error).__name__, "message": str(error)}
    except BaseException:  # noqa: BLE001 - whatever it was, it is told to the parent
        said = {"bug": traceback.format_exc()}
    return {**said, "point": failpoint.point}


def require_said(found, trouble):
    """A disk's error has to end in words, of the ledger's own kind."""
    assert (found.get("error"), os.strerror(TROUBLES[trouble]) in found["message"]) == (
        "LedgerError",
        True,
    ), found


def serve():
    """Fork for each request, and answer with what became of the child."""
    import autoresearch.reporting.report  # noqa: F401  once for all

    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            root, decisions = Path(asked.pop("root")), asked.pop("decisions")
            reviewer = None if decisions is None else ScriptedReviewer(decisions)
            found = stretch(root, Failpoint(**asked), reviewer)
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)


class Deaths:
    """The process that is forked."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def stretch(self, root, *, spared=(), decisions=None, **more):
        """`decisions` are made, and no more; by default every gate lets the project go on."""
        asked = {"root": str(root), "spared": sorted(spared), "decisions": decisions, **more}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the server itself died"
        found = json.loads(answer)
        assert "bug" not in found, found["bug"]
        return found

    def course(self, root, spared, trouble="kill", **more):
        """Stretch after stretch to the end, each cut short at a point that is not in `spared`, which grows."""
        while "ended" not in (found := self.stretch(root, trouble=trouble, spared=spared, **more)):
            assert found["point"], found
            if trouble != "kill":
                require_said(found, trouble)
            spared.add(found["point"])
        return found["ended"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


# ----------------------------------------------------------------- afterwards


def require_sound(root):
    """Everything that has to hold of a project that went on to its end. Returns its records' kinds, and how often each step was asked."""
    project = root / "project"
    with closing(GitLedger(project, STILL)) as ledger:
        found = verify(ledger)
        entries = ledger.entries()
        assert found.sound, list(found.lines())
        assert ledger.changes() == []
    git = ["git", "-C", project]
    assert subprocess.check_output([*git, "fsck", "--strict", "--no-dangling"], text=True) == ""
    assert subprocess.check_output([*git, "status", "--porcelain"], text=True) == ""
    records = [entry.record for entry in entries]
    keys = Counter((r.cycle, r.attempt, r.step, r.kind) for r in records)
    assert max(keys.values()) == 1, keys
    own = project / ".git" / "autoresearch"
    assert all(path.name.startswith("consumed-") for path in (own / "journal").iterdir())
    left = [*own.rglob("outputs/*"), *(own / "scratch").glob("tmp*"), *project.rglob("*.lock")]
    assert [*left, *(project / ".git").rglob("tmp_obj_*")] == []
    asked = [tuple(line.split()) for line in Log(root / "log").lines()]
    started = Counter(name for what, name in asked if what == "started" and not name.endswith("-recheck"))
    assert set(started.values()) == {1}, started
    kinds = [record.kind for record in records]
    return kinds, Counter(name for what, name in asked if what == "asked")


def history(root):
    with closing(GitLedger(root / "project", STILL)) as ledger:
        return ledger.entries()


def head(root):
    return history(root)[-1].commit


if __name__ == "__main__":
    serve()
