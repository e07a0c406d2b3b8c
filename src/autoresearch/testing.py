"""Doubles that ship with the package, and the checks that every sandbox must pass.

Nothing here asks for a terminal, an engine or a network. No double can be
selected by a setting: only code that constructs one gets it.
"""

import hashlib
import inspect
import json
import os
import tempfile
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from autoresearch import door, jobs
from autoresearch.contents import Content, bytes_of
from autoresearch.errors import AutoresearchError, InvalidInput, NotApproved, SandboxFailed
from autoresearch.ports import NOTHING, Collected, Entry, Job, JobState, Needs, Sandbox, TryWarrant, Warrant
from autoresearch.records import (
    HUMAN,
    RULES,
    Approval,
    Arm,
    Attention,
    Body,
    Bundle,
    Contrast,
    Controls,
    HostFacts,
    Hypothesis,
    Isolation,
    MadeBy,
    MetricCard,
    Person,
    Plan,
    Probe,
    Proposal,
    Record,
    ResourceLimits,
    Reviewer,
    Run,
    Settings,
    Tool,
    TrialSpec,
    WorkflowRef,
    body_as,
    digest_of,
    file_ref,
    sha256,
)

# -------------------------------------------------------------- clock, chance


class FixedClock:
    """Starts at a given time and goes on by `tick` each time it is asked."""

    def __init__(
        self,
        start: datetime = datetime(2026, 1, 1, tzinfo=UTC),
        tick: timedelta = timedelta(seconds=1),
    ) -> None:
        self._now = start
        self._start = start
        self._tick = tick

    def now(self) -> datetime:
        self._now += self._tick
        return self._now

    def monotonic(self) -> float:
        return (self.now() - self._start).total_seconds()


class FixedEntropy:
    """The same sequence of different tokens for the same seed."""

    def __init__(self, seed: str = "fixed") -> None:
        self._seed = seed
        self._drawn = 0

    def token_hex(self, size: int) -> str:
        self._drawn += 1
        return hashlib.shake_256(f"{self._seed}/{self._drawn}".encode()).hexdigest(size)


# -------------------------------------------------------------------- sandbox

Ending = Literal["completed", "timed-out", "out-of-memory", "crashed", "absent"]
Trial = Callable[[str, int, dict[str, Any]], dict[str, Any]]
"""arm, seed, config → named numbers and lists; an exception is a failed trial."""

TRIALS_FAILED = 10
INLINE_NUMBERS = 16
KILLED = 137
FAKE_ISOLATION = Isolation(
    tier="docker",
    image="sha256:" + "0" * 64,
    policy_sha256=sha256(b"fake policy"),
    harness_sha256=sha256(b"fake harness"),
    engine="FakeSandbox",
)


@dataclass
class _FakeRun:
    job: Job
    collected: Collected
    polls_left: int


