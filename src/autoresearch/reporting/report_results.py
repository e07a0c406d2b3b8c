"""Rows of the report about forecasts, the contrast, claims, and what the checks found."""

from collections.abc import Mapping, Sequence
from statistics import stdev
from typing import Any

from autoresearch.forecast_line import contrast_name
from autoresearch.forecasting.sealed import forecasts_on
from autoresearch.ports import Entry
from autoresearch.records import (
    OUTCOMES,
    Acceptance,
    Approval,
    Check,
    Claim,
    Conclusion,
    ControlResult,
    Critique,
    Deviation,
    Finding,
    Forecast,
    Kind,
    Monitoring,
    Plan,
    Prediction,
    Preflight,
    Score,
    SecondaryResult,
    clip,
    count,
)
from autoresearch.reporting.markdown import Raw, inline
from autoresearch.reporting.story import DECIDED
from autoresearch.reporting.text import given, number, percent, to_precision_of

Found = Mapping[Kind, Entry]
EVIDENCE = 400
"""Characters of a finding's evidence; the record has all of it."""
_SHOWN_SCORES = {
    "quantile": ("wis3", "interval80"),
    "binary": ("brier", "log"),
    "categorical": ("brier", "log", "rps"),
}
_LEVELS = {
    "L1": "the numbers are correct",
    "L2": "useful under the threat model",
    "L3": "its assumptions hold there",
}
_GRADES = {"E0": "assertion", "E1": "conceptual", "E2": "toy proxy", "E3": "same dynamic or near system", "E4": "real system"}  # fmt: skip


# ------------------------------------------------------------------ forecasts


def all_forecasts(history: Sequence[Entry], found: Found) -> list[Forecast]:
    """The author's and the reviewers', in the order in which they were recorded."""
    return forecasts_on(history, found["prediction"]) if "prediction" in found else []


def references(found: Found) -> list[Forecast]:
    """What anybody could have said: for comparison."""
    body = found["prediction"].record.body if "prediction" in found else None
    return body.references if isinstance(body, Prediction) else []


def who(forecaster: str) -> str:
    kind, _, name = forecaster.partition(":")
    return f"{kind}: {name}" if kind == "reference" else forecaster.removeprefix("human:")


def prediction_rows(forecasts: Sequence[Forecast], check: Check | None) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for forecast in forecasts:
        scores = _scores_of(forecast, check)
        rows.append(
            {
                "who": who(forecast.forecaster),
                "about": Raw(f"{inline(forecast.about)}{' (primary)' if forecast.primary else ''}"),
                "predicted": _predicted(forecast),
                "observed": _observed(forecast, scores, check),
                "scores": _score_text(forecast, scores),
            }
        )
    return rows


def _scores_of(forecast: Forecast, check: Check | None) -> list[Score]:
    scores = check.scores if check else []
    return [s for s in scores if (s.forecast, s.forecaster) == (forecast.id, forecast.forecaster)]


def _predicted(forecast: Forecast) -> str:
    if forecast.quantiles:
        low, middle, high = to_precision_of(
            forecast.quantiles[2] - forecast.quantiles[0], *forecast.quantiles
        )
        return f"{middle} ({low} to {high})"
    if forecast.categories:
        return ", ".join(f"{name} {percent(p)}" for name, p in forecast.categories.items())
    return percent(forecast.p or 0.0)


def _observed(forecast: Forecast, scores: list[Score], check: Check | None) -> str:
    if not scores or check is None:
        return "–"
    value = scores[0].observed
    if forecast.categories:
        return OUTCOMES[int(value)]
    if forecast.quantiles:
        place = "inside" if forecast.quantiles[0] <= value <= forecast.quantiles[2] else "outside"
        return f"{to_precision_of(_width(check), value)[0]} ({place})"
    return "yes" if value == 1 else "no"


def _width(check: Check) -> float:
    return (check.contrast.high - check.contrast.low) / 2


