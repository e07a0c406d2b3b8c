"""No way round a gate succeeds: nothing starts, and no conclusion is accepted."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "security.md"
BEGIN, END = "<!-- ways round the gates, written by the tests: begin -->\n", "<!-- end -->\n"
LEAST = 40


def _ways():
    spec = importlib.util.spec_from_file_location("gate_ways", HERE / "ways.py")
    sys.modules["gate_ways"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.WAYS


WAYS = _ways()
BEFORE = {"waiting": (0, 0), "rejected": (0, 0), "approved": (0, 0), "concluded": (1, 0)}


@pytest.mark.docker
@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.group}: {way.name}")
def test_it_comes_to_nothing(way, bench):
    made = bench(way.stage)
    way.run(made)
    assert made.sandbox.submitted == [], "something was started"
    kinds = [entry.record.kind for entry in made.ledger.entries()] if _readable(made) else []
    assert "report" not in kinds


def _readable(made):
    from autoresearch.errors import LedgerError

    try:
        made.ledger.entries()
    except LedgerError:
        return False
    return True


def table():
    rows = [f"| {way.group} | {way.name} | {way.outcome} |" for way in WAYS]
    return "\n".join(
        [
            f"{len(WAYS)} ways, none of which succeeds:",
            "",
            "| by | tried | what becomes of it |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def test_the_page_lists_every_way():
    """Written anew with AUTORESEARCH_SNAPSHOTS=write."""
    assert len(WAYS) >= LEAST
    assert len({(way.group, way.name) for way in WAYS}) == len(WAYS)
    text = PAGE.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END, 1)[1]
    wanted = f"{head}{BEGIN}{table()}{END}{tail}"
    if os.environ.get("AUTORESEARCH_SNAPSHOTS") == "write":
        PAGE.write_text(wanted)
    assert PAGE.read_text() == wanted
