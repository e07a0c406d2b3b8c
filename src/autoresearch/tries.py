"""Trying the experiment before the decision: one trial an arm, and only whether it ran.

The person at the approve gate lets the exact bytes on the screen run for at most a
minute on a seed that no run is ever given. What the trials return and what they print
stays in the container: a look at a result before the decision would be a result.
Kept are the outcome, time, memory and, after a crash, the end of its traceback.

A try is noted in the journal before it starts, so that one whose gate was left, or
whose supervisor died, is shown when the gate opens again, counts, and is removed.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from pydantic import TypeAdapter, ValidationError

from autoresearch.analysis.trials import MAX_LINE_BYTES, TRIALS_FILE, parse_line
from autoresearch.contents import Content, lines_of
from autoresearch.decisions import blocking
from autoresearch.door import TRY_NAME, try_limits, try_trials
from autoresearch.errors import (
    AutoresearchError,
    InvalidInput,
    LedgerError,
    NotApproved,
    SandboxFailed,
    Stale,
)
from autoresearch.ports import Clock, Collected, Entropy, Job, Ledger, Sandbox, Sleep, TryWarrant
from autoresearch.records import (
    MOST_TRIES,
    Bundle,
    Critique,
    HostFacts,
    Plan,
    Preflight,
    Reviewer,
    TrialSpec,
    Tryout,
    TryOutcome,
    body_as,
)
from autoresearch.steps.experiment import POLL_SECONDS, experiment_files, needs_of
from autoresearch.steps.situation import Situation
from autoresearch.steps.workers import collect

CRASH_CHARACTERS = 2000
TRACEBACK = "Traceback (most recent call last):"
Sign = Callable[[bytes], str]
"""The reviewer's signature of these bytes. Raises Pending if the person or the key would not."""
_NOTED = TypeAdapter(list[Tryout])


@dataclass(frozen=True)
class TryRoom:
    """The tries of one approve gate: those made before, and the next one."""

    at: Situation
    ledger: Ledger
    lock: Callable[[], AbstractContextManager[None]]
    sandbox: Callable[[], Sandbox]
    clock: Clock
    entropy: Entropy
    sleep: Sleep

    def made(self) -> list[Tryout]:
        """Those on note, oldest first. Raises LedgerError if the note cannot be read."""
        data = self.ledger.noted(self._key)
        try:
            return _NOTED.validate_json(data) if data is not None else []
        except ValidationError as error:
            raise LedgerError(
                f"what was tried at this gate cannot be read; remove .git/autoresearch/journal/{self._key}"
            ) from error

    def clear(self) -> None:
        """Remove what a supervisor that died left of its try."""
        if any(one.outcome == "interrupted" for one in self.made()):
            with self.lock():  # whoever tries right now holds it, and theirs must not be removed
                for number, one in enumerate(self.made()):
                    if one.outcome == "interrupted":
                        self.sandbox().remove(self._run_id(number))

    def run(self, bundle: Bundle, confirmed: str, reviewer: Reviewer, sign: Sign | None) -> Tryout:
        """Try what `bundle` shows, under the lock, once the digest `confirmed` was typed."""
        if stopping := blocking(self.at.body(Preflight), self.at.body(Critique)):
            raise NotApproved(
                f"a finding blocks the experiment, so it is not tried either: {stopping[0].check}"
            )
        warrant = self._warrant(bundle, confirmed, reviewer, sign)  # a touch may be due: not under the lock
        with self.lock():
            if self.ledger.head() != bundle.ledger_head:
                raise Stale("somebody else decided meanwhile; look with: autoresearch log")
            before = self.made()
            if len(before) >= MOST_TRIES:
                raise InvalidInput(f"it was tried {MOST_TRIES} times, and no gate allows more: decide")
            job = self._job(warrant.nonce, len(before))
            sandbox = self.sandbox()
            sandbox.probe()  # what does not hold for a run does not hold for a try
            began = Tryout(started_at=self.clock.now())
            self._note([*before, began])
            try:
                sandbox.submit(job, warrant)
            except AutoresearchError:
                self._note(before)  # nothing started, so nothing was tried
                raise
            outputs = self.ledger.outputs_dir(job.run_id)
            try:
                _await(sandbox, job, self.sleep)
                ended = _ended(began, collect(sandbox, job, outputs), job.trials)
            finally:
                sandbox.remove(job.run_id)
                self.ledger.clear_outputs()  # its values, too
            self._note([*before, ended])
            return ended

    def require_known(self, known: Sequence[Tryout]) -> None:
        """Raises Stale if somebody tried what is being decided on after its screen was shown."""
        if self.ledger.noted(self._key) is not None and self.made() != list(known):
            raise Stale("somebody else tried the experiment meanwhile; look again with: autoresearch review")

    def forget(self) -> None:
        """Once they stand in the approval."""
        self.ledger.forget(self._key)

    # ------------------------------------------------------------------ inside

    def _warrant(self, bundle: Bundle, confirmed: str, reviewer: Reviewer, sign: Sign | None) -> TryWarrant:
        warrant = TryWarrant(
            project=self.at.project.record,
            plan=self.at.entry("plan").record,
            bundle=bundle,
            confirmed=confirmed,
            nonce=self.entropy.token_hex(32),
            earlier=self.at.history,
            reviewer=reviewer,
        )
        return replace(warrant, signature=sign(warrant.payload)) if sign else warrant

    def _job(self, nonce: str, number: int) -> Job:
        plan = self.at.entry("plan")
        design = body_as(plan.record, Plan)
        trials = try_trials(nonce, plan.digest, design)
        files, limits = experiment_files(self.at), try_limits(design.limits)
        needs = needs_of(self.at)
        return Job(self._run_id(number), files, trials, design.config, limits, design.command, needs)

    @property
    def _key(self) -> str:
        return f"tries-{self.at.cycle}-{self.at.attempt}-{self.at.step}-{self.at.entry('plan').digest[:12]}"

    def _run_id(self, number: int) -> str:
        plan = self.at.entry("plan").digest
        return f"p{self.at.project_id[:8]}{TRY_NAME}{plan[:12]}-{self.at.attempt}-{number}"

    def _note(self, tries: list[Tryout]) -> None:
        if tries:
            self.ledger.note(self._key, _NOTED.dump_json(tries))
        else:
            self.ledger.forget(self._key)


