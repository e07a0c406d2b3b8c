"""What records took: money, tokens, and time of models, experiments and people."""

from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch.budget import costs_of
from autoresearch.ports import Entry
from autoresearch.records import Acceptance, Approval, Fork, Result, Spend, count
from autoresearch.reporting.text import duration, total_cost


@dataclass(frozen=True)
class Totals:
    records: int
    costs: Sequence[str]
    spent: Spend
    """Without its cost; with what forks brought along."""
    experiments: float
    """Seconds on the clock, as far as somebody measured them."""
    unmeasured: int
    """Runs whose time nobody measured."""
    gates: float
    """Seconds that gates were open before a decision."""
    tries: int

    def line(self) -> str:
        parts = [count(self.records, "record"), total_cost(self.costs)]
        if self.spent.calls:
            parts.append(f"{count(self.spent.calls, 'call')} to models in {duration(self.spent.seconds)}")
        unknown = f" and {count(self.unmeasured, 'run')} of unknown time" if self.unmeasured else ""
        parts.append(f"experiments {duration(self.experiments)}{unknown}")
        if self.tries:
            parts.append(f"{self.tries} {'try' if self.tries == 1 else 'tries'}")
        return ", ".join([*parts, f"at the gates {duration(self.gates)}"])

    def as_json(self) -> dict[str, object]:
        """`cost_usd` is the part that is known; `cost_complete` says whether that is all."""
        known = [cost for cost in self.costs if cost != "unknown"]
        return {
            "records": self.records,
            "cost_usd": Spend().cost_usd if not known else _sum(known),
            "cost_complete": len(known) == len(self.costs),
            "calls": self.spent.calls,
            "tokens": self.spent.tokens.model_dump(),
            "model_seconds": self.spent.seconds,
            "experiment_seconds": round(self.experiments, 3),
            "runs_of_unknown_time": self.unmeasured,
            "gate_seconds": round(self.gates, 3),
            "tries": self.tries,
        }


def totals_of(entries: Sequence[Entry]) -> Totals:
    bodies = [entry.record.body for entry in entries]
    decisions = [body for body in bodies if isinstance(body, Approval | Acceptance)]
    walls = [body.facts.wall_seconds for body in bodies if isinstance(body, Result)]
    spends = [entry.record.made_by.spent for entry in entries]
    spends += [spend for body in bodies if isinstance(body, Fork) for spend in body.spent.values()]
    return Totals(
        records=len(entries),
        costs=costs_of(entries),
        spent=sum((spend.model_copy(update={"cost_usd": "0"}) for spend in spends), Spend()),
        experiments=sum(wall for wall in walls if wall is not None),
        unmeasured=walls.count(None),
        gates=sum(body.attention.seconds for body in decisions),
        tries=sum(len(body.tries) for body in decisions if isinstance(body, Approval)),
    )


def _sum(costs: Sequence[str]) -> str:
    return sum((Spend(cost_usd=cost) for cost in costs), Spend()).cost_usd
