"""`verify`: the table, and the head in a file of anchors."""

from pathlib import Path

from autoresearch.adapters.anchor_file import AnchorFile
from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.anchor import Anchored
from autoresearch.cli.output import say, show, show_json
from autoresearch.cli.wiring import CLOCK, open_project
from autoresearch.errors import InvalidInput, LedgerError
from autoresearch.records import Proposal, body_as, parse_record
from autoresearch.settings_in_force import project_in_force
from autoresearch.verify import verify


def verify_project(folder: Path, anchor: Path | None, *, as_json: bool) -> None:
    """Raises InvalidInput if anything does not hold. Only a sound history's head is anchored."""
    ledger = open_project(folder)
    file = AnchorFile(anchor, ledger.root, _project(ledger)) if anchor else None
    found = verify(ledger, file.anchors() if file else None)
    show_json(found.as_json()) if as_json else show(found.lines())
    if not found.sound:
        raise InvalidInput("the history does not verify")
    if file:
        added = file.add(Anchored(CLOCK.now(), found.records, found.head))
        say(f"{'anchored in' if added else 'anchored already, as the last line of'} {anchor}: {found.head}")


def _project(ledger: GitLedger) -> str:
    """The id in force: a fork has its own. Of a history that reads as no ledger, as its first commit states it."""
    try:
        return project_in_force(ledger.entries())
    except LedgerError:
        first = ledger.commits()[0].id
        record = parse_record(ledger.read("cycles/01/attempt-1/proposal.json", first), "the first record")
        return body_as(record, Proposal).project
