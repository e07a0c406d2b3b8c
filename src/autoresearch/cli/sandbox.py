"""`sandbox check`: the probe's table."""

from pathlib import Path

from autoresearch.adapters.docker_probe import probe
from autoresearch.cli.wiring import open_project, open_sandbox
from autoresearch.errors import BackEndMissing, InvalidInput
from autoresearch.records import Tier
from autoresearch.settings_in_force import settings_in_force


def tier_here(folder: Path) -> Tier:
    """The tier that the project in `folder` has set; Docker's outside a project."""
    try:
        ledger = open_project(folder)
    except InvalidInput:
        return "docker"
    return settings_in_force(ledger.entries()).isolation


def check_sandbox(tier: Tier) -> None:
    sandbox = open_sandbox(tier)
    print(f"{sandbox.isolation().engine}, image {sandbox.isolation().image[:19]}")
    rows = probe(sandbox)
    width = max(len(row.name) for row in rows)
    for row in rows:
        print(
            f"{'ok' if row.ok else 'NOT CONTAINED':<13}  {row.name:<{width}}  expected {row.expected}; found {row.found}"
        )
    if not all(row.ok for row in rows):
        raise BackEndMissing(
            "the sandbox does not contain everything it should; do not run experiments on this machine"
        )