class FakeSandbox:
    """A `Sandbox` that executes nothing of a job: `trial` says what each trial returns.

    The door stands before it as before the real ones. `ending` says how every run
    ends; `trials_before_end` how many trials have ended by then. `polls` is how
    often a run is found running first; `made` gives the digest of a trial's data.
    """

    def __init__(
        self,
        trial: Trial,
        *,
        shipped: Container[str] = frozenset(),
        ending: Ending = "completed",
        trials_before_end: int | None = None,
        polls: int = 1,
        isolation: Isolation = FAKE_ISOLATION,
        probe: Probe | None = None,
        cpus: float = 64,
        gives_needs: bool = False,
        made: Callable[[str, str, int], str | None] = lambda _run, _arm, _seed: None,
    ) -> None:
        self._trial, self._made = trial, made
        self._shipped = shipped
        self._ending = ending
        self._trials_before_end = trials_before_end
        self._polls = polls
        self._isolation = isolation
        self._probe = probe
        self._cpus = cpus
        self._gives_needs = gives_needs
        self._runs: dict[str, _FakeRun] = {}
        self.submitted: list[Job] = []
        """Every job that passed the door, in order."""

    def isolation(self, needs: Needs = NOTHING) -> Isolation:
        if not self._gives_needs:
            jobs.refuse_needs(needs, "the double")
        return self._isolation

    def probe(self) -> Probe | None:
        return self._probe

    def check_limits(self, limits: ResourceLimits) -> None:
        if limits.cpus > self._cpus:
            raise InvalidInput(f"limits.cpus is {limits.cpus:g}, but this machine has {self._cpus:g}")

    def submit(self, job: Job, warrant: Warrant | TryWarrant) -> None:
        data = {item.sha256: item.sha256 for item in job.needs.inputs} if self._gives_needs else {}
        door.admit(job, warrant, self.isolation(job.needs), self._shipped, data)
        if job.run_id in self._runs:
            raise SandboxFailed(f"run {job.run_id} exists already: it is not started twice")
        self.submitted.append(job)
        self._runs[job.run_id] = _FakeRun(job, self._outcome(job), self._polls)

    def poll(self, run_id: str) -> JobState:
        run = self._runs.get(run_id)
        if run is None or self._ending == "absent":
            return JobState("absent")
        done = bytes_of(run.collected.files.get("trials.jsonl", b"")).count(b"\n")
        if run.polls_left:
            run.polls_left -= 1
            return JobState("running", done * (self._polls - run.polls_left) // (self._polls + 1), 0.5, 32.0)
        return JobState("ended", done, 1.0)

    def cancel(self, run_id: str) -> None:
        run = self._runs.get(run_id)
        if run is not None and run.polls_left:
            run.polls_left = 0
            facts = run.collected.facts.model_copy(update={"exit_code": KILLED})
            run.collected = replace(run.collected, facts=facts)

    def collect(self, run_id: str, limits: ResourceLimits, into: Path) -> list[Collected | None]:  # noqa: ARG002  the port's
        run = self._runs.get(run_id)
        if run is None or run.polls_left or self._ending == "absent":
            raise SandboxFailed(f"run {run_id} has no outputs to collect: it has not ended, or is gone")
        return [run.collected]

    def remove(self, run_id: str) -> None:
        self._runs.pop(run_id, None)

    def _outcome(self, job: Job) -> Collected:
        ended = list(job.trials)[: self._trials_before_end]
        files: dict[str, Content] = {}
        lines = [
            {
                **_trial_line(spec, self._trial, dict(job.config), files),
                "data_sha256": self._made(job.run_id, spec.arm, spec.seed),
            }
            for spec in ended
        ]
        files["trials.jsonl"] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        failed = any(line["status"] != "ok" for line in lines)
        log = "".join(f"trial {n}/{len(job.trials)} {line['status']}\n" for n, line in enumerate(lines, 1))
        if self._ending == "crashed":
            log += "Traceback (most recent call last):\nRuntimeError: as scripted\n"
        return Collected(self._facts(job.limits, failed=failed), files, log.encode(), log_truncated=False)

    def _facts(self, limits: ResourceLimits, *, failed: bool) -> HostFacts:
        codes = {"timed-out": 137, "out-of-memory": 137, "crashed": 1}
        wall = float(limits.seconds) if self._ending == "timed-out" else 1.0
        began = datetime(2026, 1, 1, tzinfo=UTC)
        return HostFacts(
            exit_code=codes.get(self._ending, TRIALS_FAILED if failed else 0),
            wall_seconds=wall,
            cpu_seconds=0.5,
            peak_memory_mb=32.0,
            out_of_memory=self._ending == "out-of-memory",
            timed_out=self._ending == "timed-out",
            output_truncated=False,
            started_at=began,
            ended_at=began + timedelta(seconds=wall),
        )


def _trial_line(
    spec: TrialSpec, trial: Trial, config: dict[str, Any], files: dict[str, Content]
) -> dict[str, Any]:
    """One line of `trials.jsonl` as the harness writes it; long arrays go into `files`."""
    line: dict[str, Any] = {
        **spec.model_dump(),
        "seconds": 0.01,
        "cpu_seconds": 0.01,
        "data_note": None,
        "status": "ok",
        "values": {},
        "arrays": None,
    }
    try:
        values = trial(spec.arm, spec.seed, config)
    except Exception as error:  # noqa: BLE001  whatever a trial raises is that trial's failure
        return {**line, "status": "error", "error": f"{type(error).__name__}: {error}"}
    long = {name: value for name, value in values.items() if _numbers_in(value) > INLINE_NUMBERS}
    if long:
        line["arrays"] = f"arrays/{spec.index}.json"
        files[line["arrays"]] = json.dumps(long).encode()
    short = {name: value for name, value in values.items() if name not in long}
    return {**line, "values": short, "error": None}


def _numbers_in(value: object) -> int:
    return sum(map(_numbers_in, value)) if isinstance(value, list | tuple) else 1


# -------------------------------------------------------- something approved

PERSON = Person(name="Ada Reviewer", email="ada@example.org")
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def approved_job(
    files: Mapping[str, bytes],
    isolation: Isolation,
    *,
    run_id: str = "run-1",
    arms: Sequence[str] = ("control", "treatment"),
    trials_per_arm: int = 2,
    config: dict[str, Any] | None = None,
    limits: ResourceLimits | None = None,
    demonstration: bool = False,
    command: Sequence[str] = (),
    needs: Needs = NOTHING,
) -> tuple[Job, Warrant]:
    """A job and a warrant that covers it, as an approved project would hold them."""
    project = _record(_proposal(demonstration=demonstration), "start", None)
    design = _plan(files, arms, trials_per_arm, config or {}, limits)
    asked = {"command": list(command), "environment": needs.environment, "inputs": list(needs.inputs)}
    plan = _record(design.model_copy(update=asked), "plan", project)
    approval = entry_of(
        _record(
            _approval(files, isolation, plan, sha256(run_id.encode()), is_person=not demonstration),
            "approve",
            plan,
            HUMAN,
        )
    )
    plan_body = plan.body
    assert isinstance(plan_body, Plan)
    trials = door.issue_trials(body_as(approval.record, Approval), plan.digest, plan_body)
    run_body = Run(approval=approval.digest, trials=trials, run_id=run_id, host="test", probe=None)
    run = entry_of(_record(run_body, "experiment", approval.record))
    job = Job(run_id, dict(files), trials, plan_body.config, plan_body.limits, list(command), needs)
    return job, Warrant(project, plan, approval, run, [entry_of(project), entry_of(plan)])


def entry_of(record: Record) -> Entry:
    """`record` as if committed."""
    return Entry(record, record.digest, sha256(record.to_bytes())[:40], WHEN, PERSON)


def _record(body: Body, step: str, parent: Record | None, made_by: MadeBy = RULES) -> Record:
    before = None if parent is None else parent.digest
    return Record(
        kind=body.kind, cycle=1, attempt=1, step=step, parent=before, inputs={}, made_by=made_by, body=body
    )


def _proposal(*, demonstration: bool) -> Proposal:
    text = "# A study\n"
    return Proposal(
        project="0" * 32,
        title="A study",
        text=text,
        text_sha256=sha256(text.encode()),
        author=PERSON,
        settings=Settings(),
        workflow=WorkflowRef(name="standard", sha256=sha256(b""), files={}),
        tool=Tool(version="0", lock_sha256=sha256(b"")),
        example="study" if demonstration else None,
        demonstration=demonstration,
    )


def _plan(
    files: Mapping[str, bytes],
    arms: Sequence[str],
    trials_per_arm: int,
    config: dict[str, Any],
    limits: ResourceLimits | None,
) -> Plan:
    return Plan(
        question="Does the treatment change the mean?",
        hypotheses=[Hypothesis(id="h1", statement="It does", expects=["positive"], refuted_by=["negative"])],
        arms=[Arm(name=name, description=name) for name in arms],
        metric=MetricCard(name="m", formula="mean", arrays={"x": "many"}, how_gamed="by a constant"),
        contrast=Contrast(form="paired", treatment=arms[-1], control=arms[0], smallest_effect=0.1),
        trials_per_arm=trials_per_arm,
        stopping_rule="after all trials",
        exclusions="none",
        controls=Controls(positive="none: a test", negative="none: a test"),
        decision_table=[],
        config=config,
        limits=limits or ResourceLimits(seconds=60, memory_mb=256, cpus=2, processes=64, output_mb=8),
        experiment=[file_ref(path, data) for path, data in sorted(files.items())],
    )


def _approval(
    files: Mapping[str, bytes], isolation: Isolation, plan: Record, nonce: str, *, is_person: bool
) -> Approval:
    assert isinstance(plan.body, Plan)
    bundle = Bundle(
        gate="approve",
        project="0" * 32,
        cycle=1,
        attempt=1,
        ledger_head="0" * 40,
        plan=plan.digest,
        prediction=sha256(b"prediction"),
        preflight=sha256(b"preflight"),
        files={path: sha256(data) for path, data in files.items()},
        isolation=isolation,
        limits=plan.body.limits,
        inputs={item.name: item.sha256 for item in plan.body.inputs},
    )
    return Approval(
        decision="approve",
        reviewer=Reviewer(person=PERSON, is_person=is_person),
        bundle=bundle,
        shown=digest_of(bundle),
        attention=Attention(opened_at=WHEN, decided_at=WHEN),
        nonce=nonce,
    )


# --------------------------------------------------------- conformance checks


def conformance_trial(arm: str, seed: int, config: dict[str, Any]) -> dict[str, Any]:
    if arm == config.get("fails"):
        raise ValueError("told to fail")
    return {"seed": seed, "half": seed / 2, "few": [1, 2.5], "many": [seed + n for n in range(20)]}


CONFORMANCE_FILES = {
    "experiment/experiment.py": (
        "from typing import Any\n\n\n"
        + inspect.getsource(conformance_trial)
        + "\n\ndef run_trial(arm, seed, config, data):\n    return conformance_trial(arm, seed, config)\n"
    ).encode()
}

MakeSandbox = Callable[[frozenset[str]], Sandbox]
"""Shipped manifest digests → a sandbox. A fake is given `conformance_trial`."""


def check_sandbox(make: MakeSandbox) -> None:
    """What every `Sandbox` does alike. Raises AssertionError. Takes a few seconds with an engine."""
    sandbox = make(frozenset({door.manifest_digest(CONFORMANCE_FILES)}))
    for check in SANDBOX_CHECKS:
        check(sandbox)


def _refusal(kind: type[AutoresearchError], act: Callable[[], object]) -> str:
    """The message with which `act` is refused. Raises AssertionError if it is not."""
    try:
        act()
    except kind as error:
        return str(error)
    raise AssertionError(f"nothing raised {kind.__name__}")


def _approved_here(sandbox: Sandbox, name: str, **changes: Any) -> tuple[Job, Warrant]:
    # A demonstration of shipped code: the one job that every tier admits.
    return approved_job(
        CONFORMANCE_FILES,
        sandbox.isolation(),
        run_id=f"check-{name}-{os.getpid()}",
        demonstration=True,
        **changes,
    )


def await_end(sandbox: Sandbox, run_id: str, seconds: float = 60) -> JobState:
    """Poll until the run no longer runs. Raises AssertionError after `seconds`."""
    give_up = time.monotonic() + seconds
    while (state := sandbox.poll(run_id)).phase == "running":
        assert time.monotonic() < give_up, f"{run_id} still runs after {seconds} s"
        time.sleep(0.02)
    return state


def collected(sandbox: Sandbox, run_id: str, limits: ResourceLimits) -> Collected:
    """What a job with one worker left, in memory."""
    with tempfile.TemporaryDirectory() as into:
        [got] = sandbox.collect(run_id, limits, Path(into))
        assert got is not None, "nothing is left of it"
        return replace(got, files={path: bytes_of(content) for path, content in got.files.items()})


def trial_lines(got: Collected) -> list[dict[str, Any]]:
    return [json.loads(line) for line in bytes_of(got.files["trials.jsonl"]).splitlines()]


def _refuses_and_creates_nothing(sandbox: Sandbox) -> None:
    job, warrant = _approved_here(sandbox, "door")
    changed = {path: data + b"#" for path, data in job.files.items()}
    refusal = _refusal(NotApproved, lambda: sandbox.submit(replace(job, files=changed), warrant))
    assert "experiment/experiment.py" in refusal, refusal
    assert sandbox.poll(job.run_id).phase == "absent", "a refusal leaves nothing behind"


def _runs_collects_removes(sandbox: Sandbox) -> None:
    job, warrant = _approved_here(sandbox, "life")
    sandbox.submit(job, warrant)
    state = await_end(sandbox, job.run_id)
    assert state.phase == "ended", state
    got = collected(sandbox, job.run_id, job.limits)
    assert state.trials_done <= len(job.trials), state
    assert (got.facts.exit_code, bool(got.facts.timed_out), bool(got.facts.out_of_memory)) == (
        0,
        False,
        False,
    ), got
    assert got.facts.output_truncated is False, got.facts
    assert (got.facts.wall_seconds or 0) > 0, got.facts
    lines = sorted(trial_lines(got), key=lambda line: line["index"])
    assert [TrialSpec(index=e["index"], arm=e["arm"], seed=e["seed"]) for e in lines] == list(job.trials)
    for line in lines:
        seed = line["seed"]
        assert line["values"] == {"seed": seed, "half": seed / 2, "few": [1, 2.5]}, line
        assert (line["status"], line["error"]) == ("ok", None), line
        arrays = json.loads(bytes_of(got.files[line["arrays"]]))
        assert arrays == {"many": [seed + n for n in range(20)]}, arrays
    assert b"trial 4/4 ok" in got.log, got.log
    again = collected(sandbox, job.run_id, job.limits)
    assert again.files.keys() == got.files.keys(), "collecting takes nothing away"
    assert all(bytes_of(again.files[path]) == bytes_of(got.files[path]) for path in got.files)
    sandbox.remove(job.run_id)
    assert sandbox.poll(job.run_id).phase == "absent"


def _one_failing_trial_costs_no_other(sandbox: Sandbox) -> None:
    job, warrant = _approved_here(sandbox, "fail", config={"fails": "treatment"})
    sandbox.submit(job, warrant)
    await_end(sandbox, job.run_id)
    got = collected(sandbox, job.run_id, job.limits)
    sandbox.remove(job.run_id)
    assert got.facts.exit_code == TRIALS_FAILED, got
    lines = trial_lines(got)
    assert {(line["arm"], line["status"]) for line in lines} == {("control", "ok"), ("treatment", "error")}
    assert all("told to fail" in line["error"] for line in lines if line["status"] == "error"), lines


def _never_starts_a_run_twice(sandbox: Sandbox) -> None:
    job, warrant = _approved_here(sandbox, "twice")
    sandbox.submit(job, warrant)
    assert job.run_id in _refusal(SandboxFailed, lambda: sandbox.submit(job, warrant))
    assert await_end(sandbox, job.run_id).phase == "ended", "the first one goes on"
    sandbox.remove(job.run_id)


def _removes_what_is_not_there(sandbox: Sandbox) -> None:
    job, warrant = _approved_here(sandbox, "remove")
    sandbox.remove(job.run_id)
    sandbox.submit(job, warrant)
    sandbox.remove(job.run_id)  # running or not
    sandbox.remove(job.run_id)
    assert sandbox.poll(job.run_id).phase == "absent"
    sandbox.cancel(job.run_id)
    assert job.run_id in _refusal(SandboxFailed, lambda: collected(sandbox, job.run_id, job.limits))


def _cancels_and_keeps_what_is_there(sandbox: Sandbox) -> None:
    job, warrant = _approved_here(sandbox, "cancel")
    sandbox.submit(job, warrant)
    sandbox.cancel(job.run_id)
    assert await_end(sandbox, job.run_id).phase == "ended"
    sandbox.cancel(job.run_id)  # it has ended
    # Killed, unless it was quicker; never for time or memory.
    facts = collected(sandbox, job.run_id, job.limits).facts
    assert facts.exit_code in (KILLED, 0), facts
    assert (bool(facts.timed_out), bool(facts.out_of_memory)) == (False, False), facts
    sandbox.remove(job.run_id)


def _knows_the_machine(sandbox: Sandbox) -> None:
    sandbox.check_limits(ResourceLimits(memory_mb=64, cpus=1, processes=8, output_mb=1))
    assert "limits.cpus" in _refusal(InvalidInput, lambda: sandbox.check_limits(ResourceLimits(cpus=512)))


SANDBOX_CHECKS: tuple[Callable[[Sandbox], None], ...] = (
    _refuses_and_creates_nothing,
    _runs_collects_removes,
    _one_failing_trial_costs_no_other,
    _never_starts_a_run_twice,
    _removes_what_is_not_there,
    _cancels_and_keeps_what_is_there,
    _knows_the_machine,
)