def _score_text(forecast: Forecast, scores: list[Score]) -> str:
    shown = [s for s in scores if s.rule in _SHOWN_SCORES[forecast.shape]]
    return ", ".join(f"{score.rule} {number(score.value)}" for score in shown) or "–"


# ------------------------------------------------------------------- contrast


def contrast_view(plan: Plan, check: Check) -> dict[str, Any]:
    c = check.contrast
    estimate, low, high = to_precision_of(_width(check), c.estimate, c.low, c.high)
    unit = "" if plan.metric.unit == "1" else f" {plan.metric.unit}"
    return {
        "what": contrast_name(plan),
        "estimate": f"{estimate}{unit}",
        "level": percent(c.level),
        "interval": Raw(f"\\[{low}, {high}\\]"),
        "outcome": c.outcome,
        "notes": [*_contrast_notes(plan, check), *_recheck_notes(check), *_data_notes(check)],
        "arms": [_arm_row(arm.arm, arm.values, arm.mean, arm.sd) for arm in check.arms],
        "controls": [_control_row(result) for result in check.controls],
        "secondary": [_secondary_row(plan, result) for result in check.secondary],
    }


def _control_row(result: ControlResult) -> dict[str, object]:
    control = result.control
    return {
        "role": control.role, "of": control.of, "expected": control.expected, "mean": number(result.mean),
        "n": result.n, "verdict": Raw("held" if result.passed else "**failed**"),
    }  # fmt: skip


def _secondary_row(plan: Plan, result: SecondaryResult) -> dict[str, object]:
    spec = next(contrast for contrast in plan.secondary if contrast.id == result.id)
    width = (result.high - result.low) / 2
    estimate, low, high = to_precision_of(width, result.estimate, result.low, result.high)
    return {
        "id": result.id, "what": contrast_name(plan, spec), "estimate": estimate,
        "interval": Raw(f"\\[{low}, {high}\\]"), "outcome": result.outcome,
        "p": "–" if result.p_holm is None else number(result.p_holm, 2),
    }  # fmt: skip


def _contrast_notes(plan: Plan, check: Check) -> list[str | Raw]:
    c, planned = check.contrast, plan.contrast
    half, smallest = _width(check), planned.smallest_effect
    row = next((row for row in plan.decision_table if row.outcome == c.outcome), None)
    notes: list[str | Raw] = [
        f"Interval: {c.method}." if f"n = {c.n}" in c.method else f"Interval: {c.method}, n = {c.n}.",
        f"Smallest effect of interest: {given(smallest)} from {given(planned.null)}.",
        f"Noise: the interval reaches {number(half, 2)} to either side, {number(half / smallest, 2)} times that effect.",
    ]
    if (
        c.outcome in ("positive", "negative")
        and min(abs(c.low - planned.null), abs(c.high - planned.null)) < smallest
    ):
        notes.append(
            "The interval reaches below the smallest effect of interest: the sign is shown, and not that the effect "
            "is large enough to matter."
        )
    notes += _chance_notes(check, planned.null)
    if len(c.per_seed) > 1:
        notes.append(
            f"From seed to seed it varies with a standard deviation of {number(stdev(c.per_seed), 2)}."
        )
    if row is not None:
        notes.append(
            Raw(f"What the plan had said that a {c.outcome} outcome means: {inline(row.conclusion)}")
        )
    return notes


def _chance_notes(check: Check, null: float) -> list[str]:
    """What chance alone does, and how that bears on the outcome."""
    c, notes = check.contrast, []
    if c.p_permutation is not None:
        notes.append(
            f"Swapping the arms' labels by chance comes as far with p = {number(c.p_permutation, 2)} (two-sided)."
        )
    if c.p_equivalence is not None:
        notes.append(
            f"Equivalence, by two one-sided tests against the smallest effect: p = {number(c.p_equivalence, 2)}; "
            "negligible means below 0.025."
        )
    if c.noise_floor is not None:
        below = abs(c.estimate - null) <= c.noise_floor
        notes.append(
            f"Noise floor: of comparisons of the seeds with themselves 95 % stay below {number(c.noise_floor, 2)}"
            f"{'; the effect is no larger, so nothing is claimed.' if below and c.outcome == 'inconclusive' else '.'}"
        )
    return notes


