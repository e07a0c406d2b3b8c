"""What the rules find in the conclusions. They read records, not the author's explanations."""

from autoresearch.monitors.citations import citation_findings, citation_rule_names
from autoresearch.monitors.conclusion_rules import RULES as CONCLUSION_RULES
from autoresearch.monitors.conclusion_rules import conclusion_findings
from autoresearch.records import RULES, Approval, Check, Conclusion, Critique, Monitoring, Plan, Prediction
from autoresearch.steps.situation import Draft, Situation, StepPorts


def inputs(at: Situation, *, by_model: bool) -> dict[str, str]:  # noqa: ARG001 - rules do not ask a model
    records = at.digests("critique", "plan", "prediction", "approval", "check", "conclusion")
    return records | at.source_digest()


def run(at: Situation, ports: StepPorts) -> Draft:  # noqa: ARG001 - every step has this signature
    findings = conclusion_findings(
        at.body(Conclusion),
        at.body(Check),
        at.body(Plan),
        at.body(Critique),
        at.body(Prediction),
        at.body(Approval),
    )
    findings += citation_findings("conclusion", at.body(Conclusion), at.library())
    names = [*(rule.name for rule in CONCLUSION_RULES), *citation_rule_names("conclusion")]
    return Draft(Monitoring(findings=findings, rules=names), RULES)
