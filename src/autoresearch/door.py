"""The door of the sandbox: nothing starts unless these exact bytes were approved.

Every adapter that starts something calls `admit` first, with the bytes it is
about to send. Whatever the graph, a flag or an edited record says, this is
where an approval counts or does not.
"""

import hashlib
import hmac
from collections.abc import Container, Mapping, Sequence

from autoresearch.errors import NotApproved
from autoresearch.ports import Entry, Job, TryWarrant, Warrant
from autoresearch.records import (
    NO_TIER,
    Approval,
    Bundle,
    Fork,
    Isolation,
    Plan,
    Proposal,
    Record,
    ResourceLimits,
    Run,
    TrialSpec,
    body_as,
    digest_of,
    sha256,
)
from autoresearch.settings_in_force import project_in_force
from autoresearch.signed import require_signed, require_signed_try

TRY_SECONDS = 60
"""The longest that a try may take."""
TRY_NAME = "-try-"
"""Stands in the run id of every try and of nothing else, so that neither passes for the other."""
OTHER_HISTORY = "the history before the approval is not the one that its records name"
_RUN_SEEDS = 2**31
"""Runs and rechecks have the seeds below, tries those from here to 2**32."""


def admit(
    job: Job,
    warrant: Warrant | TryWarrant,
    isolation: Isolation,
    shipped: Container[str],
    data: Mapping[str, str | None] | None = None,
) -> None:
    """Raise NotApproved, naming the difference, unless `warrant` covers `job` in `isolation`.

    `shipped` holds `manifest_digest` of every experiment in the installed package:
    the only code that a demonstration may run, and the only code that may ever run
    without isolation. `data` holds, by the digest of each input, the digest that its files
    give now; a sandbox that mounts none leaves it out, and no job with inputs is admitted.
    """
    is_shipped = manifest_digest(job.files) in shipped
    if isinstance(warrant, TryWarrant):
        _admit_try(job, warrant, isolation, is_shipped=is_shipped)
        _same_data(job, data or {})
        return
    if TRY_NAME in job.run_id:
        raise NotApproved("a run cannot go by the name of a try")
    project = body_as(warrant.project, Proposal)
    plan = body_as(warrant.plan, Plan)
    approval = body_as(warrant.approval.record, Approval)
    run = body_as(warrant.run.record, Run)
    _decided(approval, warrant)
    _same_bytes(job, approval.bundle, isolation)
    _same_plan(job, warrant, approval.bundle, plan)
    _same_needs(job, approval.bundle, plan, isolation)
    _same_data(job, data or {})
    if warrant.purpose == "run":
        _issued(job, run, approval, plan, warrant.plan.digest)
    else:
        _listed_recheck(job, approval, plan, warrant.plan.digest)
        _not_forked_since(warrant)
    if not approval.reviewer.is_person and not project.demonstration:
        raise NotApproved("a script gave the approval, and this project is not marked as a demonstration")
    _fenced(project, isolation, is_shipped=is_shipped)
    _signed(warrant)


def _admit_try(job: Job, warrant: TryWarrant, isolation: Isolation, *, is_shipped: bool) -> None:
    """The bytes, limits and sandbox that the gate shows, for one short look and nothing more."""
    project, plan, bundle = body_as(warrant.project, Proposal), body_as(warrant.plan, Plan), warrant.bundle
    if warrant.confirmed != digest_of(bundle):
        raise NotApproved("the digest that was confirmed is not that of what the gate shows")
    _chained(warrant.earlier, warrant.project)
    if bundle.project != project_in_force(warrant.earlier):
        raise NotApproved("what the gate shows belongs to another project")
    if TRY_NAME not in job.run_id:
        raise NotApproved("a try cannot go by the name of a run")
    _same_bytes(job, bundle.model_copy(update={"limits": try_limits(bundle.limits)}), isolation)
    if warrant.plan.digest != bundle.plan or dict(job.config) != plan.config:
        raise NotApproved("the plan or its configuration differs from what the gate shows")
    _same_needs(job, bundle, plan, isolation)
    if list(job.trials) != try_trials(warrant.nonce, warrant.plan.digest, plan):
        raise NotApproved("a try is one trial an arm, on the throwaway seed that follows from its nonce")
    _fenced(project, isolation, is_shipped=is_shipped)
    if bundle.plan not in {entry.digest for entry in warrant.earlier}:
        raise NotApproved("the plan that the gate shows is not in the history that is given with it")
    require_signed_try(warrant)


