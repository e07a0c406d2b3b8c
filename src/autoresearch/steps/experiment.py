"""Run the approved trials in the sandbox: first a `run` record, which consumes the
approval, then the `result`.

The run is committed before anything starts. A supervisor that died is followed by
one that finds the run record: it joins the container if that still lives or ended
whole, and records `Lost` otherwise. Nothing runs twice under one approval.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

from autoresearch.analysis.trials import MAX_LINE_BYTES, TRIALS_FILE, Trial, parse_line
from autoresearch.analysis.worker import compute
from autoresearch.contents import Content, lines_of, ref_to, size_of
from autoresearch.door import issue_trials
from autoresearch.errors import InvalidInput, NotApproved
from autoresearch.ports import Collected, Entry, Job, JobState, Needs, Warrant
from autoresearch.records import (
    NO_TIER,
    SANDBOX,
    WEAKER,
    Approval,
    FileRef,
    Isolation,
    Plan,
    Probe,
    Result,
    ResultStatus,
    Run,
    Settings,
    TrialSpec,
    body_as,
    clip,
    count,
    digest_of,
)
from autoresearch.steps.situation import Draft, Situation, StepPorts
from autoresearch.steps.workers import UNOBSERVED, collect

POLL_SECONDS = 0.5
SOONEST_SECONDS = 0.05


def run_inputs(at: Situation) -> dict[str, str]:
    return at.digests("plan", "approval")


def result_inputs(at: Situation) -> dict[str, str]:
    return at.digests("run")


def issue(at: Situation, ports: StepPorts) -> Draft:
    """The run record: its seeds follow from the approval, whose nonce did not exist when the plan was frozen."""
    approval = at.entry("approval")
    if at.history[-1].digest != approval.digest:
        raise NotApproved(
            "the approval is no longer the ledger's last record, so it is void; it is asked for again at: autoresearch run"
        )
    _require_approved(at)
    # An engine that does not answer, or does not hold what it should, must not cost the approval.
    ports.sandbox.isolation(needs_of(at))
    probe = ports.sandbox.probe()
    plan = at.body(Plan)
    body = Run(
        approval=approval.digest,
        trials=issue_trials(at.body(Approval), at.entry("plan").digest, plan),
        run_id=f"p{at.project_id[:8]}-{approval.digest[:12]}",
        host=f"{platform.system()} {platform.machine()}",
        probe=probe,
    )
    return Draft(body, SANDBOX)


def _require_approved(at: Situation) -> None:
    """The door asks again, with the bytes; this keeps a refused run off the record."""
    approval = at.body(Approval)
    bundle = approval.bundle
    if approval.decision != "approve":
        raise NotApproved(f"the reviewer decided {approval.decision}, not approve")
    if (bundle.plan, bundle.cycle, bundle.attempt) != (at.entry("plan").digest, at.cycle, at.attempt):
        raise NotApproved("the approval was given for another plan, cycle or attempt")


def experiment_files(at: Situation) -> dict[str, bytes]:
    """The plan's files, as they are sent."""
    return {ref.path: at.read(at.entry("plan"), ref.path) for ref in at.body(Plan).experiment}


def plan_needs(plan: Entry, read: Callable[[Entry, str], bytes]) -> Needs:
    """What the plan asks of the machine, with the bytes of its lock."""
    body = body_as(plan.record, Plan)
    lock = body.environment.lock if body.environment else None
    return Needs(body.environment, read(plan, lock.path) if lock else None, body.inputs, body.limits.gpus)


def needs_of(at: Situation) -> Needs:
    return plan_needs(at.entry("plan"), at.read)


def job_for(at: Situation) -> Job:
    plan, run = at.body(Plan), at.body(Run)
    files, needs = experiment_files(at), needs_of(at)
    return Job(run.run_id, files, run.trials, plan.config, plan.limits, plan.command, needs)


def warrant_for(at: Situation) -> Warrant:
    approval = at.entry("approval")
    return Warrant(
        at.project.record, at.entry("plan").record, approval, at.entry("run"), before(at.history, approval)
    )


def before(history: Sequence[Entry], entry: Entry) -> Sequence[Entry]:
    """The records before `entry`."""
    return history[: next(n for n, known in enumerate(history) if known.digest == entry.digest)]


def execute(at: Situation, ports: StepPorts, *, fresh: bool) -> Draft:
    """Start (`fresh`) or rejoin the run, wait for its end, and read what it left."""
    job = job_for(at)
    if fresh:
        # Only the process that committed the run record may start it.
        ports.sandbox.submit(job, warrant_for(at))
    state = await_end(ports, job)
    if state.phase == "absent":
        ports.sandbox.remove(job.run_id)
        return Draft(_lost(at), SANDBOX)
    return _result(at, collect(ports.sandbox, job, ports.outputs_dir(job.run_id)))