def _recheck_notes(check: Check) -> list[str]:
    again = [r for r in check.rechecks if not r.fresh]
    fresh = [r for r in check.rechecks if r.fresh]
    notes = []
    if again:
        same = sum(r.same_bytes is True for r in again)
        notes.append(
            f"Run again after the result: {same} of {count(len(again), 'trial')} gave the same bytes."
        )
    if fresh:
        values = [f"{r.trial.arm} {'did not end' if r.value is None else number(r.value)}" for r in fresh]
        apart = (
            "" if check.fresh_contrast is None else f"; the contrast there is {number(check.fresh_contrast)}"
        )
        notes.append(f"With a fresh seed: {', '.join(values)}{apart}.")
    return notes


def _data_notes(check: Check) -> list[str]:
    """What the harness says of the data and the effort of each arm; all of it self-reported."""
    notes = []
    made = check.data
    if made is not None and made.seeds:
        sets = "one set" if made.different == 1 else f"{made.different} different sets"
        notes.append(
            f"make_data gave {count(made.seeds, 'seed')} {sets} of data, by their digests (self-reported)."
        )
    if made is not None and made.note:
        notes.append(f"Some of what make_data made has no digest, so it was not compared: {made.note}.")
    taken = [f"{arm.arm} {number(arm.cpu_seconds, 2)}" for arm in check.arms if arm.cpu_seconds is not None]
    if taken:
        notes.append(f"Seconds of CPU a trial, as the harness measures them: {', '.join(taken)}.")
    return notes


def _arm_row(name: str, values: list[float], mean: float, sd: float | None) -> dict[str, object]:
    spread = sd or abs(mean)
    low, middle, high = to_precision_of(spread, min(values, default=mean), mean, max(values, default=mean))
    return {
        "name": name, "n": len(values), "mean": middle, "low": low, "high": high,
        "sd": "–" if sd is None else number(sd, 2),
    }  # fmt: skip


# --------------------------------------------------------------------- claims


def claim_rows(conclusion: Conclusion, acceptance: Acceptance | None) -> list[dict[str, object]]:
    return [_claim_row(claim, acceptance) for claim in conclusion.claims]


def _claim_row(claim: Claim, acceptance: Acceptance | None) -> dict[str, object]:
    undecided = "**sent back, not accepted**" if acceptance else "not decided"
    verdict = acceptance.claims.get(claim.id) if acceptance else None
    told = {"accept": "accepted", "downgrade": "downgraded", "reject": "**rejected**"}
    about = f" ({', '.join(claim.hypotheses)})" if claim.hypotheses else ""
    return {
        "id": claim.id,
        "statement": claim.statement,
        "about": claim.about,
        "level": claim.level,
        "grade": claim.evidence,
        "belief": _belief(claim),
        "verdict": Raw(told[verdict] if verdict else undecided),
        "hypotheses": Raw(about),
        "scope": claim.tested_for.rstrip("."),
        "mind": claim.change_our_mind.rstrip("."),
    }  # fmt: skip


def _belief(claim: Claim) -> str:
    if claim.verdict == "no update":
        return f"no update, {percent(claim.p_after)}"
    return f"{percent(claim.p_before)} → {percent(claim.p_after)}"


def scale_note(conclusion: Conclusion) -> str:
    """The levels and grades that occur, in words."""
    levels = sorted({claim.level for claim in conclusion.claims})
    grades = sorted({claim.grade for claim in conclusion.claims})
    again = any(claim.replicated for claim in conclusion.claims)
    words = [
        *(f"{name}: {_LEVELS[name]}" for name in levels),
        *(f"{name}: {_GRADES[name]}" for name in grades),
        *(["+r: another accepted design of this project came out the same way"] if again else []),
    ]
    return f"Levels of claim and grades of evidence: {'; '.join(words)}."