def try_limits(limits: ResourceLimits) -> ResourceLimits:
    """The run's own, but for at most a minute."""
    return limits.model_copy(update={"seconds": min(limits.seconds, TRY_SECONDS)})


def try_trials(nonce: str, plan_digest: str, plan: Plan) -> list[TrialSpec]:
    """Every arm once, on one seed that no run or recheck can ever be given."""
    seed = _RUN_SEEDS + _draw(nonce, b"try" + bytes.fromhex(plan_digest))
    return [TrialSpec(index=index, arm=arm.name, seed=seed) for index, arm in enumerate(plan.arms)]


def manifest_digest(files: Mapping[str, bytes]) -> str:
    """One digest for a set of files: over path → SHA-256."""
    return digest_of({path: sha256(data) for path, data in files.items()})


def issue_seeds(nonce: str, plan_digest: str, count: int) -> list[int]:
    """`count` seeds below 2**31, from the approval's nonce and the plan's digest.

    Neither author nor model can choose them: the plan is frozen before the nonce exists.
    """
    message = bytes.fromhex(plan_digest)
    return [_draw(nonce, message + index.to_bytes(8, "big")) for index in range(count)]


def _draw(nonce: str, message: bytes) -> int:
    """A number below `_RUN_SEEDS`."""
    digest = hmac.new(bytes.fromhex(nonce), message, hashlib.sha256).digest()
    return int.from_bytes(digest[:4], "big") % _RUN_SEEDS


def issue_trials(approval: Approval, plan_digest: str, plan: Plan) -> list[TrialSpec]:
    """Every arm once per seed, seed by seed, so that an early end leaves whole pairs."""
    seeds = issue_seeds(_nonce(approval), plan_digest, plan.trials_per_arm)
    specs = [(arm.name, seed) for seed in seeds for arm in plan.arms]
    return [TrialSpec(index=index, arm=arm, seed=seed) for index, (arm, seed) in enumerate(specs)]


def _nonce(approval: Approval) -> str:
    if approval.nonce is None:
        raise NotApproved(f"the reviewer decided {approval.decision}, not approve")
    return approval.nonce


def recheck_trials(approval: Approval, plan_digest: str, plan: Plan) -> list[TrialSpec]:
    """The trials an approval lets run again: the first few repeated, then fresh seeds on every arm."""
    issued, listed = issue_trials(approval, plan_digest, plan), approval.bundle.rechecks
    repeated = issued[: listed.repeated_trials]
    seeds = issue_seeds(_nonce(approval), plan_digest, plan.trials_per_arm + listed.fresh_seeds)
    fresh = [(arm.name, seed) for seed in seeds[plan.trials_per_arm :] for arm in plan.arms]
    first = len(issued)
    return repeated + [
        TrialSpec(index=first + index, arm=arm, seed=seed) for index, (arm, seed) in enumerate(fresh)
    ]


def _fenced(project: Proposal, isolation: Isolation, *, is_shipped: bool) -> None:
    """What only the experiments in the installed package may do, and only in a project that `demo` made."""
    if project.demonstration and not is_shipped:
        raise NotApproved(
            "a demonstration may run only the experiments that ship with autoresearch; this code is not one of them"
        )
    if isolation.tier == NO_TIER and not (project.example and is_shipped):
        raise NotApproved(
            "without isolation only the experiments that ship with autoresearch may run, and only from: autoresearch demo"
        )


def _signed(warrant: Warrant) -> None:
    """The whole history up to the approval is asked, since it says whose signature counts.

    Each record names the one before it by digest, and the approval the last: with a genuine
    approval at its end, none can have been left out or put in.
    """
    last = _chained(warrant.earlier, warrant.project)
    if warrant.approval.record.parent != last.record.digest:
        raise NotApproved(OTHER_HISTORY)
    require_signed(warrant.earlier, warrant.approval)


def _chained(earlier: Sequence[Entry], project: Record) -> Entry:
    """The last of `earlier`, if each names the one before it and the first is `project`."""
    digest = None
    for entry in earlier:
        if entry.record.parent != digest:
            raise NotApproved(OTHER_HISTORY)
        digest = entry.record.digest
    if not earlier or earlier[0].record != project:
        raise NotApproved(OTHER_HISTORY)
    return earlier[-1]


