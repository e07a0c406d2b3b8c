"""The text of a PDF and the entries of a .bib file, read in a process apart.

Both formats come from elsewhere, and both libraries can be made to work for long, to take much
memory, and perhaps to do what the file says. So they run under limits, with an empty environment,
and in a process that can only compute and answer once it has the file's bytes (`confine`):

    python -I -m autoresearch.adapters.source_worker {pdf,bib}

reads the filter of system calls (one line of hex) and the file from standard input, and writes one
JSON reply. `text_of_pdf` and `entries_of_bib` are the supervisor's side.
"""

import importlib
import io
import os
import pkgutil
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError

from autoresearch.adapters.confine import confine, confinement
from autoresearch.errors import AutoresearchError, BackEndMissing, InvalidInput
from autoresearch.records import SOURCE_ID, Frozen, SourceId, clip, first_problem

SECONDS = 60
MEMORY = 2**30
"""Bytes of address space."""
REPLY_BYTES = 16 * 2**20
"""A million characters, escaped as JSON may be."""
MOST_PAGES = 500
MOST_CHARACTERS = 1_000_000
"""Of a PDF's text."""
MOST_ENTRIES = 500
ENVIRONMENT = ("LD_LIBRARY_PATH",)
"""Some Pythons do not start without."""
WORKER = (sys.executable, "-I", "-m", "autoresearch.adapters.source_worker")
UNCONFINED = 4
"""The worker's exit code if the kernel does not confine it: it has read nothing then."""


class Entry(Frozen):
    """One entry of a .bib file."""

    key: SourceId
    reference: Annotated[str, Field(max_length=500)]
    """Authors, year, title, where, DOI and arXiv number, as far as they are given, in one line."""


class Reply(Frozen):
    """What the worker answers. Its bounds are looked at again here: the file may speak through it."""

    error: Annotated[str, Field(max_length=1000)] | None = None
    """Set: the file is not what it must be."""
    text: Annotated[str, Field(max_length=MOST_CHARACTERS)] = ""
    entries: Annotated[tuple[Entry, ...], Field(max_length=MOST_ENTRIES)] = ()


# ----------------------------------------------------------- in the supervisor


def text_of_pdf(data: bytes, name: str, seconds: float = SECONDS, worker: Sequence[str] = WORKER) -> str:
    """Raises InvalidInput naming the file if it holds no text that can be had within the limits,
    BackEndMissing where this machine cannot confine who reads it.
    """
    return _ask([*worker, "pdf"], data, name, seconds, "put its text there as .txt instead").text


def entries_of_bib(data: bytes, name: str, seconds: float = SECONDS) -> tuple[Entry, ...]:
    """Raises InvalidInput naming the file and the line of the first thing that is no entry."""
    return _ask([*WORKER, "bib"], data, name, seconds, "put its entries into a .md file instead").entries


def _ask(command: Sequence[str], data: bytes, name: str, seconds: float, instead: str) -> Reply:
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    try:
        given = confinement().hex().encode() + b"\n" + data
        # Files and no pipes: the kernel bounds what a process writes to a file.
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            code = subprocess.run(
                command, input=given, stdout=output, stderr=errors, timeout=seconds, env=environment, check=False
            ).returncode  # fmt: skip
            said, complaint = _from_start(output), _last_line(_from_start(errors))
    except BackEndMissing as error:
        raise BackEndMissing(f"{name} is not read: {error}; or {instead}") from error
    except subprocess.TimeoutExpired as error:
        raise InvalidInput(f"{name} could not be read within {seconds} s; {instead}") from error
    if code == UNCONFINED:
        raise BackEndMissing(f"{name} is not read: {complaint}; {instead}")
    if code < 0:  # by a limit of its own
        raise InvalidInput(f"{name} takes more time or memory to read than it may; {instead}")
    try:
        reply = Reply.model_validate_json(said)
    except ValidationError as error:
        why = complaint or first_problem(error)
        raise AutoresearchError(f"the process that reads {name} gave no usable reply: {why}") from error
    if reply.error is not None:
        raise InvalidInput(f"{name} {reply.error}")
    return reply


def _from_start(file: Any) -> bytes:
    file.seek(0)
    return bytes(file.read(REPLY_BYTES))


def _last_line(data: bytes) -> str:
    return clip(ascii((data.decode("utf-8", "replace").strip().splitlines() or [""])[-1])[1:-1], 300)


# --------------------------------------------------------------- in the worker


def main() -> None:
    # Libraries load parts of themselves when a file asks for them: too late then.
    import encodings

    _load_whole(encodings)
    if sys.argv[1] == "pdf":
        import logging

        import pypdf

        logging.disable()  # it warns of what readers commonly put up with
        _load_whole(pypdf)
        serve(_pdf)
    else:
        _bib(rb"@misc{key, title={\"o}}")
        serve(_bib)


def _load_whole(package: Any) -> None:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        try:
            importlib.import_module(module.name)
        except ImportError:
            continue  # it needs another system or a library that is not there, and would later, too


def serve(read: Callable[[bytes], Reply]) -> None:
    """One file in, one reply out. From the first byte that `read` sees it can do nothing else."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    instructions = bytes.fromhex(sys.stdin.buffer.readline().decode())
    data = sys.stdin.buffer.read()
    try:
        confine(instructions, REPLY_BYTES)
    except BackEndMissing as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(UNCONFINED)
    try:
        reply = read(data)
    except InvalidInput as error:
        reply = Reply(error=clip(str(error), 1000))
    except MemoryError:
        reply = Reply(error=f"takes more than {MEMORY // 2**20} MB to read")
    rest = memoryview(reply.model_dump_json().encode())
    while rest:
        rest = rest[os.write(1, rest) :]


def _pdf(data: bytes) -> Reply:
    try:
        text = _text(data)
    except (InvalidInput, MemoryError):
        raise
    except Exception as error:  # whatever a broken file makes the library raise
        said = clip(str(error), 200) or type(error).__name__
        raise InvalidInput(f"cannot be read as PDF: {said}; put its text there as .txt instead") from error
    if not text.strip():
        raise InvalidInput("holds no text (a scan?): put its text there as .txt instead")
    return Reply(text=text.encode("utf-8", "replace").decode())  # half a surrogate pair is no JSON


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


def _bib(data: bytes) -> Reply:
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
    return Reply(entries=tuple(_entry(entry) for entry in library.entries))


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
