"""The appendices: what happened in each attempt, and every record with its provenance."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autoresearch.ports import Entry
from autoresearch.records import Acceptance, Approval, Kind, Plan, PlanDraft, Result, count
from autoresearch.reporting.markdown import Raw, code, inline
from autoresearch.reporting.text import attention, duration, moment, tried

Read = Callable[[Entry, str], bytes]
LOG_LINES, LOG_CHARACTERS = 15, 4_000
"""How much of a failed run's log is shown: its end, where the error stands."""
_GATES: tuple[Kind, ...] = ("approval", "acceptance", "result")


def attempts_view(
    entries: Sequence[Entry], found: Mapping[Kind, Entry], read: Read, signing: Mapping[str, str]
) -> list[dict[str, Any]]:
    """All records of the cycle by attempt; what the report does not tell elsewhere, with its text.

    `signing` is `decisions.counting` the project.
    """
    elsewhere = {entry.digest for kind, entry in found.items() if kind not in _GATES}
    plans = _plans_before(entries)
    numbers = sorted({entry.record.attempt for entry in entries})
    return [
        {
            "number": number,
            "listed": [
                _item(entry, read, signing, brief=entry.digest in elsewhere, before=before)
                for entry, before in zip(entries, plans, strict=True)
                if entry.record.attempt == number
            ],
        }
        for number in numbers
    ]


def _plans_before(entries: Sequence[Entry]) -> list[Plan | None]:
    """For every entry, the cycle's plan that stood before it."""
    before: list[Plan | None] = []
    standing: Plan | None = None
    for entry in entries:
        before.append(standing)
        standing = entry.record.body if isinstance(entry.record.body, Plan) else standing
    return before


def _item(
    entry: Entry, read: Read, signing: Mapping[str, str], *, brief: bool, before: Plan | None
) -> dict[str, Any]:
    body = entry.record.body
    failed = isinstance(body, Result) and body.status != "Completed"
    return {
        "when": moment(entry.when),
        "kind": entry.record.kind,
        "headline": body.headline(),
        "who": _by_hand(entry),
        "notes": _notes(entry, before, signing),
        "text": _text(entry, brief=brief),
        "log": log_tail(entry, read) if failed else "",
    }


def _by_hand(entry: Entry) -> Raw:
    """Whose own work a record is; decisions name their person anyway."""
    by_person = entry.record.made_by.author == "person"
    if not by_person or isinstance(entry.record.body, Approval | Acceptance):
        return Raw()
    return Raw(f" (by {inline(entry.author.name)})")


def _text(entry: Entry, *, brief: bool) -> str:
    body = entry.record.body
    if isinstance(body, Approval | Acceptance):
        return body.reason
    return "" if brief else body.diary()


def _notes(entry: Entry, before: Plan | None, signing: Mapping[str, str]) -> list[str]:
    body = entry.record.body
    if isinstance(body, Plan) and before is not None:
        return [f"Changed since the plan before: {', '.join(plan_changes(before, body)) or 'nothing'}."]
    if isinstance(body, Approval | Acceptance):
        return [
            _attention(body),
            *([f"{tried(body)}."] if isinstance(body, Approval) and body.tries else []),
            f"{_sentence(signing[entry.digest])}.",
            *(_edit(body, before) if isinstance(body, Approval) else []),
        ]
    if isinstance(body, Result):
        return [_facts(body), *_left_out(body)]
    return []


def _sentence(text: str) -> str:
    return inline(text[0].upper() + text[1:])


def _attention(body: Approval | Acceptance) -> str:
    said = f"Decided on {body.shown[:8]} {attention(body)}."
    if isinstance(body, Approval) and body.forecasts:
        said += f" Gave {count(len(body.forecasts), 'forecast')} first."
    return f"{said} {body.unread}".rstrip()


def _edit(body: Approval, before: Plan | None) -> list[str]:
    """What a person's edit changed of what was shown; the next attempt's plan is made of it."""
    if body.edited is None:
        return []
    fields = plan_changes(before, body.edited) if before else []
    after = {ref.path.removeprefix("edited/"): ref.sha256 for ref in body.edited_files}
    files = [path for path, digest in after.items() if body.bundle.files.get(path) != digest]
    gone = [f"{path} taken away" for path in body.bundle.files if path not in after]
    parts = [*([f"the plan ({', '.join(fields)})"] if fields else []), *files, *gone]
    return [f"Edited by hand: {', '.join(parts) or 'nothing differs'}."]


def plan_changes(before: PlanDraft, after: PlanDraft) -> list[str]:
    """Names of the plan's parts that differ and that both have, e.g. `trials per arm`."""
    fields = [
        name
        for name in type(after).model_fields
        if name in type(before).model_fields and getattr(before, name) != getattr(after, name)
    ]
    return [name.replace("_", " ") for name in fields]


def _facts(body: Result) -> str:
    f = body.facts
    parts = [f"isolation {body.isolation.tier}"]
    if f.wall_seconds is not None:
        parts.append(f"{duration(f.wall_seconds)} on the clock")
    if f.cpu_seconds is not None:
        parts.append(f"{duration(f.cpu_seconds)} of CPU")
    if f.peak_memory_mb is not None:
        parts.append(f"{f.peak_memory_mb:.0f} MB at most")
    if f.exit_code is not None:
        parts.append(f"exit code {f.exit_code}")
    return f"Measured from outside: {', '.join(parts)}."


def _left_out(body: Result) -> list[str]:
    """Outputs that are not in the commits, and why."""
    large = [f"{ref.path} ({ref.sha256[:12]})" for ref in body.files() if not ref.committed]
    kept = f"Too large for the commits, kept by digest: {', '.join(large)}."
    refused = f"Outputs not taken: {'; '.join(body.refused)}."
    return [*([kept] if large else []), *([refused] if body.refused else [])]


def log_tail(entry: Entry, read: Read) -> str:
    """The end of what the run printed; empty if nothing was kept in the commit."""
    body = entry.record.body
    if not isinstance(body, Result) or body.log is None or not body.log.committed:
        return ""
    text = read(entry, body.log.path).decode("utf-8", "surrogateescape").rstrip()
    return "\n".join(text[-LOG_CHARACTERS:].split("\n")[-LOG_LINES:])


def record_rows(history: Sequence[Entry]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for entry in history:
        record, made = entry.record, entry.record.made_by
        tokens = made.tokens
        rows.append(
            {
                "kind": record.kind,
                "place": Raw(f"{record.cycle}.{record.attempt}"),
                "digest": code(entry.digest[:12]),
                "commit": code(entry.commit[:10]),
                "when": moment(entry.when),
                "who": entry.author.name,
                "model": made.model,
                "tokens": "–" if not (tokens.input or tokens.output) else f"{tokens.input}/{tokens.cached}/{tokens.output}",
                "cost": "–" if made.cost_usd == "0" else made.cost_usd,
            }
        )  # fmt: skip
    return rows
