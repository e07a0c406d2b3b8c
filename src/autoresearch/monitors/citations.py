"""What a record cites, looked up in the sources of its project.

A key, a DOI or an arXiv number can be looked up, so one that leads nowhere blocks. A name with a
year is only words that look like a reference: it warns.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydantic import BaseModel, JsonValue

from autoresearch.monitors.rule import Note, Rule, run_rules
from autoresearch.records import Finding, Kind, Severity
from autoresearch.sources import Library, citations_in, texts_in

_DOI = re.compile(r"(?:\bdoi:\s*|\bdoi\.org/|(?<![\w./]))(10\.\d{4,9}/[^\s\"<>\[\]{}|\\]{3,})", re.IGNORECASE)
_ARXIV = re.compile(
    r"\barxiv(?:[:\s]\s*|\.org/(?:abs|pdf|html)/)(\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})", re.IGNORECASE
)
_DOI_ENDS = r"(?!\w|[./-]\w)"
_ARXIV_ENDS = r"(?:v\d+)?(?!\w)"
_NAME = r"([A-Z][\w'’-]+)"
_AUTHOR_AND_YEAR = re.compile(
    rf"{_NAME}(?: et al\.?|(?: (?:and|&) [A-Z][\w'’-]+))(?:,)? \(?(?:19|20)\d\d"
    rf"|{_NAME} \((?:19|20)\d\d[a-z]?\)|\({_NAME}, (?:19|20)\d\d[a-z]?[;)]"
)


@dataclass(frozen=True)
class CitationInputs:
    written: JsonValue
    """A record's body as plain JSON, or a text."""
    library: Library
    unresolved: Severity
    """How grave it is that a reference leads nowhere."""

    @cached_property
    def texts(self) -> list[tuple[str, str]]:
        """Every text in it, with where it stands."""
        return list(texts_in("", self.written))

    def cited(self) -> Iterator[tuple[str, str, str]]:
        """(id, where, the text round it)."""
        for id_, where, text in citations_in(self.written):
            yield id_, where, _round(id_, text)


def _round(what: str, text: str) -> str:
    """The text round a reference: a field can be long."""
    at = max(text.find(what), 0)
    return text[max(at - 200, 0) : at + len(what) + 200]


def _unresolved(given: CitationInputs) -> Iterator[Note]:
    """A key, DOI or arXiv number that no source of the project has."""
    seen: set[str] = set()

    def note(what: str, where: str, text: str) -> Iterator[Note]:
        if what not in seen:
            seen.add(what)
            said = (
                f"{what} leads to no source of this project{_at(where)}: take it out, or bring the source in"
            )
            yield Note(given.unresolved, said, text)

    for id_, where, text in given.cited():
        if id_ not in given.library.by_id:
            yield from note(f"[@{id_}]", where, text)
    for where, text in given.texts:
        for doi in (match[1].rstrip(".,;:)'’") for match in _DOI.finditer(text)):
            if not _stands(doi, given.library.known, _DOI_ENDS):
                yield from note(f"doi:{doi}", where, _round(doi, text))
        for number in (match[1] for match in _ARXIV.finditer(text)):
            if not _stands(number, given.library.known, _ARXIV_ENDS):
                yield from note(f"arXiv:{number}", where, _round(number, text))


def _unread(given: CitationInputs) -> Iterator[Note]:
    """A reference without a text: it exists, and nobody here has read it."""
    seen: set[str] = set()
    for id_, where, text in given.cited():
        source = given.library.by_id.get(id_)
        if source is not None and source.text is None and id_ not in seen:
            seen.add(id_)
            yield Note(
                "warn", f"[@{id_}] is known by its reference alone, its text was not read{_at(where)}", text
            )


def _named(given: CitationInputs) -> Iterator[Note]:
    """An author with a year, of whom no source of the project speaks."""
    seen: set[str] = set()
    for where, text in given.texts:
        for match in _AUTHOR_AND_YEAR.finditer(text):
            name = next(filter(None, match.groups()))
            if name not in seen and not _stands(name, given.library.known):
                seen.add(name)
                said = f"`{match[0]}` reads like a reference, and no source of this project names {name}{_at(where)}"
                yield Note("warn", said, _round(match[0], text))


def _stands(what: str, known: str, ends: str = r"(?!\w)") -> bool:
    """As a whole: a DOI that is cut off is another one."""
    return re.search(rf"(?<!\w){re.escape(what.casefold())}{ends}", known) is not None


def _at(where: str) -> str:
    return f" ({where})" if where else ""


def _rules(kind: Kind) -> Sequence[Rule[CitationInputs]]:
    return (
        Rule(f"{kind}.citation-unresolved", kind, _unresolved),
        Rule(f"{kind}.citation-unread", kind, _unread),
        Rule(f"{kind}.reference-without-source", kind, _named),
    )


def citation_rule_names(kind: Kind) -> list[str]:
    return [rule.name for rule in _rules(kind)]


def citation_findings(kind: Kind, body: BaseModel, library: Library) -> list[Finding]:
    """What is wrong with the references of a record."""
    written = body.model_dump(mode="json")
    return run_rules(_rules(kind), CitationInputs(written, library, unresolved="block"))


def proposal_findings(library: Library) -> list[Finding]:
    """What the person cites and did not bring: for them to mend, and no claim yet."""
    unresolved, unread, _ = _rules("proposal")
    given = CitationInputs(library.proposal, library, unresolved="warn")
    return run_rules((unresolved, unread), given)
