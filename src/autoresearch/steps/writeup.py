"""The report, built from the accepted claims and from every result, failures included."""

from autoresearch.decisions import require_counting
from autoresearch.monitors.citations import citation_findings
from autoresearch.records import RULES, Report, file_ref
from autoresearch.replies import ReportReply
from autoresearch.reporting.report import ReportProse, build
from autoresearch.steps.ask import ask
from autoresearch.steps.situation import Draft, Situation, StepPorts


def inputs(at: Situation, *, by_model: bool) -> dict[str, str]:  # noqa: ARG001 - both read the acceptance
    return at.digests("acceptance")


def run(at: Situation, ports: StepPorts) -> Draft:
    require_counting(at.history)
    prose, made_by = None, RULES
    exchange: dict[str, bytes] = {}
    if ports.model is not None:
        reply, made_by, exchange = ask(at, ports, ReportReply)
        limits = [*reply.limitations, *_references_to_nothing(at, reply)]
        prose = ReportProse(reply.title, reply.abstract, reply.discussion, limits)
    pages = build(at.history, at.read, cycle=at.cycle, prose=prose)
    body = Report(
        title=prose.title if prose else at.proposal_body().title,
        pages=[file_ref(path, data) for path, data in sorted(pages.items())],
        covers=[entry.digest for entry in at.history],
    )
    return Draft(body, made_by, {**pages, **exchange})


def _references_to_nothing(at: Situation, reply: ReportReply) -> list[str]:
    """No gate comes after this prose, so what it invents is said beside it."""
    found = citation_findings("report", reply, at.library())
    return [f"Found by a rule in this text: {f.explanation}." for f in found if f.severity == "block"]
