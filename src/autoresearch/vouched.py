"""Read the files that records vouch for, straight from the ledger."""

from collections.abc import Callable
from typing import Protocol

from autoresearch.errors import LedgerError
from autoresearch.layout import file_path
from autoresearch.ports import Entry


class Blobs(Protocol):
    """The part of a ledger that gives bytes."""

    def read(self, path: str, commit: str) -> bytes: ...

    def stored(self, sha256: str) -> bytes | None: ...


def reader(ledger: Blobs) -> Callable[[Entry, str], bytes]:
    def read(entry: Entry, path: str) -> bytes:
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

    return read
