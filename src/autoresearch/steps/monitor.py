"""What the rules find in the conclusions. They read records, not the author's explanations."""

from autoresearch.monitors.conclusion_rules import RULES as CONCLUSION_RULES
from autoresearch.monitors.conclusion_rules import conclusion_findings
from autoresearch.records import RULES, Approval, Check, Conclusion, Critique, Monitoring, Plan, Prediction
from autoresearch.steps.situation import Draft, Situation, StepPorts


def inputs(at: Situation, *, by_model: bool) -> dict[str, str]:  # noqa: ARG001 - rules do not ask a model
    return at.digests("critique", "plan", "prediction", "approval", "check", "conclusion")


def run(at: Situation, ports: StepPorts) -> Draft:  # noqa: ARG001 - every step has this signature
    findings = conclusion_findings(
        at.body(Conclusion),
        at.body(Check),
        at.body(Plan),
        at.body(Critique),
        at.body(Prediction),
        at.body(Approval),
    )
    return Draft(Monitoring(findings=findings, rules=[rule.name for rule in CONCLUSION_RULES]), RULES)
