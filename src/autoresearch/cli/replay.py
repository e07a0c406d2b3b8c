"""`replay`: offline derivation, a walk by key, or the approved experiments again."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from autoresearch import __version__, assets
from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.cli.output import say
from autoresearch.cli.wiring import CLOCK, first_proposal, open_project
from autoresearch.errors import AutoresearchError
from autoresearch.layout import WORKFLOW_DIR
from autoresearch.safe_text import escape
from autoresearch.workflow import Workflow, parse_workflow


@dataclass(frozen=True)
class TapeClock:
    """The scratch repository's clock: the recorded time of the record that comes next."""

    time: Callable[[], datetime]

    def now(self) -> datetime:
        return self.time()

    def monotonic(self) -> float:
        return CLOCK.monotonic()


def replay_project(folder: Path, *, walk: bool, experiments: bool) -> None:
    ledger = open_project(folder)
    if walk:
        from autoresearch.cli.walk import walk_history

        walk_history(ledger)
    elif experiments:
        from autoresearch.cli.rerun import rerun_experiments

        rerun_experiments(ledger)
    else:
        derive_again(ledger)


def _first_workflow(ledger: GitLedger) -> Workflow:
    """The one that the project began with; a fork may have brought another since."""
    return parse_workflow(ledger.read(f"{WORKFLOW_DIR}/workflow.yaml", ledger.entries()[0].commit).decode())


def derive_again(ledger: GitLedger) -> None:
    """Print a line a record: ✓, or what differs. Raises if anything does."""
    from autoresearch.replay import Derived, DivergedError, replay

    tool = first_proposal(ledger).tool
    if (tool.version, tool.lock_sha256) != (__version__, assets.tool_lock_digest()):
        say(
            f"made with version {tool.version} and other packages than this {__version__}: differences may come from that"
        )

    def show(derived: Derived) -> None:
        record = derived.entry.record
        sign = "✗" if derived.differences else "✓"
        print(
            f"{sign} {record.cycle}.{record.attempt} {record.kind:<12} {derived.entry.digest[:12]}  {derived.entry.commit[:10]}"
        )
        for difference in derived.differences[:20]:
            print(f"    {escape(difference)}")

    with tempfile.TemporaryDirectory(prefix="autoresearch-replay-") as scratch:

        def make(time: Callable[[], datetime]) -> GitLedger:
            return GitLedger.create(Path(scratch), TapeClock(time))

        try:
            number = replay(ledger, make, _first_workflow(ledger), show)
        except DivergedError as error:
            raise AutoresearchError(f"replay stopped: {error}") from error
    print(f"{number} records derived again, offline, each equal to the recorded one; head {ledger.head()}")
