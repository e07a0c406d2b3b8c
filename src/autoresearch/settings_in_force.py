"""What holds at the end of a history: each in the last record that has it."""

from collections.abc import Sequence

from autoresearch.errors import LedgerError
from autoresearch.ports import Entry
from autoresearch.records import Config, Fork, Proposal, Settings, WorkflowRef


def settings_in_force(history: Sequence[Entry]) -> Settings:
    for entry in reversed(history):
        body = entry.record.body
        if isinstance(body, Config | Fork | Proposal):
            return body.settings
    raise LedgerError("the ledger does not begin with a proposal")


def project_in_force(history: Sequence[Entry]) -> str:
    """The id that decisions bind: a fork has its own."""
    for entry in reversed(history):
        body = entry.record.body
        if isinstance(body, Fork | Proposal):
            return body.project
    raise LedgerError("the ledger does not begin with a proposal")


def workflow_in_force(history: Sequence[Entry]) -> tuple[WorkflowRef, str]:
    """The workflow, and the commit that has its files."""
    for entry in reversed(history):
        body = entry.record.body
        if isinstance(body, Fork) and body.workflow is not None:
            return body.workflow, entry.commit
    first = history[0].record.body if history else None
    if not isinstance(first, Proposal):
        raise LedgerError("the ledger does not begin with a proposal")
    return first.workflow, history[0].commit


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
