"""Everything that the report's template names, as escaped or plain text."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from pydantic import JsonValue

from autoresearch.budget import costs_of
from autoresearch.decisions import VOID, counting
from autoresearch.forecast_line import contrast_name
from autoresearch.forecasting.belief import ratio_bounds
from autoresearch.fork import known_line, known_results
from autoresearch.ports import Entry
from autoresearch.records import (
    COMMAND_SKIPS,
    NO_TIER,
    Acceptance,
    Approval,
    Body,
    Check,
    Conclusion,
    Critique,
    Forecast,
    Hypothesis,
    Ideas,
    Kind,
    Plan,
    Prediction,
    Proposal,
    ProxyCard,
    Result,
    SecondaryContrast,
    body_as,
    count,
)
from autoresearch.reporting.markdown import Raw, inline
from autoresearch.reporting.report_history import attempts_view, log_tail, record_rows
from autoresearch.reporting.report_results import (
    all_forecasts,
    claim_rows,
    contrast_view,
    finding_groups,
    finding_items,
    prediction_rows,
    references,
    scale_note,
    second_look_text,
    surprise_text,
    who,
)
from autoresearch.reporting.report_sources import sources_view
from autoresearch.reporting.story import decided, demonstration, forked, of_cycle, standing
from autoresearch.reporting.text import day, duration, given, moment, number, percent, total_cost
from autoresearch.settings_in_force import settings_in_force
from autoresearch.signed import UNSIGNED

B = TypeVar("B", bound=Body)
Read = Callable[[Entry, str], bytes]
Found = Mapping[Kind, Entry]
NO_DEVIATION = (
    "None was found. Looked at: metric, trials, seeds, arms, exclusions, looks, code, data, effort and hypotheses. Effort and "
    "the digests of made data are the harness's word."
)
MARK = Raw(" *(demonstration: no person decided)*")


class Prose(Protocol):
    """`report.ReportProse`."""

    @property
    def title(self) -> str: ...
    @property
    def abstract(self) -> str: ...
    @property
    def discussion(self) -> str: ...
    @property
    def limitations(self) -> Sequence[str]: ...


def view_of(
    history: Sequence[Entry], read: Read, *, cycle: int, found: Found, prose: Prose | None
) -> dict[str, Any]:
    """What report.md.j2 names. Strings are escaped by the template, Raw ones are not."""
    entries = of_cycle(history, cycle)
    check, conclusion = _body(found, Check), _body(found, Conclusion)
    critique, plan, ideas = _body(found, Critique), _body(found, Plan), _body(found, Ideas)
    return {
        "mark": MARK if demonstration(history) else Raw(),
        "prose": prose,
        "prose_by": _prose_by(history),
        "check": check,
        "conclusion": conclusion,
        "plan": plan_view(found["plan"], plan) if plan else None,
        "ideas": _ideas_view(ideas) if ideas else None,
        **_head(history, cycle, found, prose),
        **_result_view(entries, found, read),
        **_prediction_view(history, found),
        **_claims_view(found),
        "contrast": contrast_view(plan, check) if plan and check else None,
        "surprise": surprise_text(check),
        "second_look": second_look_text(check, _body(found, Acceptance)),
        "surprise_explained": conclusion.surprise_explained if conclusion else "",
        "does_not_show": conclusion.does_not_show if conclusion else [],
        "deviations": finding_items(check.deviations) if check else [],
        "no_deviations": NO_DEVIATION if check else "Not known: there is no result yet.",
        "findings": finding_groups(found),
        **_critique_view(critique),
        "attempts": attempts_view(entries, found, read, counting(history)),
        "sources": sources_view(_proposal(history, cycle), found),
        "records": record_rows(history),
        **_records_notes(history),
    }


def _body(found: Found, body_type: type[B]) -> B | None:
    return body_as(found[body_type.kind].record, body_type) if body_type.kind in found else None


def _prose_by(history: Sequence[Entry]) -> Raw:
    model = settings_in_force(history).model_of("writeup").use
    return Raw(f"*written by a model ({inline(model)}), checked by nobody*")


# ----------------------------------------------------------------------- head


def _head(history: Sequence[Entry], cycle: int, found: Found, prose: Prose | None) -> dict[str, Any]:
    plan, ideas = _body(found, Plan), _body(found, Ideas)
    proposal = _proposal(history, cycle)
    not_stated = "the proposal has it in its own words"
    return {
        "title": prose.title if prose else proposal.title,
        "standing": standing(history, cycle).sentence + ".",
        "meta": _meta(history, cycle, proposal),
        "banners": banners(history, cycle, found),
        "question": plan.question if plan else ideas.question if ideas else not_stated,
        **_opened_by(history, cycle),
    }


def _proposal(history: Sequence[Entry], cycle: int) -> Proposal:
    proposals = [e for e in history if e.record.kind == "proposal" and e.record.cycle <= cycle]
    return body_as(proposals[-1].record, Proposal)


def _opened_by(history: Sequence[Entry], cycle: int) -> dict[str, str]:
    """The decision that a later cycle goes back to, with its reason in the person's own words."""
    accepted = [e for e in history if e.record.kind == "acceptance" and e.record.cycle == cycle - 1]
    if not accepted:
        return {"opened_by": "", "opened_because": ""}
    entry, body = accepted[-1], body_as(accepted[-1].record, Acceptance)
    asked = "asked for a follow-up" if body.decision == "follow-up" else "decided"
    return {
        "opened_by": f"Why this cycle: {body.reviewer.person.name} {asked} at the end of cycle {cycle - 1}, {day(entry.when)}"
        f"{':' if body.reason.strip() else ', and gave no reason.'}",
        "opened_because": body.reason.strip(),
    }


