"""The text of a PDF and the entries of a .bib file, read in a process apart.

Both formats come from elsewhere, and both libraries can be made to work for long or to take much
memory. So they run under limits, with no key in their environment:

    python -I -m autoresearch.adapters.source_worker {pdf,bib}

reads the file from standard input and writes one JSON reply. `text_of_pdf` and `entries_of_bib`
are the supervisor's side.
"""

import io
import json
import os
import re
import resource
import subprocess
import sys
from typing import Any

from pydantic import ValidationError

from autoresearch.errors import AutoresearchError, InvalidInput
from autoresearch.records import SOURCE_ID, Frozen, clip, first_problem

SECONDS = 60
MEMORY = 2**30
"""Bytes of address space."""
MOST_PAGES = 500
MOST_CHARACTERS = 1_000_000
"""Of a PDF's text."""
MOST_ENTRIES = 500
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")


class Entry(Frozen):
    """One entry of a .bib file."""

    key: str
    reference: str
    """Authors, year, title, where, DOI and arXiv number, as far as they are given, in one line."""


class _Reply(Frozen):
    error: str | None = None
    """Set: the file is not what it must be."""
    text: str = ""
    entries: tuple[Entry, ...] = ()


# ----------------------------------------------------------- in the supervisor


def text_of_pdf(data: bytes, name: str, seconds: int = SECONDS) -> str:
    """Raises InvalidInput naming the file if it holds no text that can be had within the limits."""
    return _ask("pdf", data, name, seconds).text


def entries_of_bib(data: bytes, name: str, seconds: int = SECONDS) -> tuple[Entry, ...]:
    """Raises InvalidInput naming the file and the line of the first thing that is no entry."""
    return _ask("bib", data, name, seconds).entries


def _ask(form: str, data: bytes, name: str, seconds: int) -> _Reply:
    instead = "put its text there as .txt instead" if form == "pdf" else "shorten it"
    command = [sys.executable, "-I", "-m", "autoresearch.adapters.source_worker", form]
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=seconds, env=environment, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidInput(f"{name} could not be read within {seconds} s; {instead}") from error
    if done.returncode < 0:  # by a limit of its own
        raise InvalidInput(f"{name} takes more time or memory to read than it may; {instead}")
    try:
        reply = _Reply.model_validate_json(done.stdout)
    except ValidationError as error:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        why = clip(last[0], 300) if last else first_problem(error)
        raise AutoresearchError(f"the process that reads {name} gave no usable reply: {why}") from error
    if reply.error is not None:
        raise InvalidInput(f"{name} {reply.error}")
    return reply


# --------------------------------------------------------------- in the worker


def main() -> None:
    """One file in, one reply out."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    data = sys.stdin.buffer.read()
    try:
        reply = _Reply(text=_pdf(data)) if sys.argv[1] == "pdf" else _Reply(entries=_bib(data))
    except InvalidInput as error:
        reply = _Reply(error=str(error))
    except MemoryError:
        reply = _Reply(error=f"takes more than {MEMORY // 2**20} MB to read")
    sys.stdout.write(json.dumps(reply.model_dump()))


def _pdf(data: bytes) -> str:
    import logging

    logging.disable()  # it warns of what readers commonly put up with
    try:
        text = _text(data)
    except (InvalidInput, MemoryError):
        raise
    except Exception as error:  # whatever a broken file makes the library raise
        said = clip(str(error), 200) or type(error).__name__
        raise InvalidInput(f"cannot be read as PDF: {said}; put its text there as .txt instead") from error
    if not text.strip():
        raise InvalidInput("holds no text (a scan?): put its text there as .txt instead")
    return text


def _text(data: bytes) -> str:
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted:
        raise InvalidInput("is encrypted: save it without a password, or put its text there as .txt")
    if len(reader.pages) > MOST_PAGES:
        raise InvalidInput(f"has {len(reader.pages)} pages; at most {MOST_PAGES} are read")
    text = ""
    for page in reader.pages:
        text += page.extract_text() + "\n\n"
        if len(text) > MOST_CHARACTERS:
            raise InvalidInput(f"holds more than {MOST_CHARACTERS} characters; put a part there as .txt")
    return text


def _bib(data: bytes) -> tuple[Entry, ...]:
    from bibtexparser.entrypoint import parse_string
    from bibtexparser.middlewares import LatexDecodingMiddleware
    from bibtexparser.model import DuplicateBlockKeyBlock

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"is not UTF-8: byte {error.start}") from error
    try:
        library = parse_string(text, append_middleware=[LatexDecodingMiddleware()])
    except RecursionError as error:
        raise InvalidInput("is nested too deeply") from error
    for block in library.failed_blocks:
        line = (block.start_line or 0) + 1
        if isinstance(block, DuplicateBlockKeyBlock):
            raise InvalidInput(f"line {line}: the key {clip(str(block.key), 100)} stands twice")
        why = clip(str(block.error), 200)
        raise InvalidInput(f"line {line}: cannot be read as an entry: {why}")
    if len(library.entries) > MOST_ENTRIES:
        raise InvalidInput(f"has {len(library.entries)} entries; at most {MOST_ENTRIES} are read")
    return tuple(_entry(entry) for entry in library.entries)


def _entry(entry: Any) -> Entry:
    if not re.fullmatch(SOURCE_ID, entry.key):
        raise InvalidInput(
            f"line {(entry.start_line or 0) + 1}: the key {clip(ascii(entry.key), 120)} cannot be cited: letters without"
            " accents, digits and _ . : / - are allowed, at most 100"
        )
    fields = {field.key.lower(): " ".join(str(field.value).split()) for field in entry.fields}
    where = next((fields[name] for name in ("journal", "booktitle", "publisher") if fields.get(name)), "")
    arxiv = fields.get("eprint", "") if fields.get("archiveprefix", "arxiv").lower() == "arxiv" else ""
    who = fields.get("author") or fields.get("editor") or ""
    parts = [
        f"{who} ({fields['year']})".strip() if fields.get("year") else who,
        fields.get("title", ""),
        where,
        f"doi:{fields['doi'].removeprefix('https://doi.org/')}" if fields.get("doi") else "",
        f"arXiv:{arxiv}" if arxiv else "",
        fields.get("url", ""),
    ]
    return Entry(key=entry.key, reference=clip(". ".join(filter(None, parts)) or entry.key, 500))


if __name__ == "__main__":
    main()
