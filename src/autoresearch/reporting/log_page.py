"""The project's history for a terminal: machine steps folded, what people decided in full.

Newest last, as in a diary. `--full` gives every record its paragraph.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from autoresearch.budget import costs_of
from autoresearch.errors import InvalidInput
from autoresearch.ports import Entry
from autoresearch.records import (
    Acceptance,
    Approval,
    Check,
    Config,
    Critique,
    Fork,
    Monitoring,
    Preflight,
    Proposal,
    Report,
    Result,
    Run,
    body_as,
    clip,
    count,
)
from autoresearch.reporting.story import DECIDED, demonstration, verdicts
from autoresearch.reporting.terminal import Pen
from autoresearch.reporting.text import clock, day, duration, moment, to_precision_of, total_cost, tried
from autoresearch.reporting.totals import Totals, totals_of
from autoresearch.safe_text import cells
from autoresearch.signed import UNSIGNED

LABEL = 20
"""Columns of the step's name."""
MARGIN = 9
"""Columns before it, for the time."""
_STANDS_OUT = (Approval, Acceptance, Result, Check, Config, Fork, Report)
_KINDS_OF_GATE = {"approval": "APPROVE", "acceptance": "ACCEPT"}


def log_lines(
    history: Sequence[Entry], *, full: bool, width: int, color: bool, signing: Mapping[str, str] | None = None
) -> list[str]:
    """The page, about eight lines a cycle; with `full`, every record's paragraph.

    `history` may be a part of the project's; `signing` is `decisions.counting` the whole.
    """
    known = signing or {}
    pen = Pen(width, color)
    lines = [pen.warn("demonstration: no person decided anything here")] if demonstration(history) else []
    for cycle, group in groupby(history, key=lambda entry: entry.record.cycle):
        entries = list(group)
        lines += ["", *_cycle_head(cycle, entries, history, pen)]
        lines += _diary(entries, pen, known) if full else _folded(entries, pen, known)
    return lines if lines[0] else lines[1:]


def chosen(
    history: Sequence[Entry], *, step: str | None = None, cycle: int | None = None, by: str | None = None
) -> list[Entry]:
    """The records of a step or kind, of a cycle, by a person. Raises InvalidInput if there is none."""
    found = [
        entry
        for entry in history
        if step in (None, entry.record.step, entry.record.kind)
        and cycle in (None, entry.record.cycle)
        and (by is None or by.casefold() in str(entry.author).casefold())
    ]
    if found:
        return found
    known = {
        "step": dict.fromkeys(entry.record.step for entry in history),
        "cycle": dict.fromkeys(str(entry.record.cycle) for entry in history),
        "by": dict.fromkeys(entry.author.name for entry in history),
    }
    asked = {"step": step, "cycle": cycle, "by": by}
    named = ", ".join(f"--{name} {value}" for name, value in asked.items() if value is not None)
    there = "; ".join(
        f"{'author' if name == 'by' else name}{'s' if len(known[name]) > 1 else ''} {', '.join(known[name])}"
        for name, value in asked.items()
        if value is not None
    )
    raise InvalidInput(f"no record is of {named}; on record: {there}")


def total_lines(history: Sequence[Entry], *, width: int, color: bool) -> list[str]:
    """What the records took: each cycle where there are several, and all."""
    pen = Pen(width, color)
    lines = [
        *([(f"cycle {cycle}", totals) for cycle, totals in _by_cycle(history)]),
        ("total", totals_of(history)),
    ]
    lines = lines if len(lines) > 2 else lines[-1:]
    rows = [(f"{label:<{MARGIN}}", pen.block(totals.line(), indent=MARGIN)) for label, totals in lines]
    return [pen.soft(line) for label, (first, *rest) in rows for line in (label + first[MARGIN:], *rest)]


def log_page_json(history: Sequence[Entry]) -> dict[str, object]:
    """`records` as in `log_json`, and what they took, by cycle and in all."""
    cycles = [{"cycle": cycle, **totals.as_json()} for cycle, totals in _by_cycle(history)]
    return {"records": log_json(history), "totals": {"cycles": cycles, "all": totals_of(history).as_json()}}


def _by_cycle(history: Sequence[Entry]) -> list[tuple[int, Totals]]:
    """A fork's spending counts in the cycle that it stands in."""
    cycles = dict.fromkeys(entry.record.cycle for entry in history)
    return [(cycle, totals_of([e for e in history if e.record.cycle == cycle])) for cycle in cycles]


def log_json(history: Sequence[Entry]) -> list[dict[str, object]]:
    """One object a record, oldest first; its text is the record's own, not escaped."""
    return [_as_json(entry) for entry in history]


