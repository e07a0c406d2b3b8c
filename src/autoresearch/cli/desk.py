"""The person's own files in the project's work tree: proposal.md and autoresearch.toml."""

import os

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.input_store import InputStore
from autoresearch.adapters.terminal import TerminalReviewer
from autoresearch.cli.output import say
from autoresearch.cli.take_in import take_in
from autoresearch.cli.wiring import project_workflow, shared_model
from autoresearch.config import parse_settings, settings_diff
from autoresearch.driver import Written
from autoresearch.errors import InvalidInput, LedgerError
from autoresearch.layout import LOCK_FILE, OWN_DIRS, PROPOSAL_FILE, SETTINGS_FILE, WORKFLOW_DIR
from autoresearch.ports import ReviewPort
from autoresearch.proposal import parse_proposal, read_proposal
from autoresearch.records import Proposal, Settings, Source
from autoresearch.vouched import reader
from autoresearch.workflow import Workflow


class WorkTreeDesk:
    """Implements `driver.Desk` on the files beside the ledger."""

    def __init__(self, ledger: GitLedger, reviewer: ReviewPort) -> None:
        self._ledger = ledger
        self._reviewer = reviewer
        self._declined = ""

    def proposal(self) -> Written:
        text = read_proposal(self._ledger.root / PROPOSAL_FILE)
        parse_proposal(text)
        return self._written(text)

    def changed_proposal(self, before: Proposal) -> Written | None:
        text = read_proposal(self._ledger.root / PROPOSAL_FILE)
        if text != before.text:
            parse_proposal(text)  # a free-form one stays as a model read it
        written = self._written(text)
        return None if written.same_as(before) else written

    def _written(self, text: str) -> Written:
        bodies = (entry.record.body for entry in reversed(self._ledger.entries()))
        before = next(body for body in bodies if isinstance(body, Proposal))
        store = InputStore(self._ledger.inputs_dir)
        return take_in(
            text, PROPOSAL_FILE, self._ledger.root, store, before=before, text_then=self._text_then
        )

    def _text_then(self, source: Source) -> bytes:
        """What was read of a source that an earlier proposal brought."""
        entry = next(
            entry
            for entry in reversed(self._ledger.entries())
            if isinstance(entry.record.body, Proposal) and source in entry.record.body.sources
        )
        assert source.text is not None
        return reader(self._ledger)(entry, source.text.path)

    def offer_edit(self, why: str) -> bool:
        if not isinstance(self._reviewer, TerminalReviewer):
            return False
        return self._reviewer.edit_file(self._ledger.root / PROPOSAL_FILE, why)

    def settings(self, in_force: Settings) -> tuple[Settings, str, bytes] | None:
        data = self._ledger.work_file(SETTINGS_FILE)
        if data is None:
            raise InvalidInput(
                f"{SETTINGS_FILE} is missing; get it back with: git checkout -- {SETTINGS_FILE}"
            )
        try:
            changed = parse_settings(data.decode(), steps=self._steps())
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{SETTINGS_FILE} is not UTF-8: byte {error.start}") from error
        diff = settings_diff(in_force, changed)
        if not diff or diff == self._declined:
            return None
        if not self._reviewer.confirm_settings(diff):
            self._declined = diff
            return None
        warning = shared_model(self._workflow(), changed)
        if warning and (changed.model, changed.models) != (in_force.model, in_force.models):
            say(warning)
        return changed, diff, data

    def _workflow(self) -> Workflow:
        return project_workflow(self._ledger)

    def _steps(self) -> dict[str, bool]:
        return {name: step.prompt is not None for name, step in self._workflow().steps.items()}


def refuse_foreign_changes(ledger: GitLedger, *, by_model: bool) -> None:
    """Raises LedgerError naming a changed file that is nobody's to change, and the command that mends it."""
    own = {SETTINGS_FILE} if by_model else {SETTINGS_FILE, PROPOSAL_FILE, LOCK_FILE}
    foreign = [change for change in ledger.changes() if change.path not in own]
    if not foreign:
        return
    here = os.path.relpath(ledger.root)
    lines = [f"{change.path} is {change.what}; {change.way_on(here)}" for change in foreign[:5]]
    if len(foreign) > 5:
        lines.append(f"and {len(foreign) - 5} more; see: git status")
    if any(change.path.startswith(f"{WORKFLOW_DIR}/") for change in foreign):
        lines.append(
            "a project keeps the workflow it was started with; go on apart with another one by: "
            "autoresearch fork STEP DIR --workflow FILE"
        )
    raise LedgerError(
        "\n".join([*lines, f"only {', '.join(sorted(own))} and {'/, '.join(OWN_DIRS)}/ are yours to change"])
    )
