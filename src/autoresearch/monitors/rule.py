"""A rule: a name, the kind of record it reads, and a function from inputs to notes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from autoresearch.records import Finding, Kind, Severity, clip

Inputs = TypeVar("Inputs")


class Note(NamedTuple):
    """What a rule's function says; the rule adds its name."""

    severity: Severity
    explanation: str
    evidence: str = ""


@dataclass(frozen=True)
class Rule(Generic[Inputs]):
    name: str
    """As it stands in findings, e.g. `plan.no-control`."""
    reads: Kind
    """The kind of record that a finding of this rule is about."""
    notes: Callable[[Inputs], Iterable[Note]]

    @property
    def doc(self) -> str:
        """One line: what the rule looks for."""
        return (self.notes.__doc__ or "").strip().splitlines()[0]

    def findings(self, inputs: Inputs) -> list[Finding]:
        return [
            Finding(
                check=self.name,
                severity=note.severity,
                record=self.reads,
                explanation=clip(note.explanation, 500),
                evidence=note.evidence[:20_000],
            )
            for note in self.notes(inputs)
        ]


def run_rules(rules: Sequence[Rule[Inputs]], inputs: Inputs) -> list[Finding]:
    """What the rules find, in their order."""
    return [finding for rule in rules for finding in rule.findings(inputs)]
