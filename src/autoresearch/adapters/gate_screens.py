"""What the approve gate shows: one screen that decides, and the sections behind it.

Pure functions from a view to lines. Foreign text (the author's, the model's) only
ever stands behind the margin; what stands at the left edge is ours.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoresearch.adapters.code_view import careful, changed, code_page, diff_page, line_count, short_name
from autoresearch.adapters.editor import PLAN_FILE, plan_yaml
from autoresearch.adapters.screen_text import (
    NARROW,
    Look,
    digits,
    duration,
    heading,
    own,
    packed,
    page,
    sentence,
    several,
    theirs,
    title,
)
from autoresearch.decisions import blocking as blocking_findings
from autoresearch.forecast_line import contrast_name
from autoresearch.ports import ApprovalView
from autoresearch.records import (
    LEAST_REACH,
    MOST_TRIES,
    NO_TIER,
    Finding,
    Forecast,
    Hypothesis,
    PlanDraft,
    Tryout,
    count,
    digest_of,
    sha256,
)

PROMPT_ROWS = 1
"""Rows that the prompt takes below a screen."""
FORECAST_ROWS = 3
"""Rows that the question for the reviewer's own forecast takes below a screen."""

Compose = Callable[[int, int], list[str]]
"""(most items of a list, most lines of an item) → lines of the screen."""

_NARROW_FIT = (3, 4)
_FITS = [(12, 4), (8, 3), (6, 2), (4, 2), (3, 2), (2, 2), (4, 1), (3, 1), (2, 1), (1, 1)]
"""Tried from the fullest to the tersest."""


@dataclass(frozen=True)
class Section:
    """One thing that can be opened in the pager."""

    key: str
    name: str
    render: Callable[[], list[str]]


# --------------------------------------------------------------- both gates


def short(digest: str) -> str:
    """What the reviewer types."""
    return digest[:8]


def fit(
    look: Look, compose: Compose, fits: Iterable[tuple[int, int]], below: int = PROMPT_ROWS
) -> tuple[int, int]:
    """The first of `fits` whose composition leaves `below` rows; the last, tersest, if none does.

    Nothing fits a narrow terminal: it scrolls, and what cannot fit had better be legible.
    """
    tried = (0, 0)
    for tried in fits:
        if len(compose(*tried)) <= look.height - below:
            return tried
    return tried if look.width >= NARROW else _NARROW_FIT


def keys(look: Look, sections: Iterable[Section], decisions: Mapping[str, str]) -> list[str]:
    """What can be opened, and what can be decided."""
    read = [f"{section.key} {section.name}" for section in sections]
    decide = [*(f"{word} ({meaning})" for word, meaning in decisions.items()), "? (help)"]
    gap = "  " if len("  ".join(read)) + 6 <= look.width else " "
    return packed(look, "Read: ", read, gap) + packed(look, "Decide: ", decide, ", ")


def findings_rows(look: Look, findings: list[Finding], also: str, items: int, lines: int) -> list[str]:
    """Counts and `also`, then the gravest ones."""
    if not findings:
        return own(look, "Findings", f"none; {also}")
    blocking = sum(f.severity == "block" for f in findings)
    warnings = sum(f.severity == "warn" for f in findings)
    notes = len(findings) - blocking - warnings
    counted = [f"{blocking} blocking"] if blocking else []
    counted += [count(warnings, "warning")] if warnings else []
    counted += [count(notes, "note")] if notes else []
    counts = f"{', '.join(counted)}; {also}"
    grave = [(f"{f.severity} {f.check}: {f.explanation}", "") for f in by_gravity(findings)]
    return own(look, "Findings", counts, alarm=blocking > 0) + several(look, "", grave, items, lines)


def by_gravity(findings: Iterable[Finding]) -> list[Finding]:
    """Blocking first; the same check on the same thing once."""
    once = {(f.check, f.explanation): f for f in findings}
    return sorted(once.values(), key=lambda f: ("block", "warn", "info").index(f.severity))


def findings_page(look: Look, findings: list[Finding], also: str) -> list[str]:
    if not findings:
        return sentence(look, f"No findings; {also}.")
    rows: list[str] = []
    for finding in by_gravity(findings):
        paint = look.alarm if finding.severity == "block" else look.strong
        rows.append(paint(f"{finding.severity} {finding.check}, about the {finding.record}"))
        rows += page(look, finding.explanation)
        rows += page(look, finding.evidence) if finding.evidence else []
    return rows


