"""What models may still spend: reserved before a call, in the journal, so that no restart forgets it.

What was spent stands in two places. The records of the models' steps hold it for good. What came
after the last of them (calls without a usable reply, a reply whose record a crash prevented, a
reservation that a crash left open) stands in the journal under `SPENDING`, and goes into the next
record of a model as a part of what that one took.
"""

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Literal

from pydantic import ValidationError

from autoresearch.errors import BudgetSpent, InvalidInput, LedgerError
from autoresearch.ports import Entry
from autoresearch.prices import cost_of, price_of
from autoresearch.records import (
    Budget,
    CallCaps,
    Caps,
    Digest,
    Fork,
    Frozen,
    ModelChoice,
    Price,
    Spend,
    Tokens,
    Usage,
    add_costs,
    first_problem,
)

SPENDING = "spending"
"""The journal's key."""
Scope = Literal["project", "cycle"]


class Pending(Frozen):
    """What is in the journal."""

    after: Digest
    """The ledger's last record when this began."""
    spent: Spend
    """What is reserved included."""


class Purse:
    """`ports.Account` for one step's model."""

    def __init__(
        self,
        *,
        budget: Budget,
        model: ModelChoice,
        step: str,
        cycle: int,
        history: Sequence[Entry],
        note: Callable[[str, bytes], None],
        noted: Callable[[str], bytes | None],
    ) -> None:
        self._budget = budget
        self._price: Price | None = price_of(model)
        self._use = model.use
        self._step = step
        self._note = note
        self._pending = pending(history, noted) or Pending(after=history[-1].digest, spent=Spend())
        self._before = self._pending.spent
        """Pending without the call that is reserved now."""
        self._reserved = Spend()
        self._committed: dict[Scope, Spend] = {
            "project": spent_in(history),
            "cycle": spent_in(history, cycle),
        }

    @property
    def call(self) -> CallCaps:
        return self._budget.call

    @property
    def spent(self) -> Spend:
        return self._pending.spent

    def reserve(self, input_tokens: int) -> float:
        refuse_unknown_price(self._budget, self._price, self._use)
        most = Usage(input_tokens=input_tokens, output_tokens=self.call.output_tokens)
        # A server may write all of the input to its cache, which costs more than reading it.
        dearest = Usage(cache_creation_input_tokens=input_tokens, output_tokens=self.call.output_tokens)
        costs = [cost_of(usage, self._price) for usage in (most, dearest)]
        seconds = min([self.call.seconds, *self._seconds_left()])
        self._reserved = Spend(
            tokens=most.tokens(), cost_usd=max(costs, key=_known), calls=1, seconds=max(seconds, 1)
        )
        for scope, caps in self._scopes():
            self._refuse_above(scope, caps)
        self._write(self._before + self._reserved)
        return float(seconds)

    def settle(self, usage: Usage | None, seconds: float) -> None:
        took = Spend(calls=1, seconds=math.ceil(seconds))
        if usage is not None:
            took += Spend(tokens=usage.tokens(), cost_usd=cost_of(usage, self._price))
        self._close(took)

    def keep(self, seconds: float) -> None:
        self._close(self._reserved.model_copy(update={"seconds": math.ceil(seconds)}))

    # ----------------------------------------------------------------- internals

    def _close(self, took: Spend) -> None:
        self._before += took
        self._reserved = Spend()
        self._write(self._before)

    def _write(self, spent: Spend) -> None:
        self._pending = self._pending.model_copy(update={"spent": spent})
        self._note(SPENDING, self._pending.model_dump_json().encode())

    def _scopes(self) -> tuple[tuple[Scope, Caps], ...]:
        return (("project", self._budget.project), ("cycle", self._budget.cycle))

    def _seconds_left(self) -> list[int]:
        return [
            caps.seconds - self._so_far(scope).seconds
            for scope, caps in self._scopes()
            if caps.seconds != "none"
        ]

    def _so_far(self, scope: Scope) -> Spend:
        return self._committed[scope] + self._before

    def _refuse_above(self, scope: Scope, caps: Caps) -> None:
        so_far = self._so_far(scope)
        want = self._reserved
        bounds = (
            ("usd", caps.usd, _known(so_far.cost_usd), _known(want.cost_usd)),
            ("tokens", caps.tokens, all_tokens(so_far.tokens), all_tokens(want.tokens)),
            ("calls", caps.calls, so_far.calls, want.calls),
            ("seconds", caps.seconds, so_far.seconds, want.seconds),
        )
        for name, cap, spent, more in bounds:
            if cap != "none" and spent + more > Decimal(cap):
                raise BudgetSpent(
                    f"budget.{scope}.{name} is {cap}, of which {spent} is spent, and the next call of step "
                    f"{self._step} may take {more}; nothing was sent\n"
                    f"raise {name} under [budget.{scope}] in autoresearch.toml and go on with: autoresearch run"
                )


