"""Which decisions count where reviewers' keys are registered.

Settings hold the keys, records hold settings, and both come from a history that
somebody may have written by hand. So the keys in force are followed from the first
record on: a record that sets keys without a signature by a key that counted before
sets none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autoresearch.errors import LedgerError, NotApproved
from autoresearch.layout import trailers_of
from autoresearch.ports import Entry, TryWarrant
from autoresearch.records import (
    Acceptance,
    Approval,
    Config,
    Fork,
    Proposal,
    Record,
    RegisteredReviewer,
    Reviewer,
    Settings,
)
from autoresearch.ssh_signature import message_of, split, why_invalid

UNSIGNED = "unsigned"


@dataclass
class Keys:
    """The reviewers' keys in force along a history that is taken record by record."""

    settings: Settings | None = None

    @property
    def registered(self) -> Sequence[RegisteredReviewer]:
        return self.settings.reviewers if self.settings else ()

    def take(self, record: Record, raw: bytes) -> str:
        """Go on by one record, `raw` being its commit. What is wrong with its signature; empty if nothing."""
        body = record.body
        if isinstance(body, Proposal):
            return self._take_proposal(body)
        if isinstance(body, Config | Fork):
            # A fork sets the settings, too. The first key vouches for itself: whoever registers it shows that they have it.
            problem = _problem(record, raw, body.reviewer, self.registered or body.settings.reviewers)
            if not problem:
                self.settings = body.settings
            return problem
        if isinstance(body, Approval | Acceptance):
            return _problem(record, raw, body.reviewer, self.registered)
        return ""

    def _take_proposal(self, body: Proposal) -> str:
        if self.settings is None:
            self.settings = body.settings
        if self.settings.reviewers != body.settings.reviewers:
            return "it changes the reviewers' keys, which only a config record can"
        if self.registered and self.settings != body.settings:
            return "it changes the settings, which only a signed config record can"
        return ""


def require_signed(history: Iterable[Entry], decision: Entry) -> None:
    """Raises NotApproved unless `decision`, a gate's, counts by the keys in force after `history`."""
    keys = require_signed_settings(history)
    problem = keys.take(decision.record, decision.raw)
    if problem:
        raise NotApproved(f"{_name(decision)} does not count: {problem}; see: autoresearch verify")


def require_signed_settings(history: Iterable[Entry]) -> Keys:
    """The keys in force after `history`. Raises LedgerError naming a record that set them unsigned."""
    keys = Keys()
    for entry in history:
        if isinstance(entry.record.body, Proposal | Config | Fork):
            problem = keys.take(entry.record, entry.raw)
            if problem:
                raise LedgerError(f"{_name(entry)} does not count: {problem}; see: autoresearch verify")
    return keys


def require_signed_try(warrant: TryWarrant) -> None:
    """Raises NotApproved unless a registered reviewer signed the try, where keys are registered."""
    registered = require_signed_settings(warrant.earlier).registered
    if not registered:
        return
    key = next((known for known in registered if known.fingerprint == warrant.reviewer.key), None)
    if key is None or key.person != warrant.reviewer.person:
        raise NotApproved(f"{warrant.reviewer.person} signs with no registered reviewer's key")
    why = why_invalid(warrant.payload, warrant.signature, key) if warrant.signature else "there is none"
    if why:
        raise NotApproved(f"the reviewer's signature for this try does not hold: {why}")


def _name(entry: Entry) -> str:
    return f"the {entry.record.kind} record in commit {entry.commit[:12]}"


def _problem(record: Record, raw: bytes, reviewer: Reviewer, registered: Sequence[RegisteredReviewer]) -> str:
    if not registered:
        return f"it names the key {reviewer.key}, and none is registered" if reviewer.key else ""
    if not reviewer.is_person:
        return "a script decided, and this project has reviewers with keys"
    key = next((known for known in registered if known.fingerprint == reviewer.key), None)
    if key is None:
        return f"it names {reviewer.key or 'no key'}, which is not a registered reviewer's"
    if key.person != reviewer.person:
        return f"it is in the name of {reviewer.person}, and the key is registered for {key.person}"
    return _not_sealed(record, raw, key)


def _not_sealed(record: Record, raw: bytes, key: RegisteredReviewer) -> str:
    """Why `raw` is not the commit of `record`, signed by `key`; empty if it is."""
    payload, signature = split(raw)
    if not signature:
        return "its commit is not signed"
    # The record's SHA-256 stands in the signed message, so nothing hangs on git's SHA-1.
    if trailers_of(message_of(payload)).get("Record") != f"{record.kind}@sha256:{record.digest}":
        return "its commit was signed for another record"
    why = why_invalid(payload, signature, key)
    return f"its signature does not hold: {why}" if why else ""
