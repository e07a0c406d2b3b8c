"""Numbers, dates and costs as people read them."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from autoresearch.records import Acceptance, Approval

MINUS = "\N{MINUS SIGN}"
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December",
)  # fmt: skip


def moment(when: datetime) -> str:
    """`2026-03-01 14:05`, in UTC."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def clock(when: datetime) -> str:
    """`14:05`, in UTC."""
    return when.astimezone(UTC).strftime("%H:%M")


def day(when: datetime) -> str:
    """`1 March 2026`, in UTC; not by the machine's locale, so that a page is the same everywhere."""
    utc = when.astimezone(UTC)
    return f"{utc.day} {MONTHS[utc.month - 1]} {utc.year}"


def number(value: float, digits: int = 3) -> str:
    """`digits` significant digits, without an exponent between 0.0001 and 10 million."""
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if not -5 < size < 7:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    return _fixed(value, max(digits - 1 - size, 0))


def given(value: float) -> str:
    """A number that somebody stated, as they stated it."""
    return f"{value:.6g}".replace("-", MINUS)


def to_precision_of(width: float, *values: float) -> list[str]:
    """`values` to the decimal place that two digits of `width` reach: more would be noise."""
    if not width > 0 or not -5 < (size := math.floor(math.log10(width))) < 7:
        return [number(value, 4) for value in values]
    return [_fixed(value, max(1 - size, 0)) for value in values]


def _fixed(value: float, places: int) -> str:
    text = f"{value:.{places}f}"
    return text.replace("-", MINUS) if float(text) else text.removeprefix("-")


def percent(p: float) -> str:
    """A belief: whole percents, but never 0 % or 100 % for what is neither."""
    if 0 < p < 0.005 or 0.995 <= p < 1:
        return f"{100 * p:.2g} %" if p < 0.5 else f"{math.floor(1000 * p) / 10:g} %"
    return f"{100 * p:.0f} %"


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def attention(body: Approval | Acceptance) -> str:
    """`after 4 min; opened plan, code (not to its end)`."""
    seen = body.attention
    opened = [n if n in seen.sections_read else f"{n} (not to its end)" for n in seen.sections_opened]
    return f"after {duration(seen.seconds)}; opened {', '.join(opened) or 'nothing beyond the first screen'}"


def tried(body: Approval) -> str:
    """`Tried 2 times before the decision: ran, crashed`."""
    times = "once" if len(body.tries) == 1 else f"{len(body.tries)} times"
    return f"Tried {times} before the decision: {', '.join(one.outcome for one in body.tries)}"


def total_cost(costs: Iterable[str]) -> str:
    """`0.42 USD`, and whether a part of it is not known."""
    known, unknown = Decimal(0), False
    for cost in costs:
        unknown |= cost == "unknown"
        known += Decimal(0) if cost == "unknown" else Decimal(cost)
    amount = f"{known:.4f}".rstrip("0").rstrip(".") if known < 1 else f"{known:.2f}"
    if 0 < known < Decimal("0.0001"):
        amount = "less than 0.0001"
    if unknown:
        return "unknown" if known == 0 else f"{amount} USD and an unknown part"
    return f"{amount} USD"
