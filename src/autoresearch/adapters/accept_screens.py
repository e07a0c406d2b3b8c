"""What the accept gate shows: predicted against observed first, prose last.

The same rules as in `gate_screens`: pure functions, foreign text behind the margin.
"""

from collections.abc import Mapping

from autoresearch.adapters.gate_screens import (
    Compose,
    Section,
    findings_page,
    findings_rows,
    fit,
    forecasts_page,
    help_rows,
    history_page,
    keys,
    known_rows,
    short,
)
from autoresearch.adapters.screen_text import (
    NARROW,
    Look,
    digits,
    heading,
    own,
    page,
    sentence,
    theirs,
    title,
    whole,
)
from autoresearch.adapters.text_plot import Range, text_plot
from autoresearch.forecast_line import contrast_name
from autoresearch.ports import AcceptanceView
from autoresearch.records import Claim, ClaimVerdict, ContrastResult, Finding, Forecast, count, digest_of

Verdicts = Mapping[str, ClaimVerdict]

ACCEPT_DECISIONS = {
    "accept": "into the report",
    "revise": "rewrite",
    "redo": "new experiment",
    "reject": "none stands",
    "follow-up": "accept, new cycle",
    "quit": "later",
}


def accept_help(look: Look) -> list[str]:
    return help_rows(
        look,
        [
            ("  1d", "downgrades claim 1; 1r rejects it, 1a takes it again"),
            ("  accept", "the claims go into the report as the screen shows them"),
            ("  revise", "conclude again from the same result, with your reason"),
            ("  redo", "a new plan and a new approval, with your reason"),
            ("  reject", "no claim stands; the report says so, with your reason"),
            ("  follow-up", "accept, then go on with a new cycle"),
            ("  quit", "decide later; Ctrl-C and Ctrl-D do the same"),
        ],
    )


_EVERY = 50
"""At least as many claims as a conclusion can have."""
_FITS = [(_EVERY, 4), (_EVERY, 3), (_EVERY, 2), (_EVERY, 1), (6, 1), (4, 1), (3, 1), (2, 1), (1, 1)]


def accept_screen(view: AcceptanceView, look: Look, verdicts: Verdicts) -> list[str]:
    """The accept gate's one screen, prompt excluded."""
    compose = _composer(view, look, verdicts)
    return compose(*fit(look, compose, _FITS))


def claims_on_screen(view: AcceptanceView, look: Look, verdicts: Verdicts) -> bool:
    """Whether every claim stands on the screen and none is left to a section."""
    most, _ = fit(look, _composer(view, look, verdicts), _FITS)
    return most >= len(view.conclusion.claims)


def cut_short(view: AcceptanceView, look: Look, verdicts: Verdicts) -> list[str]:
    """The claims, and the takeaway, that stand on the screen cut short, whole."""
    _, lines = fit(look, _composer(view, look, verdicts), _FITS)
    takeaway = view.conclusion.takeaway
    shown = whole(look, takeaway, _takeaway_lines(lines))
    return [
        row
        for number, claim in enumerate(view.conclusion.claims, 1)
        if not whole(look, claim.statement, lines, tail=_tail(claim))
        for row in theirs(look, f"{number} {verdicts[claim.id]}", claim.statement, _EVERY)
    ] + ([] if shown else theirs(look, "Takeaway", takeaway, _EVERY))


def _takeaway_lines(lines: int) -> int:
    return max(lines - 1, 1)


def _composer(view: AcceptanceView, look: Look, verdicts: Verdicts) -> Compose:
    def compose(items: int, lines: int) -> list[str]:
        return [
            *_head(view, look),
            *(theirs(look, "Proposal", view.title, 1) if lines > 2 else []),
            *_predicted_and_observed(view, look, lines),
            *_surprise(view, look),
            *_run(view, look),
            *_controls(view, look),
            *known_rows(look, view.known, items),
            *_deviations(view, look, lines),
            *findings_rows(look, all_findings(view), _checked(view), min(items, max(lines - 1, 1)), 1),
            *_claims(view, look, verdicts, items, lines),
            *theirs(look, "Takeaway", view.conclusion.takeaway, _takeaway_lines(lines)),
            *keys(look, accept_sections(view, look, verdicts), ACCEPT_DECISIONS),
        ]

    return compose


def all_findings(view: AcceptanceView) -> list[Finding]:
    return [*view.monitoring.findings, *view.check.findings]


def blocking(view: AcceptanceView) -> list[Finding]:
    return [f for f in (*all_findings(view), *view.check.deviations) if f.severity == "block"]