def _decided(approval: Approval, warrant: Warrant) -> None:
    if approval.decision != "approve":
        raise NotApproved(f"the reviewer decided {approval.decision}, not approve")
    if approval.shown != digest_of(approval.bundle):
        raise NotApproved("the approval was given for another bundle than the one it carries")
    _chained(warrant.earlier, warrant.project)
    if approval.bundle.project != project_in_force(warrant.earlier):
        raise NotApproved("the approval belongs to another project")
    run_record = warrant.run.record
    if body_as(run_record, Run).approval != warrant.approval.digest:
        raise NotApproved("the run record names another approval")
    if run_record.parent != warrant.approval.digest:
        raise NotApproved("the approval was not the ledger's last record when the run began: it is void")
    if (run_record.cycle, run_record.attempt) != (approval.bundle.cycle, approval.bundle.attempt):
        raise NotApproved("the approval was given for another cycle or attempt")


def _not_forked_since(warrant: Warrant) -> None:
    """The records since the run are given, and this is still the project that the approval was given in."""
    last = warrant.run.digest
    for entry in warrant.later:
        if entry.record.parent != last:
            raise NotApproved("the history after the run is not the one that its records name")
        if isinstance(entry.record.body, Fork):
            raise NotApproved(
                "it was approved in the project that this one was forked from, and only for there"
            )
        last = entry.digest
    if not warrant.later:
        raise NotApproved("a recheck comes after a result, and none is given with it")


def _same_bytes(job: Job, bundle: Bundle, isolation: Isolation) -> None:
    sent = {path: sha256(data) for path, data in job.files.items()}
    if sent != bundle.files:
        differing = sorted(p for p in sent.keys() | bundle.files.keys() if sent.get(p) != bundle.files.get(p))
        raise NotApproved(f"{', '.join(differing)} differs from what was approved")
    if job.limits != bundle.limits:
        raise NotApproved("the limits differ from what was approved")
    for name in ("tier", "image", "policy_sha256", "harness_sha256"):
        now, then = getattr(isolation, name), getattr(bundle.isolation, name)
        if now != then:
            raise NotApproved(f"the sandbox's {name} is {now}, but {then} was approved")


def _same_plan(job: Job, warrant: Warrant, bundle: Bundle, plan: Plan) -> None:
    if warrant.plan.digest != bundle.plan:
        raise NotApproved("the plan differs from the one that was approved")
    if dict(job.config) != plan.config or job.limits != plan.limits:
        raise NotApproved("the job's configuration differs from the approved plan")


def _same_needs(job: Job, bundle: Bundle, plan: Plan, isolation: Isolation) -> None:
    """What the job is and asks beyond its files: the command, the environment, the data, the GPUs."""
    needs, environment = job.needs, plan.environment
    if list(job.command) != plan.command:
        raise NotApproved("the job's command differs from the approved plan")
    if needs.gpus != plan.limits.gpus:
        raise NotApproved("the job's GPUs differ from the approved plan")
    lock = environment.lock if environment else None
    if needs.environment != environment or (sha256(needs.lock) if needs.lock else None) != (
        lock.sha256 if lock else None
    ):
        raise NotApproved("the job's environment differs from the approved plan")
    if environment and environment.image not in (None, isolation.image):
        raise NotApproved(f"the sandbox's image is {isolation.image}, but the plan names {environment.image}")
    if {item.name: item.sha256 for item in needs.inputs} != bundle.inputs or list(
        needs.inputs
    ) != plan.inputs:
        raise NotApproved("the job's data differ from what was approved")


def _same_data(job: Job, data: Mapping[str, str | None]) -> None:
    for item in job.needs.inputs:
        if item.sha256 not in data:
            raise NotApproved(f"/data/{item.name} cannot be given in this sandbox")
        found = data[item.sha256]
        if found != item.sha256:
            now = (
                f"its files give {found[:12]} now" if found else "its files are gone or no longer plain files"
            )
            raise NotApproved(
                f"/data/{item.name} differs from what was approved: {now}, {item.sha256[:12]} was approved; "
                f"put the files back at .git/autoresearch/inputs/{item.sha256}"
            )


def _issued(job: Job, run: Run, approval: Approval, plan: Plan, plan_digest: str) -> None:
    issued = issue_trials(approval, plan_digest, plan)
    if run.trials != issued or list(job.trials) != issued:
        raise NotApproved("the trials are not the ones that follow from the nonce and the plan")


def _listed_recheck(job: Job, approval: Approval, plan: Plan, plan_digest: str) -> None:
    if list(job.trials) != recheck_trials(approval, plan_digest, plan):
        raise NotApproved("the approval does not list these rechecks")