def _meta(history: Sequence[Entry], cycle: int, proposal: Proposal) -> str:
    entries = of_cycle(history, cycle)
    attempts = max(entry.record.attempt for entry in entries)
    first, last = day(entries[0].when), day(entries[-1].when)
    model = settings_in_force(history).who_writes
    words = [
        f"Cycle {cycle}, {count(attempts, 'attempt')}",
        f"proposed by {proposal.author.name}",
        first if first == last else f"{first} to {last}",
        "no model: the steps read the proposal" if model == "none" else f"model {model}",
        f"cost of the cycle {total_cost(costs_of(entries))}",
    ]
    return " · ".join(words) + "."


def banners(history: Sequence[Entry], cycle: int, found: Found) -> list[dict[str, str]]:
    """What a reader must know before reading on."""
    entries = of_cycle(history, cycle)
    plan = _body(found, Plan)
    shown: list[dict[str, str]] = []

    def add(head: str, text: str) -> None:
        shown.append({"head": head, "text": text})

    if demonstration(history):
        add("Demonstration", "No person decided anything in this project: a script answered its gates.")
    if forked(history):
        add("Forked", _forked(history, cycle, plan))
    if _ran_without_isolation(entries):
        add(
            "No isolation: shipped code only",
            "The experiment ran as an ordinary process. Its bytes are those of the installed package.",
        )
    for caveat in _caveats(entries):
        add("About the isolation", f"{caveat[:1].upper()}{caveat[1:]}.")
    if plan and plan.metric.formula == "reported":
        add(
            "Self-reported metric",
            f"The experiment's code states {plan.metric.name} of itself; nobody recomputed it.",
        )
    if plan and plan.command:
        add(
            "The experiment is a command",
            f"Not possible for a command, and not done: {'; '.join(COMMAND_SKIPS)}.",
        )
    shown += _check_banners(_body(found, Check))
    failures = _failures(entries)
    if failures:
        add("Runs without a result", f"{failures}. That is no evidence for or against anything.")
    newer = _newer_attempt(entries, found)
    if newer:
        add("Not the latest attempt", newer)
    return shown + _signing_banners(history, entries)


def _check_banners(check: Check | None) -> list[dict[str, str]]:
    shown = []
    if check and check.exploratory:
        text = (
            "Parts of the plan were formed after a result of this cycle had been seen (see the deviations), so this "
            "tests nothing that was fixed in advance. A new cycle with a new plan could."
        )
        shown.append({"head": "Exploratory", "text": text})
    failed = (
        [f"{r.control.role} control, {r.control.of}" for r in check.controls if not r.passed] if check else []
    )
    if failed:
        text = f"{', '.join(failed)}: the numbers may not mean what they seem to."
        shown.append({"head": "A control failed", "text": text})
    return shown


