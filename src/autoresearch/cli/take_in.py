"""Take in what stands beside a proposal: the lock of its environment, its data, its reading material."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from autoresearch.adapters.input_store import InputStore
from autoresearch.adapters.source_files import read_sources
from autoresearch.driver import Written
from autoresearch.errors import InvalidInput
from autoresearch.layout import LOCK_FILE, SOURCES_DIR
from autoresearch.pip_lock import check_lock
from autoresearch.proposal import read_needs
from autoresearch.proposal_sections import InputTexts
from autoresearch.records import DataInput, Environment, Proposal, Source, file_ref

LARGEST_LOCK = 5_000_000
"""Bytes."""


def take_in(
    text: str,
    source: str,
    base: Path,
    store: InputStore,
    *,
    before: Proposal | None = None,
    text_then: Callable[[Source], bytes] | None = None,
) -> Written:
    """The proposal with its data in `store`. `base` is the directory that its paths start from.

    Data that `before` holds under the same name and path stay as they were taken in if nothing
    lies at the path any more: a project does not move with its originals. So do sources, whose
    text `text_then` has. Raises InvalidInput.
    """
    needs = read_needs(text, source)
    inputs = [_data(item, base, store, before.inputs if before else ()) for item in needs.inputs]
    found = read_sources(base / SOURCES_DIR, before.sources if before else ())
    kept = [one for one in found.sources if one.text and one.text.path not in found.texts]
    texts = {one.text.path: text_then(one) for one in kept if one.text and text_then}
    written = Written(text, inputs=inputs, sources=found.sources, texts={**texts, **found.texts})
    if needs.environment is None:
        return written
    if needs.environment != LOCK_FILE:
        return replace(written, environment=Environment(image=needs.environment))
    lock = _lock(base / LOCK_FILE)
    return replace(written, environment=Environment(lock=file_ref(LOCK_FILE, lock)), lock=lock)


def _data(item: InputTexts, base: Path, store: InputStore, before: Sequence[DataInput]) -> DataInput:
    kept = next((old for old in before if (old.name, old.path) == (item.name, item.path)), None)
    if kept is not None and not (base / Path(item.path).expanduser()).exists():
        return kept
    return store.take_in(item.name, item.path, base)


def _lock(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_LOCK + 1)
    except OSError as error:
        raise InvalidInput(
            f"the proposal names {LOCK_FILE} as its environment, but {path} cannot be read: {error.strerror}"
        ) from error
    if len(data) > LARGEST_LOCK:
        raise InvalidInput(f"{path} has more than {LARGEST_LOCK / 1e6:.0f} MB")
    check_lock(data, LOCK_FILE)
    return data