def _as_json(entry: Entry) -> dict[str, object]:
    record, made = entry.record, entry.record.made_by
    row: dict[str, object] = {
        "kind": record.kind, "step": record.step, "cycle": record.cycle, "attempt": record.attempt,
        "digest": entry.digest, "commit": entry.commit, "when": entry.when.isoformat(),
        "author": {"name": entry.author.name, "email": entry.author.email},
        "made_by": made.author, "model": made.model, "tokens": made.tokens.model_dump(), "cost_usd": made.cost_usd,
        "calls": made.calls, "model_seconds": made.seconds,
        "headline": record.body.headline(), "diary": record.body.diary(),
    }  # fmt: skip
    if isinstance(record.body, Approval | Acceptance):
        row |= {
            "decision": record.body.decision,
            "reviewer": record.body.reviewer.person.name,
            "is_person": record.body.reviewer.is_person,
            "reason": record.body.reason,
            "gate_seconds": record.body.attention.seconds,
        }
    if isinstance(record.body, Approval):
        row["tries"] = [one.outcome for one in record.body.tries]
    if isinstance(record.body, Result):
        row |= {"status": record.body.status, "experiment_seconds": record.body.facts.wall_seconds}
    if isinstance(record.body, Fork):
        row |= {
            "project": record.body.project,
            "from_project": record.body.from_project,
            "from_commit": record.body.from_commit,
            "reason": record.body.reason,
        }
    return row


def _cycle_head(cycle: int, entries: Sequence[Entry], history: Sequence[Entry], pen: Pen) -> list[str]:
    """The cycle, its title if the proposal is in `history`, and what it has cost."""
    proposals = [e for e in history if e.record.kind == "proposal" and e.record.cycle <= cycle]
    title = f": {clip(body_as(proposals[-1].record, Proposal).title, 200)}" if proposals else ""
    cost = total_cost(costs_of(entries))
    return [pen.strong(pen.line(f"cycle {cycle}{title} ({cost})"))]


# --------------------------------------------------------------------- folded


