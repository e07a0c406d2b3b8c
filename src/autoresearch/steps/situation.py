"""What a step sees and what it gives back: records and ports in, exactly one record out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from autoresearch.contents import Content
from autoresearch.errors import LedgerError
from autoresearch.ports import Clock, Entropy, Entry, JobState, Model, Sandbox, Sleep
from autoresearch.proposal import ParsedProposal, parse_proposal
from autoresearch.records import (
    Body,
    Kind,
    MadeBy,
    ModelChoice,
    Proposal,
    ResourceLimits,
    Settings,
    body_as,
    digest_of,
)
from autoresearch.settings_in_force import project_in_force
from autoresearch.sources import Library

B = TypeVar("B", bound=Body)


@dataclass(frozen=True)
class Situation:
    """Where the walk stands when a step is reached."""

    cycle: int
    attempt: int
    step: str
    kind: Kind
    """Of the record that the step makes."""
    project: Entry
    """The project's first record."""
    proposal: Entry
    """The proposal in force."""
    settings: Settings
    upstream: Mapping[Kind, Entry]
    """The records this walk has passed, the latest of each kind."""
    feedback: Entry | None
    """The decision or the failed result that opened this attempt; None in a first attempt."""
    followed_up: Entry | None
    """The acceptance that asked for this cycle; None in the first."""
    history: Sequence[Entry]
    """Every record of the project, oldest first."""
    read: Callable[[Entry, str], bytes]
    """The bytes of a file that a record vouches for, by its FileRef path."""
    find: Callable[[Entry, str], Content]
    """The same, left on disk where it was too large to commit."""

    def entry(self, kind: Kind) -> Entry:
        found = self.upstream.get(kind)
        if found is None:
            raise LedgerError(f"the {self.step} step needs a {kind} record and none was passed")
        return found

    def body(self, body_type: type[B]) -> B:
        return body_as(self.entry(body_type.kind).record, body_type)

    def proposal_body(self) -> Proposal:
        return body_as(self.proposal.record, Proposal)

    @property
    def project_id(self) -> str:
        return project_in_force(self.history)

    def parsed(self) -> ParsedProposal:
        return _parsed(self.proposal_body().text)

    def library(self) -> Library:
        """What may be cited here."""
        body = self.proposal_body()
        refs = {source.id: source.text for source in body.sources if source.text}
        texts = {id_: self.read(self.proposal, ref.path).decode() for id_, ref in refs.items()}
        return Library(body.sources, texts, body.text)

    def source_digest(self) -> dict[str, str]:
        """For the steps that look up what a record cites."""
        plain = self.proposal_body().model_dump(mode="json", include={"sources"})
        return {"section:sources": digest_of(plain)} if plain["sources"] else {}

    def digests(self, *kinds: Kind) -> dict[str, str]:
        return {kind: self.entry(kind).digest for kind in kinds}

    def sections(self, *names: str) -> dict[str, str]:
        """Digests of the proposal's sections, so that a change elsewhere runs nothing again."""
        known = dict(self.parsed().section_digests)
        proposal = self.proposal_body()
        brought = {"environment": proposal.environment, "inputs": proposal.inputs}
        if any(brought.values()):
            # The section names files; what is in them can change without it.
            plain = proposal.model_dump(mode="json", include=set(brought))
            known["experiment"] = digest_of({"text": known["experiment"], **plain})
        return {f"section:{name}": known[name] for name in names if name in known}

    def feedback_digest(self) -> dict[str, str]:
        return {"feedback": self.feedback.digest} if self.feedback else {}


@lru_cache(maxsize=4)
def _parsed(text: str) -> ParsedProposal:
    """Every step of every walk asks for the sections of the same text: half the time of a long replay."""
    return parse_proposal(text)


@dataclass(frozen=True)
class Draft:
    """A step's outcome before its header: the body, who made it, and files by FileRef path."""

    body: Body
    made_by: MadeBy
    files: Mapping[str, Content] = field(default_factory=dict)


@dataclass(frozen=True)
class StepPorts:
    """The outside, as steps may use it."""

    model: Model | None
    """None: the step reads the proposal and applies rules."""
    choice: ModelChoice
    """What the settings say of it."""
    prompt: Callable[[str], str]
    """A prompt file of the project's workflow, by its path there."""
    prompt_path: str | None
    open_sandbox: Callable[[], Sandbox]
    """Connects to the engine on first use: most steps need none."""
    clock: Clock
    entropy: Entropy
    sleep: Sleep
    note: Callable[[str, bytes], None]
    noted: Callable[[str], bytes | None]
    outputs_dir: Callable[[str], Path]
    """Where outputs of a run (by its id) are kept until the step's record is committed."""
    on_trials: Callable[[JobState, int, ResourceLimits], None]

    @property
    def sandbox(self) -> Sandbox:
        return self.open_sandbox()
