"""Everything that can go wrong, and the exit code it ends a command with.

    AutoresearchError                 1   something failed; the message says what, why and what to type next
    ├── InvalidInput                  1   a proposal, a workflow, a reply or a file is not what it must be
    ├── Usage                         2   the command line makes no sense
    ├── Pending                       3   a person has to decide and none could be asked
    ├── Interrupted                 130   Ctrl-C while a person was asked; says what stays as it was
    ├── BackEndMissing                4   a credential, an engine or an image is not there
    ├── Rejected                      5   a person rejected; the run ends here
    ├── AuthorNeeded                  5   model none: the person has to change proposal.md (1 after a crash)
    ├── Stale                         6   somebody else moved the project on, or holds its lock
    ├── LedgerError                   1   the history is not what this tool writes
    ├── NotApproved                   1   the sandbox was asked to run something nobody approved
    ├── SandboxFailed                 1   the machinery broke; this is never a result
    ├── ModelFailed                   1   no usable reply; nothing was recorded
    └── BudgetSpent                   1   the next call to a model may cost more than the budget has left

Machinery that fails raises one of these and leaves no record; only the
experiment's own failures become results.
"""

from typing import ClassVar, Literal


class AutoresearchError(Exception):
    """A failure that a person can act on. The message is one or more plain lines."""

    exit_code: ClassVar[int] = 1


class InvalidInput(AutoresearchError):
    """Outside input did not parse. The message names file, line and the nearest known word."""


class Usage(AutoresearchError):
    exit_code = 2


class Pending(AutoresearchError):
    """A gate stays open: no terminal, end of input, time-out or quit."""

    exit_code = 3


class Interrupted(AutoresearchError):
    """Ctrl-C at a question. At any other time it is a KeyboardInterrupt."""

    exit_code = 130


class BackEndMissing(AutoresearchError):
    exit_code = 4


class Rejected(AutoresearchError):
    exit_code = 5


class AuthorNeeded(AutoresearchError):
    """The steps read the proposal (model none) and it has to change before work can go on."""

    exit_code = 5

    def __init__(self, message: str, *, after_crash: bool = False) -> None:
        super().__init__(message)
        self.after_crash = after_crash


class Stale(AutoresearchError):
    exit_code = 6


class LedgerError(AutoresearchError):
    pass


class NotApproved(AutoresearchError):
    """Raised at the door of the sandbox. Names what differs from the approval."""


class SandboxFailed(AutoresearchError):
    pass


ModelOutcome = Literal[
    "refused",  # the model would not
    "truncated",  # cut off at the limit of its length
    "stopped",  # for another reason than that it was done
    "empty",
    "malformed",  # no JSON
    "invalid",  # JSON, but not what was asked for
    "context too long",  # the request does not fit the model
    "rate-limited",
    "overloaded",
    "turned away",  # an answer that trying again does not change: 400, 401, 403, 404 …
    "oversize",  # more bytes than are read
    "too slow",  # not whole in time
    "not the protocol",  # an answer in another form
    "dead",  # no answer, a connection that broke, a server's own failure, a command that failed
    "leaking",  # the exchange holds a secret
]
"""Why there is no reply."""


class ModelFailed(AutoresearchError):
    def __init__(self, message: str, outcome: ModelOutcome = "dead") -> None:
        super().__init__(message)
        self.outcome: ModelOutcome = outcome


class BudgetSpent(AutoresearchError):
    """Names the setting. Nothing was sent."""


def exit_code(error: AutoresearchError) -> int:
    """The process exit code of `error`."""
    if isinstance(error, AuthorNeeded) and error.after_crash:
        return 1
    return error.exit_code