def refuse_unknown_price(budget: Budget, price: Price | None, use: str) -> None:
    """A cap in money cannot be kept for a model without a price. Raises InvalidInput saying what to add."""
    if price is None and (budget.project.usd, budget.cycle.usd) != ("none", "none"):
        raise InvalidInput(
            f"the budget is in USD and the price of {use} is not known; nothing was sent\n"
            "add to autoresearch.toml, in USD per million tokens, or below the step's own table, e.g."
            " [model.critique.price]:\n[model.price]\n"
            'input = "…"\ncached = "…"\nwritten = "…"\noutput = "…"'
        )


def pending(history: Sequence[Entry], noted: Callable[[str], bytes | None]) -> Pending | None:
    """What was spent since the last record of a model. Raises LedgerError if the journal cannot be read."""
    data = noted(SPENDING)
    if data is None:
        return None
    try:
        found = Pending.model_validate_json(data)
    except ValidationError as error:
        raise LedgerError(
            f".git/autoresearch/journal/{SPENDING} cannot be read: {first_problem(error)}\n"
            "it holds what models were paid since their last record; remove the file to go on without that"
        ) from error
    return None if _recorded_since(found.after, history) else found


def _recorded_since(digest: str, history: Sequence[Entry]) -> bool:
    """A crash came between a record, which holds all that was pending, and the removal of the note."""
    places = [index for index, entry in enumerate(history) if entry.digest == digest]
    return bool(places) and any(entry.record.made_by.exchanges for entry in history[places[-1] + 1 :])


def spent_in(history: Sequence[Entry], cycle: int | None = None) -> Spend:
    """What the records say, of one cycle or of all, the money as far as its price was known."""
    by_cycle = spent_by_cycle(history)
    return sum((spend for number, spend in by_cycle.items() if cycle in (None, number)), Spend())


def spent_by_cycle(history: Sequence[Entry]) -> dict[int, Spend]:
    """With what a fork brought along: it begins with the other project's spending, not with none."""
    found: dict[int, Spend] = {}
    for entry in history:
        made, body = entry.record.made_by, entry.record.body
        spends = {**body.spent} if isinstance(body, Fork) else {}
        if made.exchanges:
            known = add_costs(str(_known(made.cost_usd)))
            spends[entry.record.cycle] = made.spent.model_copy(update={"cost_usd": known})
        for cycle, spend in spends.items():
            found[cycle] = found.get(cycle, Spend()) + spend
    return found


def unpriced(history: Sequence[Entry]) -> bool:
    """Whether some of what was spent had no known price."""
    return any(
        entry.record.made_by.cost_usd == "unknown"
        or (isinstance(body := entry.record.body, Fork) and body.unpriced)
        for entry in history
    )


def costs_of(history: Sequence[Entry]) -> list[str]:
    """In USD, a record each; `unknown` where there was no price. A fork brings along what was spent before it."""
    costs = []
    for entry in history:
        body = entry.record.body
        costs.append(entry.record.made_by.cost_usd)
        if isinstance(body, Fork):
            costs += [spend.cost_usd for spend in body.spent.values()]
            costs += ["unknown"] if body.unpriced else []
    return costs


def all_tokens(tokens: Tokens) -> int:
    return tokens.input + tokens.cached + tokens.output


def _known(cost: str) -> Decimal:
    return Decimal(0) if cost == "unknown" else Decimal(cost)
