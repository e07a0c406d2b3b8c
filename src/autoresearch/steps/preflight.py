"""What the rules find in plan, forecasts and code, before a person is asked."""

from autoresearch.errors import InvalidInput
from autoresearch.monitors.citations import citation_findings, citation_rule_names
from autoresearch.monitors.preflight_rules import RULES as PREFLIGHT_RULES
from autoresearch.monitors.preflight_rules import preflight_findings
from autoresearch.records import RULES, Critique, Finding, Plan, Prediction, Preflight, clip
from autoresearch.steps.situation import Draft, Situation, StepPorts

LIMITS_RULE = "plan.limits-above-machine"


def inputs(at: Situation, *, by_model: bool) -> dict[str, str]:  # noqa: ARG001 - rules do not ask a model
    return at.digests("critique", "plan", "prediction") | at.source_digest()


def run(at: Situation, ports: StepPorts) -> Draft:
    plan = at.body(Plan)
    files = {ref.path: at.read(at.entry("plan"), ref.path) for ref in plan.experiment}
    findings = preflight_findings(plan, at.body(Prediction), at.body(Critique), files)
    findings += _limits(plan, ports)
    library, prediction = at.library(), at.body(Prediction)
    findings += citation_findings("plan", plan, library) + citation_findings(
        "prediction", prediction, library
    )
    cited = [*citation_rule_names("plan"), *citation_rule_names("prediction")]
    names = [*(rule.name for rule in PREFLIGHT_RULES), *cited, LIMITS_RULE]
    return Draft(Preflight(findings=findings, rules=names), RULES)


def _limits(plan: Plan, ports: StepPorts) -> list[Finding]:
    """The one check that asks the machine: what the plan wants, it must be able to give."""
    try:
        ports.sandbox.check_limits(plan.limits)
    except InvalidInput as error:
        return [
            Finding(check=LIMITS_RULE, severity="block", record="plan", explanation=clip(str(error), 500))
        ]
    return []
