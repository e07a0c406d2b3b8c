"""Candidate approaches or rival hypotheses that predict different outcomes, and a choice."""

from autoresearch.proposal import ParsedProposal
from autoresearch.records import RULES, Hypothesis, Idea, Ideas, Outcome
from autoresearch.replies import IdeasReply
from autoresearch.steps.ask import ask
from autoresearch.steps.situation import Draft, Situation, StepPorts

# What any study has to reckon with, where the author names no third candidate.
GENERIC: tuple[tuple[str, str, list[Outcome], list[Outcome]], ...] = (
    ("NULL", "There is no effect large enough to matter.", ["negligible"], ["positive", "negative"]),
    ("REVERSED", "The effect has the opposite sign.", ["negative"], ["positive", "negligible"]),
    ("FORWARD", "The effect has the stated sign.", ["positive"], ["negative", "negligible"]),
)


def inputs(at: Situation, *, by_model: bool) -> dict[str, str]:
    if by_model:
        asked_for = {"followed-up": at.followed_up.digest} if at.followed_up else {}
        return {"proposal": at.proposal.digest} | at.feedback_digest() | asked_for
    return at.sections("question", "background", "hypotheses", "rivals")


def run(at: Situation, ports: StepPorts) -> Draft:
    if ports.model is not None:
        reply, made_by, files = ask(at, ports, IdeasReply)
        return Draft(reply.to_body(), made_by, files)
    return Draft(ideas_from(at.parsed()), RULES)


def ideas_from(proposal: ParsedProposal) -> Ideas:
    """The proposal's hypotheses and rivals; filled up to three with what any study has to reckon with."""
    stated: list[Hypothesis] = [*proposal.hypotheses, *proposal.rivals]
    candidates = [Idea(**hypothesis.model_dump()) for hypothesis in stated]
    for name, statement, expects, refuted_by in GENERIC:
        taken = any(set(candidate.expects) == set(expects) for candidate in candidates)
        if len(candidates) < 3 and not taken:
            candidates.append(Idea(id=name, statement=statement, expects=expects, refuted_by=refuted_by))
    for name, statement, expects, refuted_by in GENERIC:
        if len(candidates) < 3 and all(candidate.id != name for candidate in candidates):
            candidates.append(Idea(id=name, statement=statement, expects=expects, refuted_by=refuted_by))
    chosen = candidates[0].id
    return Ideas(
        question=proposal.question,
        candidates=candidates,
        chosen=chosen,
        why="The proposal states it first.",
        why_not={
            candidate.id: "Kept as a rival: " + _when(candidate)
            for candidate in candidates
            if candidate.id != chosen
        },
    )


def _when(idea: Idea) -> str:
    return f"it gains if the outcome is {' or '.join(idea.expects) or 'none that was named'}."