def _head(view: AcceptanceView, look: Look) -> list[str]:
    subject = view.subject
    left = f"Do these conclusions follow?  cycle {subject.cycle}, attempt {subject.attempt}"
    ask = "Only the claims that you accept stand in the report. ? for help."
    return [heading(look, left, f"digest {short(digest_of(subject))}"), *sentence(look, ask)]


def _rules(view: AcceptanceView) -> str:
    return f"{count(len(view.monitoring.rules), 'rule')} checked"


def _checked(view: AcceptanceView) -> str:
    """The rules, and where it takes no row of its own, that the plan was kept."""
    return f"{_rules(view)}; {'deviations above' if view.check.deviations else 'no deviation from the plan'}"


# --------------------------------------------------- predicted and observed


def _predicted_and_observed(view: AcceptanceView, look: Look, lines: int) -> list[str]:
    contrast = view.check.contrast
    ranges = [
        Range(_forecaster(view, f), *f.quantiles, "10/50/90")
        for f in view.forecasts
        if f.quantiles and f.about == "contrast"
    ]
    ranges.append(Range("Observed", contrast.low, contrast.estimate, contrast.high, f"{contrast.level:.0%}"))
    # How many there were stands in the row of the run, too.
    size = f", n {contrast.n}" if lines > 2 else ""
    outcome = f"{contrast.outcome}: {contrast_name(view.plan)}{size}"
    if look.plain or look.width < NARROW:
        rows = [row for r in ranges for row in own(look, r.label, r.figures())]
    else:
        rows = text_plot(look, ranges, null=view.plan.contrast.null)
    return own(look, "Outcome", outcome) + rows + own(look, "Rule", _rule(view, lines))


def _rule(view: AcceptanceView, lines: int) -> str:
    """How the outcome follows from the interval, the smallest effect and the noise."""
    found, planned = view.check.contrast, view.plan.contrast
    least, null = digits(planned.smallest_effect), digits(planned.null)
    near = f"{null} +/- {least} (smallest effect)"
    below = found.noise_floor is not None and abs(found.estimate - planned.null) <= found.noise_floor
    holds = found.low <= planned.null <= found.high
    why = {
        "negligible": f"interval wholly within {near}",
        "positive": f"interval above {null}, not all within {near}",
        "negative": f"interval below {null}, not all within {near}",
        "inconclusive": f"interval holds {null}, reaches beyond {near}"
        if holds or not below
        else "the effect is no larger than the noise against itself",
    }[found.outcome]
    if lines < 2:
        return why
    chance = [] if found.p_permutation is None else [f"permutation p {digits(found.p_permutation)}"]
    chance += [] if found.noise_floor is None else [f"noise floor {digits(found.noise_floor)}"]
    return "; ".join([why, *chance])


def _forecaster(view: AcceptanceView, forecast: Forecast) -> str:
    """Our word for who forecast: foreign names do not stand at the left edge."""
    if forecast.forecaster == f"human:{view.reviewer.name}":
        return "You"
    return "Reviewer" if forecast in view.approval.forecasts else "Author"


def _surprise(view: AcceptanceView, look: Look) -> list[str]:
    surprise = view.check.surprise
    fresh = "a fresh seed ran" if view.check.fresh_seed_ran else "no fresh seed ran"
    said = {
        "expected": "no: within what was forecast",
        "explain": "yes: unlikely under the forecast, so the conclusion has to explain it",
        "rerun": f"very unlikely under the forecast; {fresh}; accepting takes a second look and a reason",
    }[surprise.verdict]
    figures = [f"p {digits(surprise.p)}"] if surprise.p is not None else []
    figures += [f"{digits(surprise.bits)} bits"] if surprise.bits is not None else []
    text = f"{said} ({', '.join(figures)})" if figures else said
    return own(look, "Surprise", text, alarm=surprise.verdict == "rerun")


def _run(view: AcceptanceView, look: Look) -> list[str]:
    result, again = view.result, view.check.rechecks
    wall = "" if result.facts.wall_seconds is None else f" in {result.facts.wall_seconds:.0f} s"
    text = f"{result.status}, {result.trials_completed} of {count(result.trials_issued, 'trial')}{wall}"
    repeated = [r for r in again if not r.fresh]
    if repeated:
        text += f"; {sum(bool(r.same_bytes) for r in repeated)} of {len(repeated)} repeats identical"
    if result.isolation.tier != "docker":
        text += f"; isolation {result.isolation.tier}"
    return own(
        look, "Run", text, alarm=result.status != "Completed" or any(not r.same_bytes for r in repeated)
    )


