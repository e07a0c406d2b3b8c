"""The moments at which a death, or a disk that fails, would cut the ledger's work in two, by name.

A writer says that it has reached one to the function it was made with. The shipped one does
nothing; tests hand in one that dies or raises there, at every name in turn.
"""

from collections.abc import Callable

Reached = Callable[[str], None]

WRITES = ("artifact", "object", "journal entry", "work file")
"""What is written under a temporary name, synced, and put in place by renaming it."""
BOUNDARIES = (
    *(f"{what} {stage}" for what in WRITES for stage in ("written", "synced", "placed")),
    "objects durable",
    "work tree noted",
    "branch written",
    "branch locked",
    "branch placed",
    "branch moved",
    "work files written",
    "index updated",
    "record committed",
    "journal entry removed",
    "outputs folder made",
    "outputs removed",
    "lock taken",
    "lock about to be released",
    "mending begun",
    "half-written files removed",
    "work tree mended",
)
"""In the order of an append, and then the others."""


def go_on(boundary: str) -> None:
    """What the shipped ledger does at a boundary."""