def _folded(entries: Sequence[Entry], pen: Pen, signing: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    attempt, date = 1, ""
    for folds, group in groupby(_without_told_runs(entries), key=_fold_key):
        members = list(group)
        if members[0].record.attempt != attempt:
            attempt = members[0].record.attempt
            lines.append(pen.soft(f"  attempt {attempt}"))
        if day(members[0].when) != date:
            date = day(members[0].when)
            lines.append(pen.soft(f"  {date}"))
        lines += [_fold(members, pen)] if folds[0] else _standing_out(members[0], pen, signing)
    return lines


def _without_told_runs(entries: Sequence[Entry]) -> list[Entry]:
    """Without the run records whose result has its own line."""
    ended = {entry.record.body.run for entry in entries if isinstance(entry.record.body, Result)}
    return [entry for entry in entries if entry.record.kind != "run" or entry.digest not in ended]


def _fold_key(entry: Entry) -> tuple[bool, object]:
    if isinstance(entry.record.body, (*_STANDS_OUT, Run)) or _blocking(entry):
        return False, entry.digest
    return True, entry.record.attempt


def _blocking(entry: Entry) -> int:
    """How many findings a person has to overrule before the work goes on."""
    body = entry.record.body
    found = body.findings if isinstance(body, Critique | Preflight | Check | Monitoring) else ()
    return sum(finding.severity == "block" for finding in found)


def _fold(entries: Sequence[Entry], pen: Pen) -> str:
    """`start … preflight    6 steps, 0.02 USD, 12 s`, the time from the first commit to the last."""
    first, last = entries[0].record.step, entries[-1].record.step
    names = {1: first, 2: f"{first}, {last}"}.get(len(entries), f"{first} … {last}")
    spent = (entries[-1].when - entries[0].when).total_seconds()
    cost = total_cost(costs_of(entries))
    if len(entries) == 1:
        text = f"{entries[0].record.body.headline()}, {cost}"
    else:
        text = f"{count(len(entries), 'step')}, {cost}, {duration(spent)}"
    return _row(entries[0], names, text, pen, soft=True)


def _row(entry: Entry, label: str, text: str, pen: Pen, *, soft: bool = False) -> str:
    left = f"  {clock(entry.when)}  {pen.columns(pen.line(label), LABEL)}"
    line = left + pen.line(text, cells(left)).lstrip()
    return pen.soft(line) if soft else line


def _standing_out(entry: Entry, pen: Pen, signing: Mapping[str, str]) -> list[str]:
    body = entry.record.body
    if isinstance(body, Approval | Acceptance):
        return _gate_lines(entry, body, pen) + _signing_lines(entry, pen, signing)
    label, text = entry.record.step, body.headline()
    paint: Callable[[str], str] = str
    if isinstance(body, Result):
        if body.status != "Completed":
            text, paint = f"{text}: {body.why}", pen.bad
        if body.refused:
            text += f"; {count(len(body.refused), 'output')} not taken"
    elif isinstance(body, Check):
        text, paint = _check_text(body, _blocking(entry)), pen.strong
    elif isinstance(body, Critique | Preflight | Monitoring):
        text, paint = f"{text}: {_first_block(body)}", pen.bad
    elif isinstance(body, Run):
        text, paint = f"{count(len(body.trials), 'trial')} started, no end on record", pen.warn
    elif isinstance(body, Config):
        label = "settings"
    elif isinstance(body, Fork):
        label, paint = "FORK", pen.warn
    reason = body.reason if isinstance(body, Fork) else ""
    return [
        paint(_row(entry, label, text, pen)),
        *_quoted(reason, pen),
        *_signing_lines(entry, pen, signing),
    ]


def _first_block(body: Critique | Preflight | Monitoring) -> str:
    return next(finding.explanation for finding in body.findings if finding.severity == "block")


def _quoted(reason: str, pen: Pen) -> list[str]:
    return pen.block(f"“{reason.strip()}”", indent=MARGIN + LABEL, most=2) if reason.strip() else []


def _signing_lines(entry: Entry, pen: Pen, signing: Mapping[str, str]) -> list[str]:
    """Nothing for an unsigned decision: `verify`, `status` and the report say that once for all."""
    said = signing.get(entry.digest, UNSIGNED)
    return [] if said == UNSIGNED else pen.block(said, indent=MARGIN + LABEL, most=3)


def _check_text(body: Check, blocking: int) -> str:
    c = body.contrast
    estimate, low, high = to_precision_of((c.high - c.low) / 2, c.estimate, c.low, c.high)
    forecast = {"expected": "as forecast", "explain": "surprising", "rerun": "very surprising"}
    deviations = f", {count(len(body.deviations), 'deviation')}" if body.deviations else ""
    blocks = f", {count(blocking, 'blocking finding')}" if blocking else ""
    return f"{c.outcome}: {estimate} [{low}, {high}], {forecast[body.surprise.verdict]}{deviations}{blocks}"


def _gate_lines(entry: Entry, body: Approval | Acceptance, pen: Pen) -> list[str]:
    """Who decided what, on a line of its own; why, in at most two more."""
    good = body.decision in ("approve", "accept", "follow-up")
    paint = pen.good if good else pen.bad if body.decision in ("reject", "terminate") else pen.warn
    name = body.reviewer.person.name
    who = name if body.reviewer.is_person or "not a person" in name else f"{name} (not a person)"
    text = f"{DECIDED[body.decision]} by {who}"
    if isinstance(body, Acceptance):
        text += f"; {verdicts(body)}"
    elif body.forecasts:
        text += f"; gave {count(len(body.forecasts), 'forecast')}"
    # A gate of a workflow's own keeps its own name.
    standard = entry.record.step in ("approve", "accept")
    label = _KINDS_OF_GATE[entry.record.kind] if standard else entry.record.step
    rows = [paint(_row(entry, label, text, pen))]
    if body.unread:
        rows += [pen.warn(line) for line in pen.block(body.unread, indent=MARGIN + LABEL)]
    if isinstance(body, Approval) and body.tries:
        paint = pen.soft if all(one.outcome == "ran" for one in body.tries) else pen.warn
        rows += [paint(line) for line in pen.block(tried(body), indent=MARGIN + LABEL)]
    return rows + _quoted(body.reason, pen)


# ---------------------------------------------------------------------- diary


def _diary(entries: Sequence[Entry], pen: Pen, signing: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    for entry in entries:
        record = entry.record
        head = f"{moment(entry.when)}, attempt {record.attempt}, {record.step}: {record.body.headline()}"
        lines += ["", _paint_head(entry, pen.line(head), pen)]
        lines += pen.block(record.body.diary(), indent=4) if record.body.diary().strip() else []
        lines += [pen.soft(line) for line in pen.block(_provenance(entry), indent=4)]
        lines += pen.block(signing[entry.digest], indent=4) if entry.digest in signing else []
    return lines


def _paint_head(entry: Entry, line: str, pen: Pen) -> str:
    body = entry.record.body
    if isinstance(body, Approval | Acceptance):
        return pen.good(line) if body.decision in ("approve", "accept", "follow-up") else pen.bad(line)
    failed = isinstance(body, Result) and body.status != "Completed"
    return pen.bad(line) if failed else pen.strong(line)


def _provenance(entry: Entry) -> str:
    made, record = entry.record.made_by, entry.record
    parts = [f"{record.kind} {entry.digest[:12]}", f"commit {entry.commit[:10]}", f"by {entry.author.name}"]
    if made.model not in ("rules", "human"):
        tokens = f"{made.tokens.input}/{made.tokens.cached}/{made.tokens.output} tokens"
        parts += [f"model {made.model}", tokens, total_cost([made.cost_usd])]
    return ", ".join(parts)
