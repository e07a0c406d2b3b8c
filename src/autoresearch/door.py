"""The door of the sandbox: nothing starts unless these exact bytes were approved.

Every adapter that starts something calls `admit` first, with the bytes it is
about to send. Whatever the graph, a flag or an edited record says, this is
where an approval counts or does not.
"""

import hashlib
import hmac
from collections.abc import Container, Mapping

from autoresearch.errors import NotApproved
from autoresearch.ports import Job, Warrant
from autoresearch.records import (
    NO_TIER,
    Approval,
    Bundle,
    Isolation,
    Plan,
    Proposal,
    Run,
    TrialSpec,
    body_as,
    digest_of,
    sha256,
)
from autoresearch.signed import require_signed


def admit(job: Job, warrant: Warrant, isolation: Isolation, shipped: Container[str]) -> None:
    """Raise NotApproved, naming the difference, unless `warrant` covers `job` in `isolation`.

    `shipped` holds `manifest_digest` of every experiment in the installed package:
    the only code that a demonstration may run, and the only code that may ever run
    without isolation.
    """
    project = body_as(warrant.project, Proposal)
    plan = body_as(warrant.plan, Plan)
    approval = body_as(warrant.approval.record, Approval)
    run = body_as(warrant.run.record, Run)
    _decided(approval, warrant, project)
    _same_bytes(job, approval.bundle, isolation)
    _same_plan(job, warrant, approval.bundle, plan)
    if warrant.purpose == "run":
        _issued(job, run, plan, warrant.plan.digest)
    else:
        _listed_recheck(job, run, plan, approval.bundle, warrant.plan.digest)
    _fenced(project, approval, isolation, is_shipped=manifest_digest(job.files) in shipped)
    _signed(warrant)


def manifest_digest(files: Mapping[str, bytes]) -> str:
    """One digest for a set of files: over path → SHA-256."""
    return digest_of({path: sha256(data) for path, data in files.items()})


def issue_seeds(nonce: str, plan_digest: str, count: int) -> list[int]:
    """`count` seeds below 2**32, from a nonce drawn after the approval and the plan's digest.

    Neither author nor model can choose them: the plan is frozen before the nonce exists.
    """
    key = bytes.fromhex(nonce)
    message = bytes.fromhex(plan_digest)
    return [
        int.from_bytes(hmac.new(key, message + index.to_bytes(8, "big"), hashlib.sha256).digest()[:4], "big")
        for index in range(count)
    ]


def issue_trials(nonce: str, plan_digest: str, plan: Plan) -> list[TrialSpec]:
    """Every arm once per seed, seed by seed, so that an early end leaves whole pairs."""
    seeds = issue_seeds(nonce, plan_digest, plan.trials_per_arm)
    specs = [(arm.name, seed) for seed in seeds for arm in plan.arms]
    return [TrialSpec(index=index, arm=arm, seed=seed) for index, (arm, seed) in enumerate(specs)]


def recheck_trials(nonce: str, plan_digest: str, plan: Plan, bundle: Bundle) -> list[TrialSpec]:
    """The trials an approval lets run again: the first few repeated, then fresh seeds on every arm."""
    issued = issue_trials(nonce, plan_digest, plan)
    repeated = issued[: bundle.rechecks.repeated_trials]
    seeds = issue_seeds(nonce, plan_digest, plan.trials_per_arm + bundle.rechecks.fresh_seeds)
    fresh = [(arm.name, seed) for seed in seeds[plan.trials_per_arm :] for arm in plan.arms]
    first = len(issued)
    return repeated + [
        TrialSpec(index=first + index, arm=arm, seed=seed) for index, (arm, seed) in enumerate(fresh)
    ]


def _fenced(project: Proposal, approval: Approval, isolation: Isolation, *, is_shipped: bool) -> None:
    """What only the experiments in the installed package may do, and only in a project that `demo` made."""
    if not approval.reviewer.is_person and not project.demonstration:
        raise NotApproved("a script gave the approval, and this project is not marked as a demonstration")
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
    digest = None
    for entry in warrant.earlier:
        if entry.record.parent != digest:
            raise NotApproved("the history before the approval is not the one that its records name")
        digest = entry.record.digest
    if warrant.approval.record.parent != digest or warrant.earlier[0].record != warrant.project:
        raise NotApproved("the history before the approval is not the one that its records name")
    require_signed(warrant.earlier, warrant.approval)


def _decided(approval: Approval, warrant: Warrant, project: Proposal) -> None:
    if approval.decision != "approve":
        raise NotApproved(f"the reviewer decided {approval.decision}, not approve")
    if approval.shown != digest_of(approval.bundle):
        raise NotApproved("the approval was given for another bundle than the one it carries")
    if approval.bundle.project != project.project:
        raise NotApproved("the approval belongs to another project")
    run_record = warrant.run.record
    if body_as(run_record, Run).approval != warrant.approval.digest:
        raise NotApproved("the run record names another approval")
    if run_record.parent != warrant.approval.digest:
        raise NotApproved("the approval was not the ledger's last record when the run began: it is void")
    if (run_record.cycle, run_record.attempt) != (approval.bundle.cycle, approval.bundle.attempt):
        raise NotApproved("the approval was given for another cycle or attempt")


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


def _issued(job: Job, run: Run, plan: Plan, plan_digest: str) -> None:
    issued = issue_trials(run.nonce, plan_digest, plan)
    if run.trials != issued or list(job.trials) != issued:
        raise NotApproved("the trials are not the ones that follow from the nonce and the plan")


def _listed_recheck(job: Job, run: Run, plan: Plan, bundle: Bundle, plan_digest: str) -> None:
    if list(job.trials) != recheck_trials(run.nonce, plan_digest, plan, bundle):
        raise NotApproved("the approval does not list these rechecks")
