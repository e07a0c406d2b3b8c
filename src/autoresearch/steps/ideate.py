"""Candidate approaches or rival hypotheses that predict different outcomes, and a choice."""

from autoresearch.proposal import ParsedProposal
from autoresearch.records import RULES, Hypothesis, Idea, Ideas, Unproposed
from autoresearch.replies import IdeasReply
from autoresearch.steps.ask import ask
from autoresearch.steps.situation import Draft, Situation, StepPorts

GENERIC = (
    Unproposed(
        id="NULL",
        statement="There is no effect large enough to matter.",
        expects=["negligible"],
        refuted_by=["positive", "negative"],
    ),
    Unproposed(
        id="REVERSED",
        statement="The effect has the opposite sign.",
        expects=["negative"],
        refuted_by=["positive", "negligible"],
    ),
    Unproposed(
        id="FORWARD",
        statement="The effect has the stated sign.",
        expects=["positive"],
        refuted_by=["negative", "negligible"],
    ),
)
"""What any study has to reckon with, where the author names no third candidate."""


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
    """The proposal's hypotheses and rivals; beside fewer than three, what any study has to reckon with."""
    stated: list[Hypothesis] = [*proposal.hypotheses, *proposal.rivals]
    candidates = [Idea(**hypothesis.model_dump()) for hypothesis in stated]
    ids = {candidate.id for candidate in candidates}
    expected = [set(candidate.expects) for candidate in candidates]
    free = [idea for idea in GENERIC if idea.id not in ids]
    first = [idea for idea in free if set(idea.expects) not in expected]
    others = [idea for idea in free if idea not in first]
    chosen = candidates[0].id
    return Ideas(
        question=proposal.question,
        candidates=candidates,
        unproposed=[*first, *others][: max(0, 3 - len(candidates))],
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
