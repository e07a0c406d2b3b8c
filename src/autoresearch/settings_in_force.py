"""Which proposal and which settings hold: those in the last record that has them."""

from collections.abc import Sequence

from autoresearch.errors import LedgerError
from autoresearch.ports import Entry
from autoresearch.records import Config, Proposal, Settings


def settings_in_force(history: Sequence[Entry]) -> Settings:
    for entry in reversed(history):
        body = entry.record.body
        if isinstance(body, Config | Proposal):
            return body.settings
    raise LedgerError("the ledger does not begin with a proposal")


def proposal_in_force(history: Sequence[Entry], cycle: int, attempt: int) -> Entry:
    """The proposal as of an attempt: a later one does not change what an earlier attempt read."""
    found = [
        entry
        for entry in history
        if entry.record.kind == "proposal" and (entry.record.cycle, entry.record.attempt) <= (cycle, attempt)
    ]
    if not found:
        raise LedgerError("the ledger does not begin with a proposal")
    return found[-1]
