"""`replay --experiments`: run what each approval lists for rechecks again, and compare with the record."""

from math import isclose
from typing import Literal

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.tty import Tty, open_controlling_terminal
from autoresearch.cli.output import say
from autoresearch.cli.system import sleep
from autoresearch.cli.wiring import open_sandbox
from autoresearch.comparison import TOLERANCE
from autoresearch.errors import AutoresearchError, InvalidInput
from autoresearch.ports import Entry
from autoresearch.records import Approval, Check, Plan, RecheckTrial, Result, Run, body_as, count
from autoresearch.steps.check import compare_rechecks, recheck_job, run_recheck
from autoresearch.steps.experiment import plan_needs
from autoresearch.vouched import finder, reader


def rerun_experiments(ledger: GitLedger) -> None:
    entries = list(ledger.entries())
    completed = [e for e in entries if isinstance(b := e.record.body, Result) and b.status == "Completed"]
    if not completed:
        raise InvalidInput("no experiment of this project completed, so there is nothing to run again")
    _confirm(
        f"run {count(len(completed), 'approved experiment')} again, the trials that their approvals list",
        ledger.head()[:8],
    )
    with ledger.lock():  # the outputs of a `run` would lie where these do
        differing = sum(not _rerun(ledger, entries, entry) for entry in completed)
        ledger.clear_outputs()
    if differing:
        raise AutoresearchError(
            f"{differing} of {len(completed)} experiments gave other values than on record"
        )


def _rerun(ledger: GitLedger, entries: list[Entry], result: Entry) -> bool:
    by_digest = {entry.digest: entry for entry in entries}
    run = by_digest[body_as(result.record, Result).run]
    approval = by_digest[body_as(run.record, Run).approval]
    plan = by_digest[body_as(approval.record, Approval).bundle.plan]
    read = reader(ledger)
    files = {ref.path: read(plan, ref.path) for ref in body_as(plan.record, Plan).experiment}
    needs = plan_needs(plan, read)
    job, warrant = recheck_job(entries, plan, approval, run, files, needs=needs, suffix="replay")
    say(f"cycle {result.record.cycle}, attempt {result.record.attempt}: {len(job.trials)} trials")
    tier = body_as(approval.record, Approval).bundle.isolation.tier
    again = run_recheck(open_sandbox(tier, ledger.inputs_dir), job, warrant, sleep, ledger.outputs_dir)
    find = finder(ledger)
    recorded = {ref.path: find(result, ref.path) for ref in result.record.body.files()}
    trials = compare_rechecks(
        body_as(plan.record, Plan), body_as(run.record, Run).trials, recorded, job.trials, again.files
    )
    before = _values(entries, result, body_as(run.record, Run))
    verdicts = [verdict_on(trial, before.get((trial.trial.arm, trial.trial.seed))) for trial in trials]
    for trial, verdict in zip(trials, verdicts, strict=True):
        print(f"{verdict:<10}  {trial.trial.arm} seed {trial.trial.seed}: {trial.value}")
    if "close" in verdicts:
        print(f"close: other raw values, but a metric within {TOLERANCE:g} of the recorded one, relative")
    return "DIFFERS" not in verdicts


Verdict = Literal["fresh seed", "equal", "close", "DIFFERS"]


def verdict_on(trial: RecheckTrial, before: float | None) -> Verdict:
    """`before`: the recorded metric; None if it was never computed, and then only raw values count."""
    if trial.fresh:
        return "fresh seed"
    if trial.same_data is False:
        return "DIFFERS"
    if trial.same_bytes:
        return "equal"
    if trial.value is not None and before is not None and isclose(trial.value, before, rel_tol=TOLERANCE):
        return "close"
    return "DIFFERS"


def _values(entries: list[Entry], result: Entry, run: Run) -> dict[tuple[str, int], float]:
    """(arm, seed) → the metric that the check of this result recorded; empty without one."""
    checks = [e.record.body for e in entries if result.digest in e.record.inputs.values()]
    arms = next((body.arms for body in checks if isinstance(body, Check)), [])
    seeds = {arm.arm: [spec.seed for spec in run.trials if spec.arm == arm.arm] for arm in arms}
    return {
        (arm.arm, seed): value for arm in arms for seed, value in zip(seeds[arm.arm], arm.values, strict=True)
    }


def _confirm(what: str, word: str) -> None:
    with Tty(open_controlling_terminal, timeout=None, stays_open="nothing was run", encoding="utf-8") as tty:
        if tty.ask(f"This will {what}. Type {word} to go on: ") != word:
            raise tty.pending("not confirmed")
