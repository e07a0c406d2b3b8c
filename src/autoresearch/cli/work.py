"""`start`, `run`, `review`, `approve`, `reject`, `report`: going on with a project."""

import os
from pathlib import Path
from typing import Literal, cast

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.notify import Notifier
from autoresearch.adapters.stderr_progress import StderrProgress
from autoresearch.adapters.terminal import Preset, TerminalReviewer
from autoresearch.cli.desk import refuse_foreign_changes
from autoresearch.cli.identity import git_identity
from autoresearch.cli.output import say, show_json
from autoresearch.cli.user_config import read_user_config
from autoresearch.cli.wiring import (
    CLOCK,
    build_driver,
    first_proposal,
    open_project,
    sandbox_of,
    status_of,
    writes_by_model,
)
from autoresearch.errors import AutoresearchError, InvalidInput
from autoresearch.ports import ApprovalView
from autoresearch.records import Report, Reviewer


def go_on(folder: Path, *, plain: bool) -> None:
    """To the end, or to whatever has to be decided or mended first."""
    from autoresearch.driver import ended_badly

    ledger = open_for_work(folder)
    reviewer = person(ledger, None, plain=plain, notify=notifier(ledger))
    try:
        with StderrProgress(CLOCK, os.environ) as progress:
            ending = build_driver(ledger, reviewer, progress, sandbox_of(ledger)).run()
    finally:
        status_of(ledger)
    say_what_next(ledger)
    bad = ended_badly(ending)
    if bad is not None:
        raise bad


def decide(folder: Path, decision: str | None, reason: str, *, plain: bool) -> None:
    """The pending gate, and nothing after it."""
    ledger = open_for_work(folder)
    _require_waiting(ledger)
    preset = Preset(cast("Literal['approve', 'reject']", decision), reason) if decision else None
    driver = build_driver(
        ledger, person(ledger, preset, plain=plain), StderrProgress(CLOCK, os.environ), sandbox_of(ledger)
    )
    if driver.decide_once():
        status_of(ledger)
        say(f"recorded; go on with: {command(ledger, 'run')}")


def print_gate(folder: Path) -> None:
    """The pending gate's whole content on standard output, for other programs to read. It decides nothing."""
    from autoresearch.reporting.gate_json import acceptance_json, approval_json

    ledger = open_for_work(folder)
    _require_waiting(ledger)
    driver = build_driver(
        ledger, person(ledger, None, plain=True), StderrProgress(CLOCK, os.environ), sandbox_of(ledger)
    )
    view = driver.pending()
    if isinstance(view, ApprovalView):
        show_json(approval_json(view))
    elif view is not None:
        show_json(acceptance_json(view))


def _require_waiting(ledger: GitLedger) -> None:
    if status_of(ledger).state != "waiting":
        raise InvalidInput("no gate is waiting for a decision; see: autoresearch status")


def build_report(folder: Path) -> None:
    """Write report/ in the work tree, ignored by git: the one on record, or every attempt as things stand."""
    from autoresearch.decisions import require_counting
    from autoresearch.driver import current_cycle, last_of_the_work
    from autoresearch.reporting.report import build
    from autoresearch.vouched import reader

    ledger = open_project(folder)
    entries = ledger.entries()
    require_counting(entries)
    last = entries[last_of_the_work(entries)]
    if isinstance(last.record.body, Report):
        read = reader(ledger)
        pages = {ref.path: read(last, ref.path) for ref in last.record.body.pages}
    else:
        pages = build(entries, reader(ledger), cycle=current_cycle(entries))
    target = ledger.root / "report"
    if target.is_symlink():
        raise InvalidInput(
            f"{target} is a link; remove it, since the report would be written where it points"
        )
    for path, data in pages.items():
        place = target / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        except OSError as error:
            raise AutoresearchError(
                f"{os.path.relpath(place)} could not be written: {error.strerror}\n"
                f"nothing on record depends on it; once that is mended, again: {command(ledger, 'report')}"
            ) from error
        print(os.path.relpath(place))


def open_for_work(folder: Path) -> GitLedger:
    """The ledger, mended after a crash, with nothing in its work tree that is nobody's to change."""
    ledger = open_project(folder)
    with ledger.lock():
        ledger.mend()
        refuse_foreign_changes(ledger, by_model=writes_by_model(ledger))
    if first_proposal(ledger).demonstration:
        raise InvalidInput(
            "this project is a demonstration: its gates were answered by a script, so no person can take it over\n"
            "make your own from its proposal: autoresearch start proposal.md DIR"
        )
    return ledger


def person(
    ledger: GitLedger, preset: Preset | None, *, plain: bool, notify: Notifier | None = None
) -> TerminalReviewer:
    return TerminalReviewer(
        Reviewer(person=git_identity(ledger.root)),
        CLOCK,
        plain=plain,
        preset=preset,
        come_back=command(ledger, "review"),
        notify=notify,
        journal=ledger,
    )


def notifier(ledger: GitLedger) -> Notifier | None:
    """What tells the person elsewhere that a gate waits; None where they asked for nothing.

    A fault in their own file is said, and work goes on without.
    """
    try:
        argv = read_user_config(os.environ).notify_command
    except InvalidInput as error:
        say(f"nobody is notified: {error}")
        return None
    return Notifier(argv, str(ledger.root), os.environ, say) if argv else None


def command(ledger: GitLedger, name: str) -> str:
    """`autoresearch NAME`, as it has to be typed from here."""
    here = os.path.relpath(ledger.root)
    return f"autoresearch {name}" if here == "." else f"autoresearch -C {here} {name}"


def say_what_next(ledger: GitLedger) -> None:
    rows = [
        ("report", "the report, in report/report.html"),
        ("log", "who decided what, and when"),
        ("replay", "derive every record again, offline"),
        ("verify", "check the history"),
    ]
    commands = [(command(ledger, name), what) for name, what in rows]
    width = max(len(typed) for typed, _ in commands)
    say("")
    for typed, what in commands:
        say(f"{typed:<{width}}   {what}")