def _controls(view: AcceptanceView, look: Look) -> list[str]:
    controls = view.check.controls
    if not controls:
        return own(look, "Controls", "none was run, so nothing shows that the apparatus works")
    failed = [result for result in controls if not result.passed]
    text = f"{len(controls) - len(failed)} of {len(controls)} held"
    if failed:
        text += "; FAILED: " + look.line(", ".join(f"{r.control.role}, {r.control.of}" for r in failed))
    return own(look, "Controls", text, alarm=bool(failed))


def _deviations(view: AcceptanceView, look: Look, lines: int) -> list[str]:
    deviations = view.check.deviations
    if not deviations:
        return []
    explores = "; formed after a result was seen, so this EXPLORES and tests nothing"
    text = f"{len(deviations)} from the plan{explores if view.check.exploratory else ''}"
    rows = own(look, "Deviations", text, alarm=view.check.exploratory)
    shown = deviations if lines > 1 else deviations[:1]
    return rows + [
        row for f in shown for row in theirs(look, "", f"{f.severity} {f.check}: {f.explanation}", 1)
    ]


# ------------------------------------------------------------------- claims


def _claims(view: AcceptanceView, look: Look, verdicts: Verdicts, items: int, lines: int) -> list[str]:
    claims = view.conclusion.claims
    rows = own(look, "Claims", "a takes all as shown; 1d downgrades claim 1, 1r rejects it")
    for number, claim in enumerate(claims[:items], 1):
        label = f"{number} {verdicts[claim.id]}"
        rows += theirs(look, label, claim.statement, lines, tail=_tail(claim))
        if lines > 2:
            rows += theirs(look, "", f"tested for: {claim.tested_for}", lines - 2)
            rows += theirs(look, "", f"would change our mind: {claim.change_our_mind}", lines - 2)
    if len(claims) > items:
        rows += own(look, "", f"... and {len(claims) - items} more: 1 opens them all")
    return rows


def _tail(claim: Claim) -> str:
    return f" [{_figures(claim)}]"


def _figures(claim: Claim) -> str:
    return f"{claim.about}, {claim.level}, {claim.evidence}, {claim.belief.replace('→', '->')}"


# ----------------------------------------------------------------- sections


def accept_sections(view: AcceptanceView, look: Look, verdicts: Verdicts) -> list[Section]:
    findings = [*all_findings(view), *view.check.deviations]
    return [
        Section("1", "claims", lambda: _claims_page(view, look, verdicts)),
        Section("2", "numbers", lambda: _numbers_page(view, look)),
        Section("3", "findings", lambda: findings_page(look, findings, _rules(view))),
        Section("4", "forecasts", lambda: _forecasts_page(view, look)),
        Section("5", "proxy", lambda: _proxy_page(view, look)),
        Section("6", "log", lambda: page(look, view.log, words=False)),
        Section("7", "history", lambda: history_page(look, [*view.known, *view.history])),
        Section("8", "prose", lambda: _prose_page(view, look)),
    ]


def _forecasts_page(view: AcceptanceView, look: Look) -> list[str]:
    rows = forecasts_page(look, view.forecasts)
    records = [row for line in view.forecast_records for row in page(look, line)]
    return rows + (title(look, "How their forecasts in this project came out") + records if records else [])


_LEGEND = (
    "L1 the numbers are correct, L2 it would be useful, L3 its assumptions hold. "
    "E4 real system, E3 near system, E2 toy proxy, E1 conceptual, E0 assertion; "
    "+r: another accepted design came out the same way."
)


def _claims_page(view: AcceptanceView, look: Look, verdicts: Verdicts) -> list[str]:
    rows = own(look, "", _LEGEND)
    for number, claim in enumerate(view.conclusion.claims, 1):
        rows += title(look, f"{number} {verdicts[claim.id]}: {_figures(claim)}")
        rows += page(look, f"{claim.id}: {claim.statement}\ntested for: {claim.tested_for}")
        rows += page(look, f"would change our mind: {claim.change_our_mind}")
    return rows + title(look, "Takeaway") + page(look, view.conclusion.takeaway)


