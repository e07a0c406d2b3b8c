"""A plan as a preregistration page: the questions of AsPredicted and OSF, and what machine learning adds.

Everything on it stands in records: the plan, the forecasts made with it, and the approval of both.
What the tool does alike for every study (seeds, intervals, missing data) is said in words of ours.
"""

from collections.abc import Iterator, Sequence

from autoresearch.errors import InvalidInput
from autoresearch.forecast_line import contrast_name
from autoresearch.ports import Entry
from autoresearch.records import Approval, Contrast, Forecast, Plan, Prediction, body_as, count
from autoresearch.reporting.markdown import Raw, inline
from autoresearch.reporting.text import given, moment, percent

NOT_SAID = Raw("*not said*")


def preregistration(history: Sequence[Entry], plan: Entry) -> str:
    """The Markdown page of a plan record. Raises InvalidInput for a record of another kind."""
    if not isinstance(plan.record.body, Plan):
        raise InvalidInput(
            f"only a plan is a preregistration, and this is a {plan.record.kind}; "
            "try: autoresearch show plan --preregistration"
        )
    body = plan.record.body
    prediction = _made_from(history, plan, "prediction")
    approval = next((e for e in history if _approves(e, plan)), None)
    lines = [f"# Preregistration: {inline(body.question)}", "", *_standing(plan, approval), ""]
    for head, rows in _sections(body, prediction):
        lines += [f"## {head}", "", *rows, ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _approves(entry: Entry, plan: Entry) -> bool:
    body = entry.record.body
    return isinstance(body, Approval) and body.decision == "approve" and body.bundle.plan == plan.digest


def _made_from(history: Sequence[Entry], plan: Entry, kind: str) -> Entry | None:
    """The last record of `kind` that was made from this plan."""
    made = [e for e in history if e.record.kind == kind and e.record.inputs.get("plan") == plan.digest]
    return made[-1] if made else None


def _standing(plan: Entry, approval: Entry | None) -> list[str]:
    record = plan.record
    lines = [
        (
            f"Fixed {moment(plan.when)} UTC as the plan of cycle {record.cycle}, attempt {record.attempt}: "
            f"record `{plan.digest}` (SHA-256 of its canonical JSON, RFC 8785), commit `{plan.commit}`."
        )
    ]
    if approval is None:
        return [*lines, "", "**Nobody has approved it, and nothing of it has run under an approval.**"]
    body = body_as(approval.record, Approval)
    who = inline(str(body.reviewer.person)) if body.reviewer.is_person else Raw("a script, not a person,")
    return [
        *lines,
        "",
        (
            f"Approved by {who} on {moment(approval.when)} UTC, before any seed was drawn; image "
            f"`{body.bundle.isolation.image}`. The digest shown and typed begins `{body.shown[:8]}`."
        ),
    ]


def _sections(plan: Plan, prediction: Entry | None) -> Iterator[tuple[str, list[str]]]:
    said, limits = plan.registration, plan.limits
    forecasts = body_as(prediction.record, Prediction).forecasts if prediction else []
    made_when = body_as(prediction.record, Prediction).made_when if prediction else "before any result"
    yield "1. Have data been collected, or results seen?", [_said(said.prior_data)]
    yield "2. Question and hypotheses", [inline(plan.question), "", *_hypotheses(plan)]
    yield "3. Measured variable", _metric(plan)
    yield (
        "4. Conditions, and who is assigned to which",
        [
            *(f"- **{inline(arm.name)}**{_at(arm.x)}: {inline(arm.description)}" for arm in plan.arms),
            "",
            (
                "Every arm runs on every seed. The seeds follow from a nonce that the supervisor draws with the approval, and "
                "this plan's digest. The code knows the arm; the computation of the results knows only its label."
            ),
        ],
    )
    yield "5. Analyses", _analyses(plan)
    yield "6. Inference criteria", _inference(plan)
    yield "7. What each outcome will be taken to mean", _decisions(plan)
    yield (
        "8. Outliers, exclusions, missing data",
        [
            inline(plan.exclusions),
            "",
            "A trial that fails ends the run as a crash; nothing is imputed and nothing is dropped.",
        ],
    )
    yield (
        "9. Sample size and stopping",
        [
            f"{count(plan.trials_per_arm, 'trial')} in each of {count(len(plan.arms), 'arm')}. {_said(said.size_reason)}",
            "",
            inline(plan.stopping_rule),
            "",
            f"Population: {_said(said.population)}",
        ],
    )
    yield "10. Controls", _controls(plan)
    yield (
        "11. Tuning and compute",
        [
            _said(said.tuning),
            "",
            f"At most {limits.seconds} s, {limits.memory_mb} MB and {count(limits.cpus, 'CPU')}{limits.shared_by()}.",
        ],
    )
    yield "12. Forecasts", [f"Made {made_when}.", "", *map(_forecast, forecasts)] if forecasts else [NOT_SAID]
    yield "13. What else will be looked at, as exploration", [_said(said.exploratory)]
    yield (
        "14. Code and data, by SHA-256",
        [
            *(f"- `{ref.path}` {ref.sha256}" for ref in plan.experiment),
            *(f"- `/data/{data.name}` {data.sha256}" for data in plan.inputs),
        ],
    )
    yield "15. Type of study", ["A computational experiment in a sandbox, by the code above and no other."]


def _said(text: str) -> Raw:
    return inline(text) if text.strip() else NOT_SAID


def _at(x: float | None) -> str:
    return "" if x is None else f" (x = {given(x)})"


def _hypotheses(plan: Plan) -> list[str]:
    return [
        f"- **{inline(h.id)}** ({percent(h.prior)}): {inline(h.statement)} Expects "
        f"{' or '.join(h.expects) or 'nothing'}; refuted by {' or '.join(h.refuted_by) or 'nothing'}."
        for h in plan.hypotheses
    ]


def _metric(plan: Plan) -> list[str]:
    m = plan.metric
    arrays = ", ".join(f"{role} from {inline(name)}" for role, name in sorted(m.arrays.items()))
    low, high = ("unbounded" if bound is None else given(bound) for bound in (m.low, m.high))
    q = "" if m.q is None else f" at {given(m.q)}"
    return [
        (
            f"**{inline(m.name)}**: {m.formula}{q} ({arrays}), one number a trial, unit {inline(m.unit)}, range {low} to "
            f"{high}, better: {m.better}. No transformation."
        ),
        "",
        f"How it could be gamed: {inline(m.how_gamed)}",
    ]


def _contrast(plan: Plan, contrast: Contrast) -> str:
    return (
        f"{inline(contrast_name(plan, contrast))}, {contrast.form}, null {given(contrast.null)}, smallest effect of "
        f"interest {given(contrast.smallest_effect)}"
    )


def _analyses(plan: Plan) -> list[str]:
    rows = [f"Primary, and the only one that decides: {_contrast(plan, plan.contrast)}."]
    rows += [""] if plan.secondary else []
    rows += [f"- Secondary {inline(c.id)}: {_contrast(plan, c)}." for c in plan.secondary]
    return rows


def _inference(plan: Plan) -> list[str]:
    interval = "BCa bootstrap" if plan.contrast.form == "ratio" else "t"
    rows = [
        (
            f"From the two-sided 95 % {interval} interval. *Negligible*: all of it within the smallest effect of the null "
            "(two one-sided tests at 2.5 %). Else *positive* or *negative*: all of it on one side of the null, and the "
            "effect larger than the noise floor, measured by comparing the seeds with themselves. Else *inconclusive*."
        ),
        "",
        "One look, after all trials. A permutation p is reported beside it and decides nothing.",
    ]
    if plan.secondary:
        rows += [
            "",
            f"Multiplicity: the {len(plan.secondary)} secondary p values are corrected by Holm's method.",
        ]
    return rows


def _decisions(plan: Plan) -> list[str]:
    rows = ["| outcome | conclusion | supports | refutes |", "|---|---|---|---|"]
    for row in plan.decision_table:
        supports, refutes = (inline(", ".join(names)) or "–" for names in (row.supports, row.refutes))
        rows.append(f"| {row.outcome} | {inline(row.conclusion)} | {supports} | {refutes} |")
    return rows


def _controls(plan: Plan) -> list[str]:
    rows = [f"- Positive: {inline(plan.controls.positive)}", f"- Negative: {inline(plan.controls.negative)}"]
    return rows + [
        f"- Run, {check.role}: the mean of {inline(check.of)}, {inline(check.expected)}"
        for check in plan.controls.checks
    ]


def _forecast(forecast: Forecast) -> str:
    if forecast.quantiles:
        said = f"10/50/90 % at {', '.join(map(given, forecast.quantiles))}"
    elif forecast.categories:
        said = ", ".join(f"{name} {percent(p)}" for name, p in forecast.categories.items())
    else:
        said = percent(forecast.p or 0.0)
    primary = " (primary)" if forecast.primary else ""
    return f"- {inline(forecast.forecaster)} on {inline(forecast.about)}{primary}: {said}"
