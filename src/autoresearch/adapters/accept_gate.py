"""The accept gate: decision, verdicts on single claims, reason where due, digest."""

import re
from dataclasses import dataclass, field

from autoresearch.adapters.accept_screens import (
    ACCEPT_DECISIONS,
    accept_help,
    accept_screen,
    accept_sections,
    blocking,
    claims_on_screen,
    cut_short,
    second_look_page,
)
from autoresearch.adapters.dialogue import Dialogue
from autoresearch.adapters.screen_text import theirs
from autoresearch.ports import AcceptanceAnswer, AcceptanceView
from autoresearch.records import AcceptDecision, ClaimVerdict, digest_of

_TOGGLE = re.compile(r"([0-9]{1,2}) ?([adr])")
_VERDICTS: dict[str, ClaimVerdict] = {"a": "accept", "d": "downgrade", "r": "reject"}
_DECISIONS: dict[str, AcceptDecision] = {
    "accept": "accept",
    "revise": "revise",
    "redo": "redo",
    "reject": "reject",
    "follow-up": "follow-up",
}


@dataclass
class AcceptGate:
    view: AcceptanceView
    dialogue: Dialogue
    verdicts: dict[str, ClaimVerdict] = field(init=False)
    """By claim id; `accept` unless the person says otherwise."""
    looked_twice: bool = False

    def __post_init__(self) -> None:
        self.verdicts = {claim.id: "accept" for claim in self.view.conclusion.claims}
        talk = self.dialogue
        talk.screen = lambda: accept_screen(self.view, talk.look, self.verdicts)
        talk.sections = lambda: accept_sections(self.view, talk.look, self.verdicts)
        talk.help = lambda: accept_help(talk.look)

    def run(self, chosen: AcceptDecision | None, given_reason: str) -> AcceptanceAnswer:
        """The whole gate. `chosen` and `given_reason` came with the command. Raises Pending."""
        self.dialogue.show()
        while True:
            decision = chosen or _DECISIONS[self.dialogue.decide(ACCEPT_DECISIONS, self._judge)]
            reason = given_reason if chosen else ""
            chosen = None
            if decision in ("accept", "follow-up") and not (
                self._can_accept() and self._second_look(decision)
            ):
                continue
            if self._reason_due(decision) and not reason.strip():
                reason = self.dialogue.reason(decision)
                if not reason:
                    continue
            if self.dialogue.confirm(digest_of(self.view.subject), decision):
                return self._answer(decision, reason)

    def _answer(self, decision: AcceptDecision, reason: str) -> AcceptanceAnswer:
        claims = dict(self.verdicts)
        if decision == "reject":
            claims = dict.fromkeys(claims, "reject")
        return AcceptanceAnswer(
            decision=decision,
            shown=digest_of(self.view.subject),
            claims=claims,
            reason=reason,
            attention=self.dialogue.attention(),
            second_look=self.looked_twice,
        )

    def _judge(self, answer: str) -> bool:
        """Take `2d`: the verdict on one claim."""
        found = _TOGGLE.fullmatch(answer)
        claims = self.view.conclusion.claims
        if not found:
            return False
        if not 1 <= int(found[1]) <= len(claims):
            self.dialogue.say(f"There is no claim {found[1]}; the last one is {len(claims)}.")
            return True
        claim = claims[int(found[1]) - 1]
        self.verdicts[claim.id] = _VERDICTS[found[2]]
        label = f"{found[1]} {self.verdicts[claim.id]}"
        self.dialogue.say(*theirs(self.dialogue.look, label, claim.statement, 1))
        return True

    def _can_accept(self) -> bool:
        """False, with the way on said, while there is something to see or nothing to accept."""
        if all(verdict == "reject" for verdict in self.verdicts.values()):
            self.dialogue.say('You rejected every claim; "reject" says so.')
            return False
        if "claims" in self.dialogue.read:
            return True
        look = self.dialogue.look
        cut = cut_short(self.view, look, self.verdicts)
        if not claims_on_screen(self.view, look, self.verdicts) or len(cut) > look.height - 3:
            self.dialogue.say("Not everything fitted on the screen. Here it is; then decide again.")
            self.dialogue.open_section("1")
            return False
        if cut:
            self.dialogue.say("What was cut above, whole:", *cut)
        return True

    def _second_look(self, decision: AcceptDecision) -> bool:
        """Whether a result so far from its forecast may be accepted: it was run again, and is looked at twice."""
        check = self.view.check
        if not check.surprise.needs_second_look or self.looked_twice:
            return True
        if not check.fresh_seed_ran:
            self.dialogue.say(
                "So surprising a result is not accepted before a fresh seed was run. Redo or reject."
            )
            return False
        self.dialogue.page("second look", second_look_page(self.view, self.dialogue.look))
        prompt = f'Second look: if it still stands, type "{decision}" again (Enter goes back): '
        while (answer := self.dialogue.ask(prompt).lower()) not in ("", decision):
            self.dialogue.say(f'The whole word "{decision}" is meant, or Enter.')
        self.looked_twice = answer == decision
        return self.looked_twice

    def _reason_due(self, decision: AcceptDecision) -> bool:
        stopping = blocking(self.view)
        if decision in ("accept", "follow-up") and stopping:
            self.dialogue.say("A finding blocks this; accepting over it takes a reason.")
            for finding in stopping:
                text = f"{finding.check}: {finding.explanation}"
                self.dialogue.say(*theirs(self.dialogue.look, "", text, 2))
            return True
        if decision in ("accept", "follow-up") and self._unexplained():
            self.dialogue.say(
                "The result is far from its forecast; accepting it takes a reason why that may be."
            )
            return True
        return decision in ("revise", "redo", "reject", "follow-up")

    def _unexplained(self) -> bool:
        surprise = self.view.check.surprise
        told = self.view.conclusion.surprise_explained.strip()
        return surprise.needs_second_look or (surprise.verdict == "explain" and not told)
