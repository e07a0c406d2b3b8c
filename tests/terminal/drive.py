"""Run one gate on the controlling terminal; used by the tests as a child process.

drive.py OUT GATE [OPTIONS-JSON]: the answer goes to OUT as JSON, exit 0; Pending
goes to standard error, exit 3; Ctrl-C exits 130.
"""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import views

from autoresearch.adapters.terminal import Preset, TerminalReviewer
from autoresearch.errors import Interrupted, Pending, SandboxFailed
from autoresearch.records import Reviewer, Tryout


class WallClock:
    def now(self):
        return datetime.now(UTC)

    def monotonic(self):
        return time.monotonic()


class FolderJournal:
    """A ledger's journal without the ledger."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def note(self, key, data):
        self.folder.mkdir(exist_ok=True)
        (self.folder / key).write_bytes(data)

    def noted(self, key):
        return (self.folder / key).read_bytes() if (self.folder / key).exists() else None


def try_out(confirmed):
    """Each try takes the next outcome of the option `tries`; `engine` is an engine that fails."""
    TRIED.append(confirmed)
    outcome = OUTCOMES.pop(0)
    if outcome == "engine":
        raise SandboxFailed("the engine did not answer")
    crash = (
        "Traceback (most recent call last):\n  File x\nKeyError: \x1b[2J'z'" if outcome == "crashed" else ""
    )
    return Tryout(started_at=datetime.now(UTC), outcome=outcome, seconds=1.5, peak_memory_mb=40, crash=crash)


TRIED: list[str] = []
OUTCOMES: list[str] = []
GATES = {
    "approve": lambda r: r.approve(views.approval_view(), try_out),
    "first": lambda r: r.approve(
        views.approval_view(previous_files={}, previous_plan=None, history=[], ask_forecast=True), try_out
    ),
    "forecast": lambda r: r.approve(views.approval_view(ask_forecast=True), try_out),
    "blocked": lambda r: r.approve(views.blocked_view(), try_out),
    "weak": lambda r: r.approve(views.weak_view(), try_out),
    "record": lambda r: r.approve(
        views.approval_view(ask_forecast=True, reviewer_record="80 % intervals have held 7 of 12 results"),
        try_out,
    ),
    "deceiving": lambda r: r.approve(views.deceiving_view(), try_out),
    "accept": lambda r: r.accept(views.acceptance_view()),
    "accept-long-takeaway": lambda r: r.accept(views.long_takeaway()),
    "accept-long": lambda r: r.accept(views.long_acceptance()),
    "accept-blocked": lambda r: r.accept(views.blocked_acceptance()),
    "accept-unlikely": lambda r: r.accept(views.surprised("explain")),
    "accept-surprised": lambda r: r.accept(views.surprised()),
    "accept-not-rerun": lambda r: r.accept(views.surprised(fresh=False)),
    "both": lambda r: (r.approve(views.approval_view(), try_out), r.accept(views.acceptance_view()))[1],
    "settings": lambda r: r.confirm_settings("-max_attempts = 8\n+max_attempts = 9\x1b[2J\n"),
}


def plain(answer):
    if isinstance(answer, bool):
        return answer
    out = dict(vars(answer))
    out["attention"] = answer.attention.model_dump(mode="json")
    if hasattr(answer, "forecasts"):
        out["tries"] = [t.model_dump(mode="json") for t in answer.tries]
        out["tried"] = TRIED
        out["forecasts"] = [f.model_dump(mode="json") for f in answer.forecasts]
        out["edited"] = answer.edited and answer.edited.model_dump(mode="json")
        out["edited_files"] = {path: data.decode() for path, data in answer.edited_files.items()}
    return out


def main():
    out, gate = sys.argv[1:3]
    GATES["file"] = lambda r: r.edit_file(Path(out).with_name("proposal.md"), "the plan was\nrejected")
    options = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    OUTCOMES.extend(options.pop("tries", []))
    if "journal" in options:
        options["journal"] = FolderJournal(options["journal"])
    if "preset" in options:
        options["preset"] = Preset(*options["preset"])
    reviewer = TerminalReviewer(Reviewer(person=views.ADA), WallClock(), **options)
    try:
        answer = GATES[gate](reviewer)
    except (Pending, Interrupted) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    Path(out).write_text(json.dumps(plain(answer)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
