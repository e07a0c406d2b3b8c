"""The register of assumptions, the objections, the proxy card, and what the rules find."""

from collections.abc import Sequence

from autoresearch.monitors.citations import citation_findings, proposal_findings
from autoresearch.monitors.critique_rules import critique_findings
from autoresearch.records import RULES, Critique, Finding, Hypothesis, Ideas, MadeBy, clip, digest_of
from autoresearch.replies import CritiqueReply
from autoresearch.sources import cited_in
from autoresearch.steps.ask import ask
from autoresearch.steps.situation import Draft, Situation, StepPorts


def inputs(at: Situation, *, by_model: bool) -> dict[str, str]:
    if by_model:
        return {"proposal": at.proposal.digest} | at.digests("ideas")
    sections = at.sections("assumptions", "target-and-proxy", "decision-table", "rivals", "background")
    return at.digests("ideas") | sections | at.source_digest() | _cited(at)


def _cited(at: Situation) -> dict[str, str]:
    """What the whole proposal cites is looked up here, whichever section it stands in."""
    cited = sorted(set(cited_in(at.proposal_body().text)))
    return {"section:cited": digest_of(list(cited))} if cited else {}


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
    library = at.library()
    findings += proposal_findings(library)
    findings += citation_findings("ideas", ideas, library) + citation_findings("critique", draft, library)
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
