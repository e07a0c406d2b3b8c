"""What a project may cite: the texts and references that were taken in with its proposal."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydantic import JsonValue

from autoresearch.prompts import cut
from autoresearch.records import SOURCE_ID, Source

CITED_IN_TEXT = re.compile(rf"\[(?=[^\]\n]*@)[^\]\n]*\]|(?<![\w.])@\{{{SOURCE_ID}\}}")
_KEY = re.compile(rf"(?<![\w.])-?@\{{?({SOURCE_ID})")
MOST_OF_ONE = 20_000
"""Characters of one source that a prompt holds …"""
MOST_OF_ALL = 120_000
"""… and of all of them, as long as that leaves each …"""
LEAST_OF_ONE = 1_000


def cited_in(text: str) -> Iterator[str]:
    """Ids in Pandoc's notation: `[@id]`, `[see @id, p. 3; @other]`."""
    for bracket in CITED_IN_TEXT.finditer(text):
        for key in _KEY.finditer(bracket[0]):
            yield key[1].rstrip(".:/-")


_CITES = re.compile(r"(?:^|\.)cites\.\d+$")


def texts_in(where: str, value: JsonValue) -> Iterator[tuple[str, str]]:
    """Every text of a record's body as plain JSON, with where it stands: `claims.0.statement`."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if (where, key) != ("", "findings"):  # the rules' own words
                yield from texts_in(f"{where}.{key}".lstrip("."), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from texts_in(f"{where}.{index}".lstrip("."), inner)


def citations_in(value: JsonValue) -> Iterator[tuple[str, str, str]]:
    """(id, where, text): those in a list `cites`, and those in brackets in a text."""
    for where, text in texts_in("", value):
        for id_ in [text] if _CITES.search(where) else cited_in(text):
            yield id_, where, text


@dataclass(frozen=True)
class Library:
    """The sources of the proposal in force, with what was read of them."""

    sources: Sequence[Source]
    texts: Mapping[str, str]
    """Id → text, for those that have one."""
    proposal: str
    """The person's own words: what they name themselves, nobody else has invented."""

    @cached_property
    def by_id(self) -> dict[str, Source]:
        return {source.id: source for source in self.sources}

    @cached_property
    def known(self) -> str:
        """Everything that was read, in lower case, for looking up a name or a number in it."""
        references = [f"{source.id} {source.reference}" for source in self.sources]
        return "\n".join([*references, *self.texts.values(), self.proposal]).casefold()

    def items(self) -> list[dict[str, str]]:
        """What prompts show, each for a data block of its own."""
        most = max(LEAST_OF_ONE, min(MOST_OF_ONE, MOST_OF_ALL // max(len(self.texts), 1)))
        shown = [
            {"name": f"source {id_}", "text": f"{self.by_id[id_].reference}\n\n{cut(text, most)}"}
            for id_, text in sorted(self.texts.items())
        ]
        unread = [f"{s.id}: {s.reference}" for s in self.sources if s.text is None]
        if unread:
            text = cut("\n".join(sorted(unread)), MOST_OF_ONE)
            shown.append({"name": "references without a text", "text": text})
        return shown