def _signing_banners(history: Sequence[Entry], entries: Sequence[Entry]) -> list[dict[str, str]]:
    known = counting(history)
    said = [known[entry.digest] for entry in entries if entry.record.kind in ("approval", "acceptance")]
    unsigned = said.count(UNSIGNED)
    which = "Decisions carry" if unsigned == len(said) else f"{unsigned} of {len(said)} decisions carry"
    shown = []
    if unsigned:
        text = f"{which} no signature; names are as git was told."
        shown.append({"head": "Not signed", "text": text})
    void = [text.removeprefix(VOID) for text in said if text.startswith(VOID)]
    if void:
        text = f"{count(len(void), 'decision')}, the first because {void[0]}: see `autoresearch verify`."
        shown.append({"head": "Decisions that do not count", "text": text})
    return shown


def _ran_without_isolation(entries: Sequence[Entry]) -> bool:
    bodies = [entry.record.body for entry in entries]
    tiers = [body.isolation.tier for body in bodies if isinstance(body, Result)]
    tiers += [body.bundle.isolation.tier for body in bodies if isinstance(body, Approval)]
    return NO_TIER in tiers


def _caveats(entries: Sequence[Entry]) -> list[str]:
    """What results say of what they ran in, each once."""
    bodies = [entry.record.body for entry in entries]
    said = [caveat for body in bodies if isinstance(body, Result) for caveat in body.caveats]
    return list(dict.fromkeys(said))


def _failures(entries: Sequence[Entry]) -> str:
    """`2 runs failed or were lost: Crashed in attempt 1, Lost in attempt 2`; empty if none."""
    bad = [
        f"{entry.record.body.status} in attempt {entry.record.attempt}"
        for entry in entries
        if isinstance(entry.record.body, Result) and entry.record.body.status != "Completed"
    ]
    return (
        f"{count(len(bad), 'run')} failed or {'was' if len(bad) == 1 else 'were'} lost: {', '.join(bad)}"
        if bad
        else ""
    )


def _forked(history: Sequence[Entry], cycle: int, plan: Plan | None) -> str:
    """Where from, and what had come out there by then."""
    said = f"This history was forked {forked(history)}. No approval given before that counts after it."
    known = [known_line(k, plan) for k in known_results(history, cycle)] if plan else []
    return f"{said} The other project had by then: {'; '.join(known)}." if known else said


def _newer_attempt(entries: Sequence[Entry], found: Found) -> str:
    """The numbers shown were sent back, and what came after has none yet."""
    if "check" not in found:
        return ""
    after = entries[[e.digest for e in entries].index(found["check"].digest) + 1 :]
    if not any(entry.record.kind in ("plan", "ideas") for entry in after):
        return ""
    return (
        f"The numbers below are those of attempt {found['check'].record.attempt}, which was sent back; "
        "a newer plan exists and has no result yet."
    )


# --------------------------------------------------------- result, forecasts


def _result_view(entries: Sequence[Entry], found: Found, read: Read) -> dict[str, Any]:
    plan = _body(found, Plan)
    results = [entry for entry in entries if entry.record.kind == "result"]
    failed = results[-1] if results and "check" not in found else None
    return {
        "figure_alt": f"{contrast_name(plan)}: trials by arm, interval, forecasts" if plan else "",
        "caption": _caption(plan, _body(found, Check), _body(found, Prediction)),
        "no_result": _no_result(failed),
        "no_check": "there is no completed result" if failed or not results else "the check has not run",
        "failure": _failure_view(failed, read),
    }


def _caption(plan: Plan | None, check: Check | None, prediction: Prediction | None) -> str:
    if plan is None or check is None:
        return ""
    made_when = prediction.made_when if prediction else "before any result"
    trials = sum(arm.n for arm in check.arms)
    forecasts = f"the forecasts of it (10, 50 and 90 % points), made {made_when}"
    return (
        f"Every one of the {trials} trials, by arm; {contrast_name(plan)} with its {percent(check.contrast.level)} "
        f"interval; and {forecasts}. Unit: {plan.metric.unit}."
    )


