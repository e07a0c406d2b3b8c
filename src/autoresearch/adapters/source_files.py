"""The person's `sources/`: texts, PDFs and .bib files, read once and turned into text.

The directory is flat and holds regular files only; nothing is followed. Names that begin with a dot
are left out. Originals stay where they are: the project keeps their digest and their text.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autoresearch.adapters.source_worker import Entry, entries_of_bib, text_of_pdf
from autoresearch.errors import InvalidInput
from autoresearch.layout import SOURCES_DIR
from autoresearch.records import Source, clip, file_ref, sha256

MOST_FILES = 100
LARGEST_FILE = 30_000_000
LARGEST_TEXT = 1_000_000
LARGEST_BIB = 2_000_000
"""Bytes, each of them."""
MOST_SOURCES = 500
TEXTS = (".md", ".markdown", ".txt")


@dataclass(frozen=True)
class TakenIn:
    sources: list[Source] = field(default_factory=list)
    texts: Mapping[str, bytes] = field(default_factory=dict)
    """By the path of `Source.text`."""


def read_sources(folder: Path, before: Sequence[Source] = ()) -> TakenIn:
    """What lies in `folder`, over what was taken in `before`: originals need not be kept for ever.

    The texts are those of what lies there now. Raises InvalidInput naming the file.
    """
    found: dict[str, Source] = {}
    texts: dict[str, bytes] = {}
    references: dict[str, Source] = {}
    for name, data in _files(folder):
        place = f"{SOURCES_DIR}/{name}"
        if name.lower().endswith(".bib"):
            for entry in entries_of_bib(_at_most(data, LARGEST_BIB, place), place):
                _once(references, _reference(entry, name, data), place)
        else:
            source, text = _text(name, data)
            _once(found, source, place)
            texts[source.text.path if source.text else ""] = text
    merged = {**{source.id: source for source in before}, **_matched(found, references)}
    if len(merged) > MOST_SOURCES:
        raise InvalidInput(f"{SOURCES_DIR}/ names {len(merged)} sources; at most {MOST_SOURCES} are taken in")
    kept = [merged[id_] for id_ in sorted(merged)]
    wanted = {source.text.path for source in kept if source.text}
    return TakenIn(kept, {path: text for path, text in texts.items() if path in wanted})


def _matched(found: Mapping[str, Source], references: Mapping[str, Source]) -> dict[str, Source]:
    """A file named for a key is that entry's text."""
    named = {_plain(key): key for key in references}
    matched = dict(references)
    for id_, source in found.items():
        key = id_ if id_ in references else named.get(id_)
        if key is None:
            matched[id_] = source
        else:
            matched[key] = source.model_copy(update={"id": key, "reference": references[key].reference})
    return matched


def _once(known: dict[str, Source], new: Source, place: str) -> None:
    # Without regard to case: their texts are files, and some file systems know no case.
    for old in known.values():
        if old.id.casefold() == new.id.casefold():
            raise InvalidInput(
                f"{place}: {new.id} stands in {SOURCES_DIR}/{old.path}, too; rename or remove one"
            )
    known[new.id] = new


def _reference(entry: Entry, name: str, data: bytes) -> Source:
    return Source(
        id=entry.key, reference=entry.reference, original="reference", path=name,
        sha256=sha256(data), size=len(data),
    )  # fmt: skip


def _text(name: str, data: bytes) -> tuple[Source, bytes]:
    stem, dot, ending = name.rpartition(".")
    kind = f"{dot}{ending}".lower()
    place = f"{SOURCES_DIR}/{name}"
    if kind == ".pdf":
        text = text_of_pdf(data, place)
    elif kind in TEXTS:
        text = _decoded(_at_most(data, LARGEST_TEXT, place), place)
    else:
        raise InvalidInput(f"{place} is none of {', '.join(TEXTS)}, .pdf and .bib; move it elsewhere")
    id_ = _plain(stem)
    if not id_:
        raise InvalidInput(f"{place} has no letter or digit in its name that it could be cited by; rename it")
    stored = text.replace("\r\n", "\n").encode("utf-8", "replace")
    source = Source(
        id=id_, reference=clip(name, 500), original="pdf" if kind == ".pdf" else "text", path=name,
        sha256=sha256(data), size=len(data), text=file_ref(f"{SOURCES_DIR}/{id_}.txt", stored),
    )  # fmt: skip
    return source, stored


def _decoded(data: bytes, place: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{place} is not UTF-8: byte {error.start}") from error
    if not text.strip():
        raise InvalidInput(f"{place} is empty")
    return text


def _plain(name: str) -> str:
    """What can stand in `[@…]` and as a file's name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:100].strip("-.")


def _at_most(data: bytes, most: int, place: str) -> bytes:
    if len(data) > most:
        raise InvalidInput(f"{place} has {len(data)} bytes; at most {most} of such a file are read")
    return data


# ------------------------------------------------------------------ the files


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each, in order of their names; nothing where there is no directory."""
    if not os.path.lexists(folder):
        return
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise InvalidInput(
            f"{folder} is to hold the reading material and is no directory (links are not followed)"
        ) from error
    try:
        names = sorted(name for name in os.listdir(directory) if not name.startswith("."))  # noqa: PTH208 - of the very directory that was opened
        if len(names) > MOST_FILES:
            raise InvalidInput(f"{folder} holds {len(names)} files; at most {MOST_FILES} are taken in")
        for name in names:
            yield name, _read(directory, name)
    finally:
        os.close(directory)


def _read(directory: int, name: str) -> bytes:
    """The bytes of a regular file, not more than may be. Not a pipe, a link or a device."""
    place = f"{SOURCES_DIR}/{clip(ascii(name)[1:-1], 200)}"
    try:
        # Without waiting: opening a pipe that nobody writes to would.
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except OSError as error:
        why = "a link, and links are not followed" if _is_link(directory, name) else error.strerror
        raise InvalidInput(f"{place} cannot be taken in: {why}") from error
    try:
        size = _size(os.fstat(handle), place)
        with open(handle, "rb", closefd=False) as file:
            # One more than may be: it can have grown since.
            data = file.read(LARGEST_FILE + 1) if size <= LARGEST_FILE else b""
    finally:
        os.close(handle)
    if max(len(data), size) > LARGEST_FILE:
        raise InvalidInput(f"{place} has more than {LARGEST_FILE // 10**6} MB; put its text there as .txt")
    return data


def _size(status: os.stat_result, place: str) -> int:
    if stat.S_ISDIR(status.st_mode):
        raise InvalidInput(f"{place} is a directory; put its files into {SOURCES_DIR}/ itself")
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInput(f"{place} is no regular file")
    return status.st_size


def _is_link(directory: int, name: str) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
