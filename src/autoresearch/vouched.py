"""Read the files that records vouch for, straight from the ledger."""

from collections.abc import Callable
from typing import Protocol

from autoresearch.contents import Content, HeldFile, bytes_of
from autoresearch.errors import LedgerError
from autoresearch.layout import file_path
from autoresearch.ports import Entry


class Blobs(Protocol):
    """The part of a ledger that gives bytes."""

    def read(self, path: str, commit: str) -> bytes: ...

    def stored(self, sha256: str) -> HeldFile | None: ...


def reader(ledger: Blobs) -> Callable[[Entry, str], bytes]:
    find = finder(ledger)
    return lambda entry, path: bytes_of(find(entry, path))


def finder(ledger: Blobs) -> Callable[[Entry, str], Content]:
    """As `reader`, but a file that was too large to commit stays on disk."""

    def find(entry: Entry, path: str) -> Content:
        refs = [*entry.record.body.files(), *entry.record.made_by.exchanges]
        ref = next((ref for ref in refs if ref.path == path), None)
        if ref is None:
            raise LedgerError(f"the {entry.record.kind} record has no file {path}")
        if ref.committed:
            return ledger.read(file_path(entry.record, ref), entry.commit)
        data = ledger.stored(ref.sha256)
        if data is None:
            raise LedgerError(
                f"{path} was too large to commit and is not in this clone; it is in the project that made it"
            )
        return data

    return find