def await_end(ports: StepPorts, job: Job) -> JobState:
    """The state in which the job no longer runs. Looks often at first: many are over in a second."""
    while (state := ports.sandbox.poll(job.run_id)).phase == "running":
        ports.on_trials(state, len(job.trials), job.limits)
        ports.sleep(min(POLL_SECONDS, max(SOONEST_SECONDS, state.elapsed_seconds / 10)))
    return state


def clean_up(at: Situation, ports: StepPorts) -> None:
    """After the result is committed; a crash before this leaves containers for the next start."""
    ports.sandbox.remove(at.body(Run).run_id)


class IsolationFields(TypedDict):
    """Those of a result that say what the run was isolated by."""

    isolation: Isolation
    probe: str | None
    caveats: list[str]


def isolation_of(at: Situation) -> IsolationFields:
    isolation, probe = at.body(Approval).bundle.isolation, at.body(Run).probe
    return {
        "isolation": isolation,
        "probe": None if probe is None else digest_of(probe),
        "caveats": caveats(isolation, probe),
    }


def caveats(isolation: Isolation, probe: Probe | None) -> list[str]:
    """What a reader must know of what the code ran in."""
    weaker = [WEAKER] if isolation.tier == "bubblewrap" else []
    if probe is None:
        return [
            *weaker,
            *([] if isolation.tier == NO_TIER else ["the isolation was not tried before the run"]),
        ]
    return [*weaker, *(f"untested: {what}" for what in probe.untested)]


def _lost(at: Situation) -> Result:
    run = at.body(Run)
    return Result(
        status="Lost",
        why="nothing is left of the run: its supervisor died and no container ended whole",
        run=at.entry("run").digest,
        **isolation_of(at),
        facts=UNOBSERVED,
        trials_issued=len(run.trials),
        trials_completed=0,
        trials=None,
    )


def _result(at: Situation, collected: Collected) -> Draft:
    run, plan = at.body(Run), at.body(Plan)
    done = completed_trials(collected.files.get(TRIALS_FILE, b""))
    status, why = _judge(collected, done, run.trials)
    if status == "Completed":
        try:
            compute(plan, run.trials, collected.files)
        except InvalidInput as error:
            status, why = "Crashed", f"the trials ended, but their outputs do not give the metric: {error}"
    files = {**collected.files, "log.txt": collected.log}
    refs = {path: artifact_ref(path, content, at.settings) for path, content in sorted(files.items())}
    body = Result(
        status=status,
        why=clip(why, 500),
        run=at.entry("run").digest,
        **isolation_of(at),
        facts=collected.facts,
        trials_issued=len(run.trials),
        trials_completed=done,
        trials=refs.pop(TRIALS_FILE, None),
        log=refs.pop("log.txt"),
        log_truncated=collected.log_truncated,
        refused=[clip(line, 500) for line in collected.refused],
        artifacts=list(refs.values()),
        workers_lost=collected.workers_lost,
    )
    return Draft(body, SANDBOX, files)


def _judge(collected: Collected, done: int, specs: Sequence[TrialSpec]) -> tuple[ResultStatus, str]:
    """Only a run in which every trial ended well, seen from outside, is completed."""
    facts, issued = collected.facts, len(specs)
    if collected.workers_lost:
        return (
            "Lost",
            f"nothing is left of {count(collected.workers_lost, 'worker')}; {done} of {issued} trials ended well",
        )
    if facts.out_of_memory:
        return "OutOfMemory", f"the kernel ended it for memory after {done} of {issued} trials"
    if facts.timed_out:
        return "TimedOut", f"the time limit ended it after {done} of {issued} trials"
    if facts.output_truncated:
        return "Crashed", f"its outputs exceed the approved limit; {done} of {issued} trials ended"
    if facts.exit_code != 0 or done != issued:
        cause = _first_error(collected.files, specs) or "see log.txt"
        return "Crashed", f"exit code {facts.exit_code}, {done} of {issued} trials ended well; {cause}"
    return "Completed", f"all {issued} trials ended well"


def _first_error(files: Mapping[str, Content], specs: Sequence[TrialSpec]) -> str:
    """The last line of what the first failed trial raised; empty if none says."""
    issued = {spec.index: spec for spec in specs}
    lines = lines_of(files.get(TRIALS_FILE, b""), MAX_LINE_BYTES + 1)
    first: Trial | None = None
    for number, line in enumerate(lines, start=1):
        try:
            trial = parse_line(line.text, number, issued)
        except InvalidInput:
            continue
        if not trial.ok and trial.error.strip() and (first is None or trial.index < first.index):
            first = trial
    if first is None:
        return ""
    return f"trial {first.index} ({first.arm}): {first.error.strip().splitlines()[-1]}"


def completed_trials(trials: Content) -> int:
    """Lines the harness marked ok: a count for people; `check` parses them strictly."""
    return sum(b'"status":"ok"' in line.text.replace(b" ", b"") for line in lines_of(trials, MAX_LINE_BYTES))


def artifact_ref(path: str, content: Content, settings: Settings) -> FileRef:
    """Large outputs are kept by digest, outside the commits."""
    return ref_to(path, content, committed=size_of(content) <= settings.artifact_limit_mb * 1_000_000)
