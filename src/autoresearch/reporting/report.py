"""The report of one cycle, built at any point of a project from its records alone.

The same history gives the same bytes: there is no clock in here, times are those of
the commits. Nothing is left out for being a failure; every record has its line.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoresearch.ports import Entry
from autoresearch.records import Check, Plan, body_as
from autoresearch.reporting.markdown import Raw, fence, inline, quote
from autoresearch.reporting.report_results import all_forecasts
from autoresearch.reporting.report_view import view_of
from autoresearch.reporting.story import of_cycle, told

TEMPLATE = Path(__file__).with_name("report.md.j2")
Read = Callable[[Entry, str], bytes]


@dataclass(frozen=True)
class ReportProse:
    """What a model wrote for the report. It is shown as such, and no table depends on it."""

    title: str
    abstract: str
    discussion: str
    limitations: Sequence[str]


def build(
    history: Sequence[Entry], read: Read, *, cycle: int, prose: ReportProse | None = None
) -> dict[str, bytes]:
    """`report.md`, `report.html` and, once there is a check, `figures/result.svg`, `.png` and `.json`.

    `read` gives the bytes of a file that an entry vouches for, by its FileRef path.
    """
    from autoresearch.reporting.html import to_html

    found = told(of_cycle(history, cycle))
    text = markdown(history, read, cycle=cycle, prose=prose)
    pages = {"report.md": text.encode(), "report.html": to_html(text).encode()}
    if "check" not in found:
        return pages
    from autoresearch.reporting.figure import draw

    check, plan = body_as(found["check"].record, Check), body_as(found["plan"].record, Plan)
    return pages | draw(check, plan, all_forecasts(history, found))


def markdown(history: Sequence[Entry], read: Read, *, cycle: int, prose: ReportProse | None = None) -> str:
    """`report.md`, as text."""
    found = told(of_cycle(history, cycle))
    return render(view_of(history, read, cycle=cycle, found=found, prose=prose))


def render(view: dict[str, object]) -> str:
    """The Markdown page. A name that `view` lacks raises jinja2.UndefinedError."""
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        finalize=_safe,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - this page is Markdown; `finalize` does its escaping
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return _one_blank_line(template.render(view | {"quote": quote, "fence": fence}))


def _safe(value: object) -> object:
    """Escape what is not ours by default, so that forgetting it is harmless."""
    return value if isinstance(value, Raw | int) else inline(str(value))


def _one_blank_line(text: str) -> str:
    """Without runs of empty lines, except inside code blocks, where they are the log's own."""
    kept: list[str] = []
    inside = ""
    for line in text.split("\n"):
        mark = line.strip()
        if mark.startswith("```") and (not inside or mark == inside):
            inside = "" if inside else mark.rstrip("abcdefghijklmnopqrstuvwxyz")
        if inside or mark or (kept and kept[-1]):
            kept.append(line.rstrip() if not inside else line)
    return "\n".join(kept).rstrip("\n") + "\n"
