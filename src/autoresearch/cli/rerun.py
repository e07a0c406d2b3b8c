"""`replay --experiments`: run what each approval lists for rechecks again, and compare with the record."""

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.tty import Tty, open_controlling_terminal
from autoresearch.cli.output import say
from autoresearch.cli.system import sleep
from autoresearch.cli.wiring import open_sandbox
from autoresearch.errors import AutoresearchError, InvalidInput
from autoresearch.ports import Entry
from autoresearch.records import Approval, Plan, Result, Run, body_as
from autoresearch.steps.check import compare_rechecks, recheck_job, run_recheck
from autoresearch.steps.experiment import plan_needs
from autoresearch.vouched import finder, reader


def rerun_experiments(ledger: GitLedger) -> None:
    entries = list(ledger.entries())
    completed = [e for e in entries if isinstance(b := e.record.body, Result) and b.status == "Completed"]
    if not completed:
        raise InvalidInput("no experiment of this project completed, so there is nothing to run again")
    _confirm(
        f"run {len(completed)} approved experiment(s) again, the trials their approvals list",
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
    same = True
    for trial in compare_rechecks(
        body_as(plan.record, Plan), body_as(run.record, Run).trials, recorded, job.trials, again.files
    ):
        verdict = "fresh seed" if trial.fresh else "equal" if trial.same_bytes else "DIFFERS"
        same = same and trial.same_bytes is not False
        print(f"{verdict:<10}  {trial.trial.arm} seed {trial.trial.seed}: {trial.value}")
    return same


def _confirm(what: str, word: str) -> None:
    with Tty(open_controlling_terminal, timeout=None, stays_open="nothing was run", encoding="utf-8") as tty:
        if tty.ask(f"This will {what}. Type {word} to go on: ") != word:
            raise tty.pending("not confirmed")