def _no_result(failed: Entry | None) -> str:
    if failed is None:
        return "No experiment has ended yet, so there is nothing to show."
    if body_as(failed.record, Result).status == "Completed":
        return "The experiment ended; its numbers are not computed yet."
    return "There is no result: the experiment failed, which says nothing about the hypotheses."


def _failure_view(failed: Entry | None, read: Read) -> dict[str, Any] | None:
    if failed is None:
        return None
    body = body_as(failed.record, Result)
    if body.status == "Completed":
        return None
    wall = "" if body.facts.wall_seconds is None else f" in {duration(body.facts.wall_seconds)}"
    text = f"{body.status} after {body.trials_completed} of {count(body.trials_issued, 'trial')}{wall}: {body.why}"
    return {"text": text, "log": log_tail(failed, read)}


def _prediction_view(history: Sequence[Entry], found: Found) -> dict[str, Any]:
    forecasts = [*all_forecasts(history, found), *references(found)]
    approval = _body(found, Approval)
    prediction = _body(found, Prediction)
    notes = [
        "Quantile forecasts are given as median (10 % to 90 % point); inside means between these two. Scores: lower is better."
    ]
    if approval and approval.forecasts_skipped:
        notes.append(f"{approval.reviewer.person.name} was asked for a forecast and gave none.")
    if prediction and prediction.carried_from:
        notes.append("The forecasts stand from before an edit that left metric, arms and contrast alone.")
    if references(found):
        notes.append(
            "A reference is what could be said without looking into the matter; skill is doing better."
        )
    return {
        "predictions": prediction_rows(forecasts, _body(found, Check)),
        "predicted_when": _predicted_when(found),
        "predictions_note": " ".join(notes),
        "reasonings": [
            {"who": who(f.forecaster), "about": f.about, "text": _reasoning(f)} for f in forecasts if _reasoning(f)
        ],
    }  # fmt: skip


def _predicted_when(found: Found) -> str:
    prediction = _body(found, Prediction)
    if prediction is None or not (prediction.after_results or prediction.known_elsewhere):
        return f"Everything in this table was recorded before any result{_predicted_by(found)}."
    return (
        f"Everything in this table was recorded {prediction.made_when}, and before that of this attempt"
        f"{_predicted_by(found)}. These are forecasts of a second look, not of the unknown."
    )


def _reasoning(forecast: Forecast) -> str:
    guess = f"Best guess: {forecast.best_guess.rstrip('.')}." if forecast.best_guess else ""
    return " ".join(filter(None, [guess, forecast.reasoning.strip()]))


def _predicted_by(found: Found) -> str:
    """When the last of the forecasts shown was recorded."""
    times = [
        entry.when
        for entry in found.values()
        if isinstance(entry.record.body, Prediction | Approval) and entry.record.body.forecasts
    ]
    return f", by {moment(max(times))} UTC" if times else ""


# --------------------------------------------------------------------- claims


def _claims_view(found: Found) -> dict[str, Any]:
    conclusion, acceptance = _body(found, Conclusion), _body(found, Acceptance)
    view: dict[str, Any] = {
        "claims": [],
        "claims_note": "",
        "scope": "",
        "scale_note": "",
        "takeaway_note": "",
    }
    view["no_conclusion"] = "no conclusion has been drawn"
    if conclusion is None:
        return view
    return view | {
        "claims": claim_rows(conclusion, acceptance),
        "claims_note": _claims_note(found, acceptance),
        "scope": _shared_scope(conclusion),
        "scale_note": scale_note(conclusion),
        "takeaway_note": _takeaway_note(acceptance),
    }


def _shared_scope(conclusion: Conclusion) -> str:
    """The scope, if all claims have the same; else empty."""
    scopes = {claim.tested_for for claim in conclusion.claims}
    return scopes.pop() if len(scopes) == 1 else ""


def _takeaway_note(acceptance: Acceptance | None) -> str:
    about = "This is about a sign or an order. The numbers below hold for the experiment, not for its target."
    if acceptance is None:
        return f"Nobody has accepted this yet. {about}"
    if acceptance.sends_back:
        return f"Not accepted: it was sent back. It is what this attempt's author concluded. {about}"
    if acceptance.claims and all(verdict == "reject" for verdict in acceptance.claims.values()):
        return "Every claim behind this was rejected: it is what the author concluded, not a finding."
    return about


