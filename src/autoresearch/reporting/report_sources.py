"""The report's bibliography: what the records that it tells cite, and what that is."""

from collections.abc import Mapping

from pydantic import JsonValue

from autoresearch.ports import Entry
from autoresearch.records import Conclusion, Kind, Proposal, Source
from autoresearch.reporting.markdown import code
from autoresearch.sources import citations_in

CITING: tuple[Kind, ...] = ("proposal", "ideas", "critique", "plan", "prediction", "conclusion")
_TAKEN_IN = {
    "pdf": "text of a PDF",
    "text": "text",
    "reference": "reference alone, its text was not read",
}


def sources_view(proposal: Proposal, found: Mapping[Kind, Entry]) -> list[dict[str, object]]:
    """A row for every id that is cited, in their order; also for one that no source has."""
    known = {source.id: source for source in proposal.sources}
    cited: dict[str, list[str]] = {}
    bodies = {"proposal": proposal, **{kind: found[kind].record.body for kind in CITING if kind in found}}
    for kind, body in bodies.items():
        claims = [claim.id for claim in body.claims] if isinstance(body, Conclusion) else []
        written: dict[str, JsonValue] = (
            {"text": body.text} if isinstance(body, Proposal) else body.model_dump(mode="json")
        )
        for id_, where, _ in citations_in(written):
            by = _by(kind, where, claims)
            if by not in cited.setdefault(id_, []):
                cited[id_].append(by)
    return [_row(id_, known.get(id_), by) for id_, by in sorted(cited.items())]


def _by(kind: str, where: str, claims: list[str]) -> str:
    field, _, rest = where.partition(".")
    number = rest.partition(".")[0]
    return f"claim {claims[int(number)]}" if claims and field == "claims" and number.isdecimal() else kind


def _row(id_: str, source: Source | None, by: list[str]) -> dict[str, object]:
    if source is None:
        return {
            "id": id_,
            "what": "leads to no source of this project",
            "form": "–",
            "sha256": "–",
            "by": ", ".join(by),
        }
    return {
        "id": id_,
        "what": source.reference,
        "form": f"{_TAKEN_IN[source.original]}, {source.path}",
        "sha256": code(source.sha256[:12]),
        "by": ", ".join(by),
    }