def forecast_line(forecast: Forecast) -> str:
    """A forecast's figures in one line, without its reasoning."""
    if forecast.quantiles:
        low, middle, high = (digits(value) for value in forecast.quantiles)
        text = f"{forecast.about}: 10/50/90 at {low}, {middle}, {high}"
    elif forecast.categories:
        text = f"{forecast.about}: " + ", ".join(f"{k} {v:.0%}" for k, v in forecast.categories.items())
    else:
        text = f"{forecast.about}: probability {forecast.p}"
    return f"{text} (primary)" if forecast.primary else text


def who(look: Look, forecaster: str) -> str:
    return look.line(forecaster.removeprefix("human:"))


def history_page(look: Look, history: Iterable[str]) -> list[str]:
    return [row for line in history for row in page(look, line)] or ["No earlier attempt."]


# ------------------------------------------------------------------- approve

APPROVE_DECISIONS = {
    "approve": "it runs",
    "reject": "new ideas",
    "revise": "new plan",
    "try": "test it",
    "edit": "by hand",
    "terminate": "end the project",
    "quit": "decide later",
}


EDITS = ("edit plan", "edit code")
"""`edit` that opens only one of the two."""

HELP = [
    ("Read", "a number or d, then Enter. Inside: Enter next, b back, e end, q out."),
    ("Decide", "a word or its first letters, then Enter:"),
]
_BINDING = [
    ("Then", "the eight digits shown, which bind the decision to what you saw."),
    ("Enter", "alone shows the screen again, in the size of the window."),
    ("Margin", "what stands behind a bar is not ours: author, model, experiment."),
]


def help_rows(look: Look, decisions: Iterable[tuple[str, str]]) -> list[str]:
    """What the keys do, for whoever meets a gate for the first time."""
    return [row for label, text in [*HELP, *decisions, *_BINDING] for row in own(look, label, text)]


def approve_help(look: Look) -> list[str]:
    return help_rows(
        look,
        [
            ("  approve", "these bytes run, once; any change needs a new approval"),
            ("  reject", "back to ideas, with your reason"),
            ("  revise", "back to the plan, with your reason"),
            ("  try", "run it once an arm, at most a minute, seeing only whether it ran"),
            ("  edit", "your editor on both; edit plan or edit code opens only that"),
            ("  terminate", "the project ends here, and its report says so"),
            ("  quit", "decide later; Ctrl-C and Ctrl-D do the same"),
        ],
    )


def forecast_help(look: Look) -> list[str]:
    """What `?` answers where the reviewer's own forecast is asked for."""
    rows = [
        ("Forecast", "the contrast, in its unit, as three increasing numbers, e.g. -0.01 0.02 0.05:"),
        ("", "you expect it below the first with 10 % chance, the second 50 %, the third 90 %."),
        ("Or", "one number from 0 to 1, or as 70%: the chance that is asked about."),
        ("Enter", "skips; the decision on record says that you gave none."),
        ("Why", "it is scored beside the author's, which is shown only after yours."),
        ("Read", "a number, then Enter, opens that section and comes back here."),
        ("quit", "decide later; Ctrl-C and Ctrl-D do the same"),
    ]
    return [row for label, text in rows for row in own(look, label, text)]