def surprise_text(check: Check | None) -> str:
    if check is None:
        return "Not known: there is no result to compare with the primary forecast."
    s = check.surprise
    measure = f"z = {number(s.z, 2)}, p = {number(s.p, 2)}" if s.z is not None and s.p is not None else ""
    if s.bits is not None:
        measure = f"{number(s.bits, 2)} bits"
    meaning = {
        "expected": "about what was forecast",
        "explain": "unlikely enough under the forecast to need an explanation",
        "rerun": "so unlikely under the forecast that a fresh seed and a second look have to come before belief",
    }
    told = f"Under the primary forecast, the result was {meaning[s.verdict]} ({measure or 'no measure'})."
    if s.needs_second_look and check.fresh_contrast is not None:
        return f"{told} On a seed that the run never had, the contrast was {number(check.fresh_contrast)}."
    return told


def second_look_text(check: Check | None, acceptance: Acceptance | None) -> Raw:
    """How the person who decided met a surprise; empty where none was to be met."""
    if check is None or acceptance is None or check.surprise.verdict == "expected":
        return Raw()
    twice = "was asked twice and " if acceptance.second_look else ""
    who_decided = inline(acceptance.reviewer.person.name)
    reason = f": “{inline(acceptance.reason)}”" if acceptance.reason.strip() else ", and gave no reason."
    return Raw(f"{who_decided} {twice}{DECIDED[acceptance.decision]}{reason}")


# ------------------------------------------------------------------- findings


def finding_items(findings: Sequence[Finding]) -> list[dict[str, object]]:
    """Gravest first; of a deviation with when it became known."""
    ordered = sorted(findings, key=lambda f: ("block", "warn", "info").index(f.severity))
    return [
        {
            "severity": Raw(f"**{f.severity}**"),
            "check": f.check,
            "record": f.record,
            "explanation": f.explanation,
            "known": f.known if isinstance(f, Deviation) else "",
            "evidence": Raw(f" Evidence: {inline(clip(f.evidence, EVIDENCE))}")
            if f.evidence.strip()
            else Raw(),
        }
        for f in ordered
    ]


def finding_groups(found: Found) -> list[dict[str, object]]:
    """By the gate that had to deal with them."""
    groups: list[dict[str, object]] = []
    for head, kinds, gate in (
        ("Before the run", ("critique", "preflight"), "approval"),
        ("On the result and its conclusions", ("check", "monitoring"), "acceptance"),
    ):
        bodies = [found[_kind(kind)].record.body for kind in kinds if kind in found]
        if not bodies:
            continue
        findings, rules = [], 0
        for body in bodies:
            if isinstance(body, Critique | Preflight | Check | Monitoring):
                findings += body.findings
            if isinstance(body, Preflight | Monitoring):
                rules += len(body.rules)
        groups.append(
            {
                "head": head,
                "disposition": _disposition(found.get(_kind(gate)), has_any=bool(findings)),
                "listed": finding_items(findings),
                "none": f"Nothing was found; {count(rules, 'rule')} ran.",
            }
        )
    return groups


def _kind(name: str) -> Kind:
    kind: Kind = name  # type: ignore[assignment]
    return kind


def _disposition(gate: Entry | None, *, has_any: bool) -> Raw:
    body = gate.record.body if gate else None
    if not isinstance(body, Approval | Acceptance):
        return Raw("No decision followed yet." if has_any else "")
    if not has_any:
        return Raw()
    reason = f" The reason: “{inline(body.reason)}”" if body.reason.strip() else " No reason was given."
    return Raw(f"{inline(body.reviewer.person.name)}, who was shown these: {DECIDED[body.decision]}.{reason}")