def _await(sandbox: Sandbox, job: Job, sleep: Sleep) -> None:
    while (phase := sandbox.poll(job.run_id).phase) == "running":
        sleep(POLL_SECONDS)
    if phase == "absent":
        raise SandboxFailed("the try was gone before it ended; the engine may have been restarted")


def _ended(began: Tryout, collected: Collected, trials: Sequence[TrialSpec]) -> Tryout:
    """What is kept of an ended try. Everything else it left is dropped here."""
    if collected.workers_lost:
        raise SandboxFailed("a part of the try was gone before it ended; the engine may have been restarted")
    facts, failure = collected.facts, _failure(collected.files, trials)
    outcome = _outcome(facts, failure)
    return Tryout(
        started_at=began.started_at,
        outcome=outcome,
        seconds=None if facts.wall_seconds is None else round(facts.wall_seconds, 1),
        peak_memory_mb=None if facts.peak_memory_mb is None else round(facts.peak_memory_mb),
        crash=_crash(collected, failure) if outcome == "crashed" else "",
    )


def _outcome(facts: HostFacts, failure: str) -> TryOutcome:
    """As for a run: it ran only if every trial ended well, seen from outside."""
    if facts.out_of_memory:
        return "out of memory"
    if facts.timed_out:
        return "timed out"
    return "crashed" if failure or facts.exit_code != 0 or facts.output_truncated else "ran"


def _failure(files: Mapping[str, Content], trials: Sequence[TrialSpec]) -> str:
    """What the first trial raised that failed; empty if every one ended well."""
    missing = {spec.index: spec for spec in trials}
    lines = lines_of(files.get(TRIALS_FILE, b""), MAX_LINE_BYTES + 1)
    for number, line in enumerate(lines, start=1):
        try:
            trial = parse_line(line.text, number, missing)
        except InvalidInput:
            return "the list of trials cannot be read"
        if not trial.ok:
            return trial.error.strip() or "a trial failed and says no more"
        del missing[trial.index]
    left = next(iter(missing.values()), None)
    return f"the trial of arm {left.arm} did not end" if left else ""


def _crash(collected: Collected, failure: str) -> str:
    """The end of one traceback. Nothing else of what was printed: it could be a result."""
    log = collected.log.decode(errors="replace")
    if collected.facts.output_truncated:
        text = "its outputs exceed the limit"
    elif TRACEBACK in log and not collected.files.get(TRIALS_FILE):
        text = _last_traceback(log)  # the experiment could not be imported
    else:
        text = failure or f"exit code {collected.facts.exit_code}"
    return text.strip()[-CRASH_CHARACTERS:].encode("utf-8", "replace").decode()


def _last_traceback(log: str) -> str:
    """From its first line to the exception's; what was printed may be flushed behind it."""
    frames = log.rpartition(TRACEBACK)[2].lstrip("\n").split("\n")
    end = next((n for n, line in enumerate(frames) if not line.startswith(" ")), len(frames))
    return "\n".join([TRACEBACK, *frames[: end + 1]])
