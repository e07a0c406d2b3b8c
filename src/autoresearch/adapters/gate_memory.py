"""What a reviewer did at a gate that they left without a decision; it stands when they come back.

Kept in the journal until the cycle ends: a forecast that was given before the author's were shown
cannot be given again after, and sections opened yesterday were opened.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from pydantic import BaseModel, TypeAdapter, ValidationError

from autoresearch.errors import LedgerError
from autoresearch.ports import LEFT_AT_GATES
from autoresearch.records import Attention, Forecast, Person


class Journal(Protocol):
    """The part of a ledger that keeps what is not on record yet."""

    def note(self, key: str, data: bytes) -> None: ...

    def noted(self, key: str) -> bytes | None: ...


class _Left(BaseModel):
    shown: str
    """Digest of what was on the screen."""
    seconds: float = 0.0
    opened: list[str] = []
    read: list[str] = []
    prediction: str = ""
    """Digest of the one that the reviewer forecast beside."""
    forecasts: list[Forecast] | None = None
    """Empty: skipped. None: not asked yet."""


_NOTE = TypeAdapter(dict[str, _Left])
"""By the reviewer's name and address."""


class GateMemory:
    """Of one reviewer at the gate that shows `shown`. Without a journal nothing is remembered."""

    def __init__(self, journal: Journal | None, reviewer: Person, shown: str, prediction: str = "") -> None:
        self._journal = journal
        self._reviewer = str(reviewer)
        left = self._load().get(self._reviewer) or _Left(shown=shown)
        if left.shown != shown:
            left = _Left(shown=shown, prediction=left.prediction, forecasts=left.forecasts)
        if prediction and left.prediction != prediction:
            left = left.model_copy(update={"prediction": prediction, "forecasts": None})
        self.opened, self.read, self.seconds = list(left.opened), list(left.read), left.seconds
        self._left = left

    @property
    def forecasts(self) -> Sequence[Forecast] | None:
        """Given before at this prediction, or skipped; None: neither."""
        return self._left.forecasts

    def keep_forecasts(self, forecasts: Sequence[Forecast]) -> None:
        """Before the author's are shown."""
        self._keep(forecasts=list(forecasts))

    def keep_attention(self, seen: Attention) -> None:
        self._keep(seconds=seen.seconds, opened=seen.sections_opened, read=seen.sections_read)

    def attention(self, opened_at: datetime, decided_at: datetime) -> Attention:
        return Attention(
            opened_at=opened_at,
            decided_at=decided_at,
            earlier_seconds=self.seconds,
            sections_opened=list(self.opened),
            sections_read=list(self.read),
        )

    def _keep(self, **changes: object) -> None:
        self._left = self._left.model_copy(update=changes)
        if self._journal is not None:
            note = self._load() | {self._reviewer: self._left}
            self._journal.note(LEFT_AT_GATES, _NOTE.dump_json(note))

    def _load(self) -> dict[str, _Left]:
        data = self._journal.noted(LEFT_AT_GATES) if self._journal is not None else None
        try:
            return {} if data is None else _NOTE.validate_json(data)
        except ValidationError as error:
            raise LedgerError(
                f"what was done at this gate before cannot be read; remove .git/autoresearch/journal/{LEFT_AT_GATES}"
            ) from error
