"""What a step is told of the cycles before its own: a bounded summary, by reference, never the history.

No forecast stands in it: a plan could be steered towards one.
"""

from collections.abc import Sequence

from autoresearch.ports import Entry
from autoresearch.records import Acceptance, Check, Conclusion, Kind, Plan, body_as, clip

IN_FULL = 4
"""Of the last cycles. Of those before, one line each stands."""
IN_LINES = 16


def earlier_cycles(history: Sequence[Entry], cycle: int) -> list[dict[str, str]]:
    """Name and text of what is told, oldest first. Empty in the first cycle."""
    first_full = max(1, cycle - IN_FULL)
    first_line = max(1, first_full - IN_LINES)
    told = [
        {"name": f"cycle {number}", "text": _in_full(history, number)} for number in range(first_full, cycle)
    ]
    if first_line == first_full:
        return told
    left_out = [f"{first_line - 1} before that are left out here"] if first_line > 1 else []
    lines = [_in_a_line(history, number) for number in range(first_line, first_full)]
    return [{"name": "cycles before", "text": "\n".join([*left_out, *lines])}, *told]


def _in_full(history: Sequence[Entry], cycle: int) -> str:
    found = {kind: _last(history, cycle, kind) for kind in ("plan", "check", "conclusion", "acceptance")}
    lines: list[str] = []
    if found["plan"]:
        lines.append(f"question: {body_as(found['plan'].record, Plan).question}")
    if found["check"]:
        lines.append(f"result: {_result(body_as(found['check'].record, Check))}")
    if found["conclusion"]:
        lines += _claims(body_as(found["conclusion"].record, Conclusion), _verdicts(found["acceptance"]))
    attempts = len({e.record.attempt for e in history if e.record.cycle == cycle})
    references = ", ".join(f"{kind}@sha256:{entry.digest[:12]}" for kind, entry in found.items() if entry)
    return "\n".join([*lines, f"attempts: {attempts}; records: {references}"])


def _claims(conclusion: Conclusion, verdicts: dict[str, str]) -> list[str]:
    claims = [
        f"claim {claim.id}, {verdicts.get(claim.id, 'not decided')}, {claim.about}, grade {claim.evidence}, "
        f"belief {claim.p_before:.2f} to {claim.p_after:.2f}: {clip(claim.statement, 200)}"
        for claim in conclusion.claims[:6]
    ]
    more = len(conclusion.claims) - len(claims)
    rest = [f"and {more} more claims"] if more else []
    return [*claims, *rest, f"takeaway: {clip(conclusion.takeaway, 200)}"]


def _in_a_line(history: Sequence[Entry], cycle: int) -> str:
    check, conclusion = _last(history, cycle, "check"), _last(history, cycle, "conclusion")
    result = _result(body_as(check.record, Check)) if check else "no result"
    takeaway = clip(body_as(conclusion.record, Conclusion).takeaway, 120) if conclusion else "no conclusion"
    return f"cycle {cycle}: {result}; {takeaway}"


def _result(check: Check) -> str:
    c = check.contrast
    return f"{c.outcome}, {c.estimate:.3g} [{c.low:.3g}, {c.high:.3g}]"


def _verdicts(acceptance: Entry | None) -> dict[str, str]:
    if acceptance is None:
        return {}
    words = {"accept": "accepted", "downgrade": "downgraded", "reject": "rejected"}
    decided = body_as(acceptance.record, Acceptance).claims
    return {claim: words[verdict] for claim, verdict in decided.items()}


def _last(history: Sequence[Entry], cycle: int, kind: Kind) -> Entry | None:
    of_kind = (e for e in reversed(history) if (e.record.cycle, e.record.kind) == (cycle, kind))
    return next(of_kind, None)
