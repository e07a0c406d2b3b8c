"""The reviewer of a demonstration: a script that answers both gates, and says so everywhere.

Its approval opens the sandbox only for the bytes of a shipped example; the door sees
to that, not this file.
"""

from autoresearch.errors import Pending
from autoresearch.ports import AcceptanceAnswer, AcceptanceView, ApprovalAnswer, ApprovalView, Clock, TryOut
from autoresearch.records import Attention, Person, Reviewer, digest_of

NAME = "demonstration script (not a person)"
REASON = "Answered by the demonstration script; no person decided."


class DemonstrationReviewer:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def identity(self) -> Reviewer:
        return Reviewer(person=Person(name=NAME, email="demonstration@localhost"), is_person=False)

    def approve(self, view: ApprovalView, try_out: TryOut) -> ApprovalAnswer:  # noqa: ARG002 - a script has no doubts
        if any(finding.severity == "block" for finding in view.preflight.findings):
            raise Pending("a finding blocks this experiment, and only a person can go on from there")
        return ApprovalAnswer(
            decision="approve", shown=digest_of(view.bundle), reason=REASON, attention=self._attention()
        )

    def accept(self, view: AcceptanceView) -> AcceptanceAnswer:
        return AcceptanceAnswer(
            decision="accept",
            shown=digest_of(view.subject),
            claims={claim.id: "accept" for claim in view.conclusion.claims},
            reason=REASON,
            attention=self._attention(),
            second_look=view.check.surprise.needs_second_look,
        )

    def confirm_settings(self, diff: str) -> bool:
        raise Pending(f"autoresearch.toml was edited and a demonstration confirms nothing:\n{diff}")

    def _attention(self) -> Attention:
        now = self._clock.now()
        return Attention(opened_at=now, decided_at=now)