def approve_screen(view: ApprovalView, look: Look, *, forecasts_open: bool | None = None) -> list[str]:
    """The approve gate's one screen, prompt excluded.

    `forecasts_open`: the author's forecasts may be shown; by default when the
    reviewer is not asked for their own first.
    """
    unlocked = (not view.ask_forecast) if forecasts_open is None else forecasts_open

    # Once, not for every arrangement that is tried: these read every file.
    warning, differences = _careful(view, look), _differences(view, look)

    def compose(items: int, lines: int) -> list[str]:
        return [
            *_head(view, look),
            *(theirs(look, "Proposal", view.title, 1) if items > 4 else []),
            *theirs(look, "Question", view.question, max(lines, 2)),
            *_hypotheses(view, look, items, lines),
            *_what_runs(view, look, items),
            *tried(look, view.tries),
            *warning,
            *findings_rows(look, all_findings(view), _counts_of(view), max(items // 2, 1), max(lines - 1, 1)),
            *_open_assumptions(view, look, items),
            *(forecast_row(view, look) if unlocked else []),
            *_proxy(view, look),
            *_since(view, look, differences, items, max(lines - 1, 1)),
            *keys(look, approve_sections(view, look, forecasts_open=unlocked), decisions_offered(view)),
        ]

    asking = FORECAST_ROWS + bool(view.reviewer_record)
    return compose(*fit(look, compose, _FITS, PROMPT_ROWS if unlocked else asking))


def all_findings(view: ApprovalView) -> list[Finding]:
    return by_gravity([*view.preflight.findings, *view.critique.findings])


def blocking(view: ApprovalView) -> list[Finding]:
    return by_gravity(blocking_findings(view.preflight, view.critique))


def decisions_offered(view: ApprovalView) -> dict[str, str]:
    """Without `approve` and `try` while a finding blocks: both run the code."""
    stopped = bool(blocking(view))
    withheld = {"approve", "try"} if stopped else {"try"} if len(view.tries) >= MOST_TRIES else set()
    known = {**APPROVE_DECISIONS, "terminate": "do not run"} if reaches_little(view) else APPROVE_DECISIONS
    return {word: why for word, why in known.items() if word not in withheld}


def _head(view: ApprovalView, look: Look) -> list[str]:
    bundle, stopped = view.bundle, bool(blocking(view))
    left = f"May this experiment run?  cycle {bundle.cycle}, attempt {bundle.attempt}"
    ask = "Nothing of it has run. Type a number to read on, a word to decide, ? for help."
    if before := view.before or ("It was tried, and what came out is unknown." if view.tries else ""):
        ask = f"{before} Type a word to decide, ? for help."
    if stopped:
        ask = "A finding blocks it: it cannot be approved as it is. Reject, revise or edit."
    return [
        heading(look, left, f"digest {short(digest_of(bundle))}"),
        *sentence(look, ask, alarm=stopped),
    ]


def _refuted(hypothesis: Hypothesis) -> str:
    if not hypothesis.refuted_by:
        return " [nothing would refute it]"
    return f" [refuted if {' or '.join(hypothesis.refuted_by)}]"


def _hypotheses(view: ApprovalView, look: Look, items: int, lines: int) -> list[str]:
    plan = view.plan
    texts = [(f"{h.id}: {h.statement}", _refuted(h)) for h in plan.hypotheses]
    effect, null = digits(plan.contrast.smallest_effect), plan.contrast.null
    small = f"under {effect}" if null == 0 else f"within {effect} of {digits(null)}"
    measured = f"{contrast_name(plan)}; {small} counts as negligible"
    if plan.metric.formula == "reported":
        measured += "; the code states this number of itself"
    rows = several(look, "Hypotheses", texts, items, lines) + own(look, "Measured", measured)
    return rows + (own(look, "Power", view.power, alarm="NOT ENOUGH" in view.power) if view.power else [])


def _what_runs(view: ApprovalView, look: Look, items: int) -> list[str]:
    plan, again = view.plan, view.bundle.rechecks
    trials = (
        f"{count(view.expected_trials, 'trial')} ({plan.trials_per_arm} in each of {len(plan.arms)} arms), "
        f"then {again.repeated_trials + again.fresh_seeds * len(plan.arms)} more to check; {count(len(view.files), 'file')}:"
    )
    files = "; ".join(
        f"{short_name(look, path)} {count(line_count(data), 'line')} {short(sha256(data))}"
        for path, data in sorted(view.files.items())
    )
    return [
        *own(look, "Will run", trials),
        *theirs(look, "", files, max(items // 2, 1)),
        *(theirs(look, "Command", " ".join(plan.command), 2) if plan.command else []),
        *own(look, "May use", _limits(view)),
        *_may_read(view, look),
        *_isolation(view, look),
    ]


def code_to_read(view: ApprovalView) -> list[str]:
    """Why the code has to be opened before it can be approved, a line each; foreign text."""
    return careful(view.files)


def tried(look: Look, tries: Sequence[Tryout]) -> list[str]:
    """Whether it ran when the reviewer tried it; nothing of what came out is known."""
    if not tries:
        return []
    latest = tries[-1]
    took = "" if latest.seconds is None else f" after {latest.seconds:g} s"
    memory = "" if latest.peak_memory_mb is None else f", {latest.peak_memory_mb} MB"
    how = f"{count(len(tries), 'time')} of {MOST_TRIES}, the last {latest.outcome}{took}{memory}"
    return own(look, "Tried", how, alarm=latest.outcome != "ran")


def _careful(view: ApprovalView, look: Look) -> list[str]:
    notes = [(note, "") for note in code_to_read(view)]
    if not notes:
        return []
    ask = "before you can approve it, read 2 code to its end:"
    return own(look, "Careful", ask, alarm=True) + several(look, "", notes, 1, 1)


def _limits(view: ApprovalView) -> str:
    limits = view.bundle.limits
    return (
        f"{duration(limits.seconds)}, {limits.memory_mb} MB memory, {count(limits.cpus, 'CPU')}, "
        f"{limits.processes} processes, {limits.output_mb} MB output"
        + (f", {count(limits.gpus, 'GPU')}" if limits.gpus else "")
        + limits.shared_by()
    )


def _may_read(view: ApprovalView, look: Look) -> list[str]:
    """The person's data, one line; whole digests stand in the section `limits`."""
    if not view.plan.inputs:
        return []
    each = [
        f"/data/{data.name}: {count(data.files, 'file')}, {data.size / 1e6:.3g} MB, {short(data.sha256)}"
        for data in view.plan.inputs
    ]
    return own(look, "May read", look.line("; ".join(each)))


def _isolation(view: ApprovalView, look: Look) -> list[str]:
    isolation = view.bundle.isolation
    cost = "cost unknown" if view.cost_usd == "unknown" else f"${view.cost_usd} spent"
    cost += "" if view.cap_usd == "none" else f" of ${view.cap_usd}"
    model = "no model" if view.model == "none" else f"model {view.model}"
    spent = look.line(f"{cost} so far, {model}")
    if isolation.tier == NO_TIER:
        return own(look, "Isolation", f"NONE: {isolation.tier}; {spent}", alarm=True)
    image = look.line(isolation.image.removeprefix("sha256:"))[:12]
    if isolation.tier == "bubblewrap":
        weaker = f"bubblewrap, WEAKER than a container, no network, root {image}; {spent}"
        return own(look, "Isolation", weaker, alarm=True)
    tier = {"docker": "Docker", "gvisor": "gVisor in Docker"}[isolation.tier]
    return own(look, "Isolation", f"{tier}, no network, {_whose(view)}image {image}; {spent}")


def _whose(view: ApprovalView) -> str:
    environment = view.plan.environment
    if environment is None:
        return ""
    return "requirements.lock in " if environment.lock else "the author's own "


def _counts_of(view: ApprovalView) -> str:
    assumptions = view.critique.assumptions
    still_open = sum(a.status == "open" for a in assumptions)
    return f"{count(len(view.preflight.rules), 'rule')} checked; {still_open} of {len(assumptions)} assumptions open"


def _open_assumptions(view: ApprovalView, look: Look, items: int) -> list[str]:
    """What the result will rest on untested; one line even where there is room for nothing more."""
    texts = [(f"{a.id}: {a.statement}", "") for a in view.critique.assumptions if a.status == "open"]
    return several(look, "Assumed", texts, max(items // 2, 1), 1)


def forecast_row(view: ApprovalView, look: Look) -> list[str]:
    primary = next(f for f in view.prediction.forecasts if f.primary)
    rows = theirs(look, "Forecast", f"{who(look, primary.forecaster)} on {forecast_line(primary)}", 1)
    return rows + (own(look, "", f"whose {view.author_record}") if view.author_record else [])


def reaches_little(view: ApprovalView) -> str:
    """Why this may not be worth running; empty if it may."""
    card = view.critique.proxy
    if card is None or card.ceiling >= LEAST_REACH:
        return ""
    return f"a clear result would shift the odds on the target at most {digits(card.ceiling)}-fold"


def _proxy(view: ApprovalView, look: Look) -> list[str]:
    card = view.critique.proxy
    if card is None:
        return own(look, "Reach", "no proxy figures, so no claim may reach beyond the experiment")
    most, absent = digits(card.ceiling), digits(card.ceiling_of_absence)
    if not reaches_little(view):
        return own(look, "Reach", f"a clear result shifts odds on the real target at most {most}-fold")
    said = f"at most {most}-fold on the real target, {absent}-fold if the effect is absent: worth running?"
    return own(look, "Reach", said, alarm=True)


def _differences(view: ApprovalView, look: Look) -> str:
    """What changed since the last decision, in one line; empty at a first gate."""
    if not view.previous_files:
        return ""
    plan = [f"plan: {', '.join(fields)}"] if (fields := plan_changes(view)) else []
    return "; ".join([*relabelled(view), *plan, changed(look, view.previous_files, view.files)])


def relabelled(view: ApprovalView) -> list[str]:
    """Assumptions whose status is another than at the last decision. None of them was tested by a run."""
    before = {a.id: a.status for a in view.previous_critique.assumptions} if view.previous_critique else {}
    return [
        f"{a.id} {before[a.id]} -> {a.status}{' (no evidence of it here)' if a.status == 'tested' else ''}"
        for a in view.critique.assumptions
        if a.id in before and before[a.id] != a.status
    ]


def _since(view: ApprovalView, look: Look, differences: str, items: int, lines: int) -> list[str]:
    rows = theirs(look, "Changed", differences, lines) if differences else []
    if seen := view.prediction.after_results:
        attempts = ", ".join(map(str, seen))
        text = f"the result of attempt {attempts}: a change since is exploratory, no change a second look"
        rows += own(look, "Seen", text, alarm=True)
    rows += known_rows(look, view.known, items)
    latest = [(line, "") for line in reversed(view.history)]
    return rows + several(look, "History", latest, items, 1)


def known_rows(look: Look, known: Sequence[str], items: int) -> list[str]:
    """What could have been seen in the project that this one was forked from."""
    if not known:
        return []
    rows = own(look, "Seen", f"{count(len(known), 'run')} of the project this was forked from:", alarm=True)
    return rows + several(look, "", [(line, "") for line in known], items, 1)


def plan_changes(view: ApprovalView) -> list[str]:
    """Names of the plan's parts that differ from the last version decided on, files apart."""
    before = view.previous_plan
    if before is None:
        return []
    fields = [name for name in PlanDraft.model_fields if getattr(before, name) != getattr(view.plan, name)]
    return [name.replace("_", " ") for name in fields]


def versions(view: ApprovalView) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Plan and files as they were at the last decision, and as they are."""
    before, after = dict(view.previous_files), dict(view.files)
    if view.previous_plan is not None:
        before[PLAN_FILE], after[PLAN_FILE] = plan_yaml(view.previous_plan), plan_yaml(view.plan)
    return before, after


# ------------------------------------------------------------------ sections


def approve_sections(view: ApprovalView, look: Look, *, forecasts_open: bool) -> list[Section]:
    """What can be opened. The forecasts stay shut until `forecasts_open`."""
    made = view.prediction
    forecasts = Section("5", "forecasts", lambda: forecasts_page(look, [*made.forecasts, *made.references]))
    if not forecasts_open:
        shut = "The author's forecasts open when you have given or skipped your own."
        forecasts = Section("5", "forecasts (locked)", lambda: [shut])
    past = [*view.known, *view.history]
    diff = Section("d", "diff", lambda: diff_page(look, *versions(view)))
    return [
        Section("1", "plan", lambda: _plan_page(view, look)),
        Section("2", "code", lambda: code_page(look, {**view.files, **view.lock})),
        Section("3", "critique", lambda: _critique_page(view, look)),
        Section("4", "findings", lambda: findings_page(look, all_findings(view), _counts_of(view))),
        forecasts,
        Section("6", "limits", lambda: _bundle_page(view, look)),
        *([Section("7", "history", lambda: history_page(look, past))] if past else []),
        *([Section("8", "tries", lambda: _tries_page(view, look))] if view.tries else []),
        *([diff] if view.previous_files else []),
    ]


def _plan_page(view: ApprovalView, look: Look) -> list[str]:
    plan, metric = view.plan, view.plan.metric
    rows = [*title(look, "Question"), *page(look, view.question), *title(look, "Hypotheses")]
    for h in plan.hypotheses:
        expects = f"expects {' or '.join(h.expects) or 'nothing'},{_refuted(h)[2:-1]}"
        rows += page(look, f"{h.id}: {h.statement}\n    {expects.replace(',', ', ')}")
    rows += [*title(look, "Arms"), *(r for a in plan.arms for r in page(look, f"{a.name}: {a.description}"))]
    rows += title(look, f"Measured: {contrast_name(plan)}, {plan.contrast.form}")
    rows += page(
        look, f"{metric.name} by formula {metric.formula}, unit {metric.unit}, better: {metric.better}"
    )
    rows += page(look, f"could be gamed: {metric.how_gamed}")
    for secondary in plan.secondary:
        rows += page(look, f"also, deciding nothing: {secondary.id}, {contrast_name(plan, secondary)}")
    rows += title(look, "What each outcome would mean")
    for row in plan.decision_table:
        rows += page(look, f"{row.outcome}: {row.conclusion}")
    rows += title(look, f"Rules: {count(plan.trials_per_arm, 'trial')} an arm")
    rows += page(look, f"stop: {plan.stopping_rule}\nexclude: {plan.exclusions}")
    rows += page(look, f"positive control: {plan.controls.positive}")
    rows += page(look, f"negative control: {plan.controls.negative}")
    for control in plan.controls.checks:
        rows += page(look, f"run as {control.role} control: {control.of}, expected {control.expected}")
    for name, text in plan.registration.model_dump().items():
        rows += page(look, f"{name.replace('_', ' ')}: {text}") if text else []
    if plan.command:
        rows += title(look, "Command, run once a trial") + page(look, "\n".join(plan.command))
    settings = [f"{name} = {value!r}" for name, value in sorted(plan.config.items())]
    return rows + (title(look, "Configuration") + page(look, "\n".join(settings)) if settings else [])


def _critique_page(view: ApprovalView, look: Look) -> list[str]:
    critique, card = view.critique, view.critique.proxy
    rows = title(look, "Assumptions") if critique.assumptions else []
    for a in critique.assumptions:
        rows += page(look, f"{a.status} {a.id}: {a.statement}\n    breaks if: {a.breaks_if}")
    rows += title(look, "Objections") if critique.objections else []
    for o in critique.objections:
        rows += page(look, f"{o.id}: {o.objection}\n    answer: {o.answer or 'none'}")
    rows += title(look, "What the experiment stands in for")
    if card is None:
        return [*rows, "No figures were given, so no claim may reach beyond the experiment."]
    rows += page(look, f"target: {card.target}\nproxy: {card.proxy}\nshared: {card.dynamic}")
    for difference in card.disanalogies:
        rows += page(look, f"differs: {difference}")
    rows += page(look, f"belief in it now: {card.prior:g}, from: {card.reference_class}")
    return rows + own(
        look,
        "",
        f"P(effect here | true of the target) = {card.p_given_target}, P(effect here | not) = "
        f"{card.p_given_not}: at best the odds shift {digits(card.ceiling)}-fold, and "
        f"{digits(card.ceiling_of_absence)}-fold if the effect is absent, however many seeds are run.",
    )


def forecasts_page(look: Look, forecasts: Iterable[Forecast]) -> list[str]:
    rows: list[str] = []
    for f in forecasts:
        rows += page(look, f"{f.forecaster}, {forecast_line(f)}")
        rows += page(look, f"best guess: {f.best_guess}") if f.best_guess else []
        rows += page(look, f.reasoning) if f.reasoning else []
    return rows


def _bundle_page(view: ApprovalView, look: Look) -> list[str]:
    bundle, isolation = view.bundle, view.bundle.isolation
    rows = title(look, "Your approval covers exactly this")
    rows += page(
        look, f"digest {digest_of(bundle)}\nproject {bundle.project}\nfollows commit {bundle.ledger_head}"
    )
    rows += page(look, f"plan {bundle.plan}\nprediction {bundle.prediction}\npreflight {bundle.preflight}")
    rows += title(look, "Files")
    for path, digest in sorted(bundle.files.items()):
        rows += page(look, f"{digest} {path}", words=False)
    rows += title(look, f"Isolation: {isolation.tier}")
    rows += page(
        look, f"image {isolation.image}\nengine {isolation.engine}\npolicy {isolation.policy_sha256}"
    )
    rows += page(look, f"harness {isolation.harness_sha256}")
    rows += title(look, "Data it may read") if bundle.inputs else []
    for name, digest in sorted(bundle.inputs.items()):
        rows += page(look, f"{digest} /data/{name}", words=False)
    rows += title(look, f"Limits of the whole run: {_limits(view)}")
    again = bundle.rechecks
    return rows + sentence(
        look,
        f"Also allowed, under this approval: {count(again.repeated_trials, 'trial')} repeated and "
        f"{count(again.fresh_seeds, 'fresh seed')}, to check the result.",
    )


def _tries_page(view: ApprovalView, look: Look) -> list[str]:
    rows: list[str] = []
    for number, one in enumerate(view.tries, start=1):
        rows += title(look, f"Try {number}, {one.started_at:%Y-%m-%d %H:%M} UTC: {one.outcome}")
        rows += page(look, one.crash) if one.crash else []
    return rows