def _claims_note(found: Found, acceptance: Acceptance | None) -> Raw:
    if acceptance is None:
        rules = "" if "monitoring" in found else "; the monitors have not read them yet"
        return Raw(f"Nobody has decided on these claims{rules}.")
    said = inline(decided(found["acceptance"], acceptance))
    return Raw(f"{said}: “{inline(acceptance.reason)}”" if acceptance.reason.strip() else f"{said}.")


# -------------------------------------------------------------- critique, plan


def _critique_view(critique: Critique | None) -> dict[str, Any]:
    order = ("open", "accepted", "tested")
    card = critique.proxy if critique else None
    no_figures = "The author states no figures for how well the experiment stands for its target, so no claim may reach beyond the experiment."
    return {
        "assumptions": sorted(critique.assumptions, key=lambda a: order.index(a.status)) if critique else [],
        "objections": critique.objections if critique else [],
        "no_proxy": no_figures if critique else "Not stated yet.",
        "proxy": card
        and {
            "target": card.target,
            "proxy": card.proxy,
            "dynamic": card.dynamic,
            "a": percent(card.p_given_target),
            "b": percent(card.p_given_not),
            "ceiling": _ceiling(card),
            "disanalogies": card.disanalogies,
        },
    }  # fmt: skip


def _ceiling(card: ProxyCard) -> str:
    """The most that any amount of data from the proxy can say about the target, both ways."""
    least, most = ratio_bounds(card)
    if most < 1.005 and least > 0.995:
        return (
            "By these figures the experiment cannot move a belief about the target at all, whatever it shows."
        )
    return (
        f"By these figures, and however many seeds are run, the experiment can multiply the odds on its target by "
        f"{number(least, 2)} at least and by {number(most)} at most: a belief of 50 % could fall to "
        f"{percent(least / (1 + least))} or reach {percent(most / (1 + most))}, and no further."
    )


def _ideas_view(ideas: Ideas) -> dict[str, Any]:
    return {
        "why": Raw(f"Taken: {ideas.chosen}. {inline(ideas.why)}"),
        "candidates": [
            {
                "id": idea.id,
                "statement": idea.statement,
                "expects": _outcomes(idea.expects),
                "taken": "yes" if idea.id == ideas.chosen else f"no: {ideas.why_not.get(idea.id, '')}",
            }
            for idea in ideas.candidates
        ]
        + [
            {
                "id": idea.id,
                "statement": idea.statement,
                "expects": _outcomes(idea.expects),
                "taken": "no: nobody proposed it, and it is in no plan",
            }
            for idea in ideas.unproposed
        ],
    }


def _outcomes(outcomes: Sequence[str]) -> str:
    return " or ".join(outcomes) or "nothing"


def plan_view(entry: Entry, plan: Plan) -> dict[str, Any]:
    seed = f"attempt {entry.record.attempt}, {moment(entry.when)} UTC, record {entry.digest[:12]}"
    return {
        "fixed": f"Fixed in {seed}; the experiment is {count(len(plan.experiment), 'file')} of that record.",
        "hypotheses": [_hypothesis_row(h) for h in plan.hypotheses],
        "arms": [
            {"name": arm.name, "x": Raw("" if arm.x is None else f" (x = {given(arm.x)})"), "description": arm.description}
            for arm in plan.arms
        ],
        "metric": _metric_text(plan),
        "contrast": _contrast_text(plan),
        "secondary": [_secondary_text(plan, contrast) for contrast in plan.secondary],
        "decisions": [
            {
                "outcome": row.outcome, "conclusion": row.conclusion,
                "supports": ", ".join(row.supports) or "–", "refutes": ", ".join(row.refutes) or "–",
            }
            for row in plan.decision_table
        ],
        "conduct": _conduct(plan),
        "config": "\n".join(_config_lines(plan.config)),
    }  # fmt: skip


def _hypothesis_row(h: Hypothesis) -> dict[str, str]:
    return {
        "id": h.id, "statement": h.statement, "expects": _outcomes(h.expects),
        "refuted_by": _outcomes(h.refuted_by), "prior": percent(h.prior),
    }  # fmt: skip


