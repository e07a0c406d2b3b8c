"""`sandbox check`: the probe's table."""

from pathlib import Path

from autoresearch.adapters.sandbox_probe import probe, require_contained
from autoresearch.cli.output import show, show_json
from autoresearch.cli.wiring import open_project, open_sandbox
from autoresearch.errors import InvalidInput
from autoresearch.records import Probe, Tier, digest_of
from autoresearch.settings_in_force import settings_in_force


def tier_here(folder: Path) -> Tier:
    """The tier that the project in `folder` has set; Docker's outside a project."""
    try:
        ledger = open_project(folder)
    except InvalidInput:
        return "docker"
    return settings_in_force(ledger.entries()).isolation


def check_sandbox(tier: Tier, *, as_json: bool) -> None:
    """Try it now, whatever was tried before, and print what was found."""
    found = probe(open_sandbox(tier))
    if as_json:
        show_json({**found.model_dump(mode="json"), "digest": digest_of(found)})
    else:
        show(table(found))
    require_contained(found)


def table(found: Probe) -> list[str]:
    width = max(len(row.name) for row in found.rows)
    return [
        f"{found.engine}, {found.architecture}, image {found.image[:19]}",
        *(
            f"{'ok' if row.ok else 'NOT CONTAINED':<13}  {row.name:<{width}}  expected {row.expected}; found {row.found}"
            for row in found.rows
        ),
        *(f"untested: {what}" for what in found.untested),
        f"digest {digest_of(found)}; it is stored with every result",
    ]
