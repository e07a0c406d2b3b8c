"""What the rules find in the conclusions. They read records, not the author's explanations."""

from autoresearch.forecasting.sealed import forecasts_on
from autoresearch.forecasting.standing import accepted_before
from autoresearch.monitors.citations import citation_findings, citation_rule_names
from autoresearch.monitors.conclusion_rules import RULES as CONCLUSION_RULES
from autoresearch.monitors.conclusion_rules import conclusion_findings
from autoresearch.records import (
    RULES,
    Check,
    Conclusion,
    Critique,
    Finding,
    Kind,
    MadeBy,
    Monitoring,
    Plan,
    clip,
)
from autoresearch.steps.situation import Draft, Situation, StepPorts

SAME_MODEL = "conclusion.same-model"
AUTHORED: tuple[Kind, ...] = ("plan", "conclusion")


def inputs(at: Situation, *, by_model: bool) -> dict[str, str]:  # noqa: ARG001 - rules do not ask a model
    records = at.digests("critique", "plan", "prediction", "approval", "check", "conclusion")
    return records | at.source_digest()


def run(at: Situation, ports: StepPorts) -> Draft:  # noqa: ARG001 - every step has this signature
    findings = conclusion_findings(
        at.body(Conclusion),
        at.body(Check),
        at.body(Plan),
        at.body(Critique),
        forecasts_on(at.history, at.entry("prediction")),
        accepted_before(at.history, at.cycle),
    )
    findings += citation_findings("conclusion", at.body(Conclusion), at.library())
    findings += _one_model(at)
    names = [*(rule.name for rule in CONCLUSION_RULES), *citation_rule_names("conclusion"), SAME_MODEL]
    return Draft(Monitoring(findings=findings, rules=names), RULES)


def _one_model(at: Situation) -> list[Finding]:
    """Whoever wrote plan or conclusion was the critic, too. Of the ideas, the critique says so itself."""
    critic = at.entry("critique").record.made_by
    shared = [kind for kind in AUTHORED if _same(at.entry(kind).record.made_by, critic)]
    if not shared or _same(at.entry("ideas").record.made_by, critic):
        return []
    said = f"the model that wrote {' and '.join(shared)} was the critic, too, {clip(critic.model, 200)}"
    return [Finding(check=SAME_MODEL, severity="warn", record="conclusion", explanation=said)]


def _same(author: MadeBy, critic: MadeBy) -> bool:
    return author.author == critic.author == "agent" and author.model == critic.model
