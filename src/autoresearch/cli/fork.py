"""`fork`: another project that shares this one's history up to a step. This one is not written to."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.input_store import InputStore
from autoresearch.adapters.stderr_progress import StderrProgress
from autoresearch.budget import pending
from autoresearch.cli.find import find_entry
from autoresearch.cli.output import say
from autoresearch.cli.start import built_aside, refuse_place, workflow_files, workflow_reference
from autoresearch.cli.wiring import CLOCK, build_driver, open_project, sandbox_of
from autoresearch.cli.work import command, person
from autoresearch.fork import fork_at, refuse_workflow, signers
from autoresearch.layout import SETTINGS_FILE, WORKFLOW_DIR
from autoresearch.ports import Entropy, Entry
from autoresearch.records import DataInput, Plan, Proposal, Spend
from autoresearch.signed import require_signed_settings
from autoresearch.workflow import parse_workflow


@dataclass(frozen=True)
class Place:
    """The record after which the histories part."""

    step: str
    cycle: int | None = None
    attempt: int | None = None


def fork_project(
    parent: Path,
    place: Place,
    folder: Path,
    entropy: Entropy,
    *,
    workflow: Path | None = None,
    reason: str = "",
    plain: bool = False,
) -> Path:
    """Everything is checked, then built aside, then moved into place. Returns the fork's folder."""
    source, folder = open_project(parent), folder.absolute()
    history = source.entries()
    require_signed_settings(history)
    last = find_entry(history, place.step, place.cycle, place.attempt)
    shared = history[: history.index(last) + 1]
    frozen = _workflow(workflow, shared)
    unrecorded = pending(history, source.noted)
    keys = signers(history, last)
    reviewer = person(source, None, plain=plain)
    body = fork_at(
        history, last,
        project=entropy.token_hex(16), reviewer=reviewer.identity(), reason=reason,
        workflow=workflow_reference(*frozen) if frozen else None,
        pending=unrecorded.spent if unrecorded else Spend(),
    )  # fmt: skip
    refuse_place(folder)
    with built_aside(folder) as aside:
        ledger = GitLedger.create(aside, CLOCK)
        ledger.take_over(source, last.commit)
        _take_along(source, ledger, shared)
        files = {f"{WORKFLOW_DIR}/{path}": data for path, data in (frozen[1] if frozen else {}).items()}
        files[SETTINGS_FILE] = source.read(SETTINGS_FILE, source.head())
        driver = build_driver(ledger, reviewer, StderrProgress(CLOCK, os.environ), sandbox_of(ledger))
        driver.record_fork(body, files, keys)
        ledger.close()
    made = open_project(folder)
    say(
        f"forked after {last.record.step} (cycle {last.record.cycle}, attempt {last.record.attempt}): "
        f"{len(shared)} records shared, to commit {last.commit[:12]}; no approval given before counts there"
    )
    say(f"go on with: {command(made, 'run')}")
    return folder


def _workflow(chosen: Path | None, shared: Sequence[Entry]) -> tuple[str, dict[str, bytes]] | None:
    if chosen is None:
        return None
    files = workflow_files(chosen)
    workflow = parse_workflow(files["workflow.yaml"].decode(), str(chosen))
    refuse_workflow(workflow, shared)
    return workflow.name, files


def _take_along(source: GitLedger, ledger: GitLedger, shared: Sequence[Entry]) -> None:
    """What the shared records vouch for and git does not hold: large outputs, and the person's data."""
    for entry in shared:
        for ref in entry.record.body.files():
            content = None if ref.committed else source.stored(ref.sha256)
            if content is not None:
                ledger.keep(content)
            elif not ref.committed:
                say(f"not in this clone, so not in the fork: {ref.path} ({ref.sha256[:12]})")
    store, here = InputStore(ledger.inputs_dir), InputStore(source.inputs_dir)
    wanted = {item.sha256: item for entry in shared for item in _inputs(entry)}
    for sha256, item in wanted.items():
        if here.measure(sha256) is None:
            say(f"not in this clone, so not in the fork: data {item.name} ({sha256[:12]})")
            continue
        store.take_in(item.name, str(here.place(sha256)), ledger.root)


def _inputs(entry: Entry) -> Sequence[DataInput]:
    body = entry.record.body
    return body.inputs if isinstance(body, Proposal | Plan) else ()
