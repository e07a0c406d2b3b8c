"""The register of assumptions, the objections, the proxy card, and what the rules find."""

from collections.abc import Sequence

from autoresearch.monitors.critique_rules import critique_findings
from autoresearch.records import RULES, Critique, Finding, Hypothesis, Ideas, MadeBy, clip
from autoresearch.replies import CritiqueReply
from autoresearch.steps.ask import ask
from autoresearch.steps.situation import Draft, Situation, StepPorts


def inputs(at: Situation, *, by_model: bool) -> dict[str, str]:
    if by_model:
        return {"proposal": at.proposal.digest} | at.digests("ideas")
    return at.digests("ideas") | at.sections(
        "assumptions", "target-and-proxy", "decision-table", "rivals", "background"
    )


def run(at: Situation, ports: StepPorts) -> Draft:
    ideas = at.body(Ideas)
    if ports.model is not None:
        reply, made_by, files = ask(at, ports, CritiqueReply)
        draft = reply.to_body()
        hypotheses: Sequence[Hypothesis] = ideas.candidates
        missing: list[str] = []
    else:
        parsed = at.parsed()
        draft = Critique(assumptions=parsed.assumptions, proxy=parsed.proxy)
        hypotheses = [*parsed.hypotheses, *parsed.rivals]
        missing = parsed.missing
        made_by, files = RULES, {}
    findings = critique_findings(ideas, draft, hypotheses, missing)
    findings += _one_model(at.entry("ideas").record.made_by, made_by)
    return Draft(draft.model_copy(update={"findings": findings}), made_by, files)


def _one_model(author: MadeBy, critic: MadeBy) -> list[Finding]:
    """A model that judges its own ideas shares their blind spots."""
    if author.author != "agent" or critic.author != "agent" or author.model != critic.model:
        return []
    return [
        Finding(
            check="critique.same-model",
            severity="warn",
            record="critique",
            explanation=f"author and critic are one model, {clip(critic.model, 200)}: it may miss what it missed before",
            evidence="another one can be named in autoresearch.toml, as use under [model.critique]",
        )
    ]
