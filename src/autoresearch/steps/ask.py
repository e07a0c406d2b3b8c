"""Ask the model for one reply: render the prompt, reuse a stored reply, store before use.

Between the last byte of a reply and the end of the fsync that stores it lies a window of
milliseconds: a crash in it loses a reply that was paid for. Its reservation in the budget
stays, so what it cost is not forgotten, and the model is asked again.
"""

from typing import TypeVar

from pydantic import BaseModel

from autoresearch.budget import SPENDING, Purse, pending
from autoresearch.errors import InvalidInput, LedgerError, ModelFailed
from autoresearch.exchanges import reparse
from autoresearch.layout import STANDARD_STEP
from autoresearch.ports import Entry, Exchange, Ledger, Request
from autoresearch.prompts import SEES, Item, file_items, put_together, record_item
from autoresearch.proposal import without_predictions
from autoresearch.records import Acceptance, Approval, Kind, MadeBy, Plan, Result, Spend, file_ref
from autoresearch.replies import forms
from autoresearch.steps.earlier_cycles import earlier_cycles
from autoresearch.steps.situation import Situation, StepPorts

R = TypeVar("R", bound=BaseModel)
LOG_TAIL_BYTES = 4000


def ask(at: Situation, ports: StepPorts, reply_type: type[R]) -> tuple[R, MadeBy, dict[str, bytes]]:
    """The model's reply, who to credit, and the exchange to commit.

    A reply that a crash left in the journal is used again: it has been paid for.
    """
    if ports.model is None or ports.prompt_path is None:
        raise ModelFailed(f"the {at.step} step has no model or no prompt; see workflow/workflow.yaml")
    request = build_request(at, ports, ports.prompt_path, reply_type)
    key = journal_key(at)
    stored = ports.noted(key)
    exchange = _recall(stored, request) if stored else None
    if exchange is None:
        purse = Purse(
            budget=at.settings.budget,
            model=ports.choice,
            step=at.step,
            cycle=at.cycle,
            history=at.history,
            note=ports.note,
            noted=ports.noted,
        )
        exchange = ports.model.ask(request, purse)
        ports.note(key, exchange.record)
    path = f"exchanges/{at.step}.json"
    made_by = MadeBy(
        author="agent",
        model=exchange.model,
        **{name: getattr(exchange.spent, name) for name in Spend.model_fields},
        exchanges=[file_ref(path, exchange.record)],
    )
    return exchange.reply, made_by, {path: exchange.record}


def journal_key(at: Situation) -> str:
    """Where the step's reply stands in the journal until its record is committed."""
    return f"reply-{at.cycle}-{at.attempt}-{at.step}"


def forget(at: Situation, ledger: Ledger) -> None:
    """Drop from the journal what the step's record, which is committed, holds.

    Also when the record is met again: a crash may have come between it and this.
    """
    ledger.forget(journal_key(at))
    if pending(ledger.entries(), ledger.noted) is None:
        ledger.forget(SPENDING)


def _recall(stored: bytes, request: Request[R]) -> Exchange[R] | None:
    """None: the journal's reply answers another question, e.g. after the settings changed."""
    try:
        return reparse(stored, request)
    except InvalidInput:
        return None


def build_request(at: Situation, ports: StepPorts, prompt_path: str, reply_type: type[R]) -> Request[R]:
    """The prompt as it goes out. What a step may see is decided by its kind, in `prompts.SEES`."""
    context = {
        "step": at.step,
        "kind": at.kind,
        "cycle": at.cycle,
        "attempt": at.attempt,
        "proposal": without_predictions(at.proposal_body().text),
        "sources": at.library().items(),
        "cycles": earlier_cycles(at.history, at.cycle),
        "records": _seen(at),
        "before": _before(at),
        "feedback": _feedback(at),
        "forms": forms(),
    }
    system, prompt = put_together(ports.prompt, prompt_path, context)
    return Request(step=at.step, system=system, prompt=prompt, reply_type=reply_type)


def _seen(at: Situation) -> list[Item]:
    """The records of this walk that the step may see, in one order for all steps, the code after its plan."""
    items: list[Item] = []
    for kind in SEES[STANDARD_STEP[at.kind]]:
        entry = at.upstream.get(kind)
        if entry is not None:
            items += [record_item(entry.record), *_code(at, entry)]
    return items


def _code(at: Situation, entry: Entry) -> list[Item]:
    if not isinstance(entry.record.body, Plan):
        return []
    files = {ref.path: at.read(entry, ref.path) for ref in entry.record.body.experiment}
    return file_items(files, entry.record)


REWRITES: dict[Kind, tuple[Kind, ...]] = {
    "ideas": ("ideas",),
    "plan": ("plan",),
    "conclusion": ("conclusion", "monitoring"),
}
"""What was sent back when a step of this kind is asked again: its own record, and what was found of it."""


def _before(at: Situation) -> list[Item]:
    items: list[Item] = []
    for kind in REWRITES.get(at.kind, ()) if at.feedback is not None else ():
        made = [e for e in at.history if (e.record.cycle, e.record.kind) == (at.cycle, kind)]
        for entry in made[-1:]:
            items += [record_item(entry.record), *_code(at, entry)]
    return items


def _feedback(at: Situation) -> list[dict[str, str]]:
    """Why this attempt, or this cycle, was opened. No step that writes code may see a forecast."""
    opened_by = at.feedback or at.followed_up
    if opened_by is None:
        return []
    body = opened_by.record.body
    if isinstance(body, Result):
        log = at.read(opened_by, body.log.path)[-LOG_TAIL_BYTES:].decode(errors="replace") if body.log else ""
        return [{"from": "experiment", "decision": body.status, "reason": f"{body.why}\n{log}"}]
    if isinstance(body, Approval | Acceptance):
        decided = {"from": opened_by.record.step, "decision": body.decision, "reason": body.reason}
        return [decided, *_crashed_tries(body)]
    raise LedgerError(f"a {opened_by.record.kind} record opens no attempt")


def _crashed_tries(body: Approval | Acceptance) -> list[dict[str, str]]:
    """The last traceback that the reviewer saw, if the code was tried and crashed."""
    crashes = [t.crash for t in body.tries if t.crash] if isinstance(body, Approval) else []
    return [{"from": "a try before the decision", "decision": "crashed", "reason": c} for c in crashes[-1:]]