def _numbers_page(view: AcceptanceView, look: Look) -> list[str]:
    check, contrast = view.check, view.check.contrast
    rows = title(look, f"{contrast_name(view.plan)}: {contrast.outcome}")
    rows += page(look, f"{digits(contrast.estimate)} [{digits(contrast.low)}, {digits(contrast.high)}]")
    rows += page(look, f"{contrast.level:.0%} interval, n {contrast.n}, {contrast.method}")
    rows += own(look, "Rule", _rule(view, _EVERY))
    rows += _chance_rows(look, contrast)
    rows += _secondary_page(view, look) + _controls_page(view, look)
    rows += title(look, "Arms")
    for arm in check.arms:
        spread = "" if arm.sd is None else f", sd {digits(arm.sd)}"
        effort = (
            "" if arm.cpu_seconds is None else f", {digits(arm.cpu_seconds)} s of CPU a trial (self-reported)"
        )
        rows += page(look, f"{arm.arm}: n {arm.n}, mean {digits(arm.mean)}{spread}{effort}")
    rows += title(look, "Scores of the forecasts (lower is better)")
    for s in check.scores:
        rows += page(
            look, f"{s.forecaster}, {s.forecast}: {s.rule} {digits(s.value)}, observed {digits(s.observed)}"
        )
    rows += title(look, "Rechecks") if check.rechecks else []
    for r in check.rechecks:
        same = "fresh seed" if r.fresh else "same bytes" if r.same_bytes else "NOT the same bytes"
        value = "did not end" if r.value is None else digits(r.value)
        rows += page(look, f"{r.trial.arm}, seed {r.trial.seed}: {value}, {same}")
    return rows


def _chance_rows(look: Look, contrast: ContrastResult) -> list[str]:
    rows = []
    if contrast.p_permutation is not None:
        rows += own(
            look, "Permuted", f"two-sided p {digits(contrast.p_permutation)}, the arms' labels swapped"
        )
    if contrast.p_equivalence is not None:
        rows += own(look, "Equivalent", f"p {digits(contrast.p_equivalence)}; negligible below 0.025")
    if contrast.noise_floor is not None:
        text = (
            f"{digits(contrast.noise_floor)}: 95 in 100 comparisons of the seeds with themselves stay below"
        )
        rows += own(look, "Noise", text)
    return rows


def _secondary_page(view: AcceptanceView, look: Look) -> list[str]:
    secondary = view.check.secondary
    rows = title(look, "Secondary contrasts, p corrected for their number (Holm)") if secondary else []
    for s in secondary:
        p = "" if s.p_holm is None else f", p {digits(s.p_holm)}"
        text = f"{s.id}: {s.outcome}, {digits(s.estimate)} [{digits(s.low)}, {digits(s.high)}]{p}"
        rows += page(look, text)
    return rows


def _controls_page(view: AcceptanceView, look: Look) -> list[str]:
    rows = title(look, "Controls") if view.check.controls else []
    for result in view.check.controls:
        control, verdict = result.control, "held" if result.passed else "FAILED"
        text = f"{control.role}, {control.of}: {digits(result.mean)} over {result.n}, expected {control.expected}"
        rows += page(look, f"{verdict}: {text}")
    return rows


def second_look_page(view: AcceptanceView, look: Look) -> list[str]:
    """What to weigh before a result is believed that its forecast called all but impossible."""
    check = view.check
    rows = title(
        look, "This result is very far from its forecast. An error is likelier than usual, either way."
    )
    rows += _surprise(view, look)
    rows += own(look, "Observed", f"{digits(check.contrast.estimate)} over {check.contrast.n} seeds")
    if check.fresh_contrast is not None:
        fresh = len({r.trial.seed for r in check.rechecks if r.fresh})
        rows += own(
            look,
            "Fresh",
            f"{digits(check.fresh_contrast)} over {count(fresh, 'seed')} that the run never had",
        )
    rows += _run(view, look) + _controls(view, look) + _deviations(view, look, 2)
    rows += findings_rows(look, all_findings(view), _checked(view), 6, 2)
    told = view.conclusion.surprise_explained
    rows += title(look, "The author explains it so") + page(look, told) if told else []
    return rows


def _proxy_page(view: AcceptanceView, look: Look) -> list[str]:
    rows = title(look, "Assumptions") if view.critique.assumptions else []
    for a in view.critique.assumptions:
        rows += page(look, f"{a.status} {a.id}: {a.statement}\n    breaks if: {a.breaks_if}")
    card = view.critique.proxy
    if card is None:
        return [*rows, "No proxy figures were given, so no claim may reach beyond the experiment."]
    rows += title(look, "Target and proxy")
    rows += page(look, f"target: {card.target}\nproxy: {card.proxy}")
    return rows + own(look, "", f"At best the odds on the target shift {digits(card.ceiling)}-fold.")


def _prose_page(view: AcceptanceView, look: Look) -> list[str]:
    conclusion = view.conclusion
    rows = title(look, "Takeaway") + page(look, conclusion.takeaway)
    rows += title(look, "What this does not show")
    rows += [row for line in conclusion.does_not_show for row in page(look, line)]
    if conclusion.surprise_explained:
        rows += title(look, "The surprise, explained") + page(look, conclusion.surprise_explained)
    return rows + (title(look, "Prose") + page(look, conclusion.prose) if conclusion.prose else [])
