"""`replay`: offline derivation, a walk by key, or the approved experiments again."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from autoresearch import __version__, assets
from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.scratch_ledger import ScratchLedger
from autoresearch.cli.wiring import CLOCK, first_proposal, open_project
from autoresearch.comparison import TOLERANCE
from autoresearch.errors import AutoresearchError
from autoresearch.layout import WORKFLOW_DIR
from autoresearch.records import Tool
from autoresearch.safe_text import escape
from autoresearch.workflow import Workflow, parse_workflow

if TYPE_CHECKING:
    from autoresearch.replay import Derived

MOST_SHOWN = 20
"""Differences of one record."""


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
    """Print a line a record: ✓, ~ with what other versions explain, or ✗ with what differs. Raises at ✗."""
    from autoresearch.replay import Derived, DivergedError, replay

    other = other_versions(first_proposal(ledger).tool)
    if other:
        print(f"{other}; compared field by field, numbers to {TOLERANCE:g}")
    differing = 0

    def show(derived: Derived) -> None:
        nonlocal differing
        differing += bool(derived.differences)
        print("\n".join(_lines(derived, may_differ=bool(other))))

    with tempfile.TemporaryDirectory(prefix="autoresearch-replay-") as scratch:

        def make(time: Callable[[], datetime]) -> ScratchLedger:
            return ScratchLedger.create(Path(scratch), TapeClock(time))

        try:
            number = replay(ledger, make, _first_workflow(ledger), show, other_versions=bool(other))
        except DivergedError as error:
            raise AutoresearchError(f"replay stopped: {error}") from error
    if not other:
        print(
            f"{number} records derived again, offline, each equal to the recorded one; head {ledger.head()}"
        )
        return
    rest = f"{differing} of them otherwise: rule or library changed" if differing else "each equal"
    print(f"{number} records derived again, offline, {rest}; nothing decided, forecast or measured differs")


def other_versions(tool: Tool) -> str:
    """What made the project, if it was not this tool with these packages."""
    if tool.version != __version__:
        return f"made by version {tool.version}, derived again by version {__version__}"
    if tool.lock_sha256 != assets.tool_lock_digest():
        return f"made by this version, {__version__}, with other packages"
    return ""


def _lines(derived: "Derived", *, may_differ: bool) -> Iterator[str]:
    record, found = derived.entry.record, derived.differences
    explained = may_differ and derived.explained
    sign = "✓" if not found else "~" if explained else "✗"
    line = f"{sign} {record.cycle}.{record.attempt} {record.kind:<12} {derived.entry.digest[:12]}  {derived.entry.commit[:10]}"
    yield f"{line}  rule or library changed" if found and explained else line
    for difference in found[:MOST_SHOWN]:
        yield f"    {escape(difference.path)}"
        yield f"        recorded  {escape(difference.recorded)}"
        yield f"        derived   {escape(difference.derived)}"
    if len(found) > MOST_SHOWN:
        yield f"    and {len(found) - MOST_SHOWN} more"