def _metric_text(plan: Plan) -> Raw:
    m = plan.metric
    arrays = ", ".join(f"{role} from {name}" for role, name in sorted(m.arrays.items()))
    q = "" if m.q is None else f" at {given(m.q)}"
    low, high = ("unbounded" if bound is None else given(bound) for bound in (m.low, m.high))
    return Raw(
        f"**Metric.** {inline(m.name)}: {m.formula}{q} ({inline(arrays)}), unit {inline(m.unit)}, range {low} to {high}, "
        f"better: {m.better}. How it could be gamed: {inline(m.how_gamed)}"
    )


def _contrast_text(plan: Plan) -> Raw:
    c = plan.contrast
    return Raw(
        f"**Primary contrast.** {inline(contrast_name(plan))}, {c.form}, null {given(c.null)}, "
        f"smallest effect of interest {given(c.smallest_effect)}, {count(plan.trials_per_arm, 'trial')} an arm."
    )


def _secondary_text(plan: Plan, c: SecondaryContrast) -> Raw:
    return Raw(
        f"**Secondary {inline(c.id)}.** {inline(contrast_name(plan, c))}, {c.form}, null {given(c.null)}, "
        f"smallest effect of interest {given(c.smallest_effect)}."
    )


def _conduct(plan: Plan) -> list[dict[str, str]]:
    limits = plan.limits
    rows = {
        "Stopping rule": plan.stopping_rule,
        "Exclusions": plan.exclusions,
        "Positive control": _control_text(plan, "positive"),
        "Negative control": _control_text(plan, "negative"),
        **{
            name.replace("_", " ").capitalize(): text
            for name, text in plan.registration.model_dump().items()
            if text
        },
        "Limits": f"{duration(limits.seconds)}, {limits.memory_mb} MB memory, {count(limits.cpus, 'CPU')}, "
        f"{limits.processes} processes, {limits.output_mb} MB output{limits.shared_by()}",
        "Files": ", ".join(f"{ref.path} ({ref.sha256[:12]})" for ref in plan.experiment),
    }
    return [{"name": name, "text": text} for name, text in rows.items()]


def _control_text(plan: Plan, role: str) -> str:
    """In words, and where its mean was to lie."""
    checks = [f"{c.of} {c.expected}" for c in plan.controls.checks if c.role == role]
    said = plan.controls.positive if role == "positive" else plan.controls.negative
    return f"{said} (run: {'; '.join(checks)})" if checks else said


def _config_lines(config: Mapping[str, JsonValue], prefix: str = "") -> list[str]:
    """`arms.clean = {"epochs": 15}`, a line each; mappings are opened once."""
    lines: list[str] = []
    for name, value in sorted(config.items()):
        if isinstance(value, dict) and not prefix:
            lines += _config_lines(value, f"{name}.")
        else:
            lines.append(f"{prefix}{name} = {json.dumps(value, ensure_ascii=False, sort_keys=True)}")
    return lines


# -------------------------------------------------------------------- records


def _signing_note(history: Sequence[Entry]) -> str:
    """How many decisions of the project a key stands behind."""
    known = counting(history)
    said = [known[entry.digest] for entry in history if entry.record.kind in ("approval", "acceptance")]
    signed = sum(text.startswith("signed") for text in said)
    return f"{signed} of {count(len(said), 'decision')} signed." if signed else "No decision is signed."


def _records_notes(history: Sequence[Entry]) -> dict[str, str]:
    tokens = [entry.record.made_by.tokens for entry in history]
    tool = body_as(history[0].record, Proposal).tool
    return {
        "records_note": f"{count(len(history), 'record')}, one commit each, oldest first. A digest is the SHA-256 of the "
        "record's canonical JSON (RFC 8785), first 12 of 64 digits; of a commit id, the first 10. "
        "At: cycle and attempt. Tokens: in/cached/out. "
        f"All together: {total_cost(costs_of(history))}, "
        f"{sum(t.input for t in tokens)} tokens in, {sum(t.cached for t in tokens)} cached, {sum(t.output for t in tokens)} out.",
        "replay_note": f"Made with autoresearch {tool.version} (lock {tool.lock_sha256[:12]}). {_signing_note(history)}",
    }  # fmt: skip
