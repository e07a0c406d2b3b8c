"""`demo`: a shipped example from start to report, decided by a person or, without one, by a script that says so."""

import difflib
import os
from pathlib import Path

from autoresearch import assets
from autoresearch.adapters.demonstration import DemonstrationReviewer
from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.stderr_progress import StderrProgress
from autoresearch.adapters.tty import open_controlling_terminal
from autoresearch.cli.identity import git_identity
from autoresearch.cli.output import say
from autoresearch.cli.start import Choices, start_project
from autoresearch.cli.system import SystemEntropy
from autoresearch.cli.wiring import CLOCK, build_driver, demo_sandbox
from autoresearch.cli.work import build_report, person, say_what_next
from autoresearch.errors import InvalidInput
from autoresearch.records import Person


def run_demo(base: Path, example: str, folder: Path | None, *, plain: bool) -> None:
    from autoresearch.driver import ended_badly

    proposal = _example(example)
    attended = has_terminal()
    if attended:
        git_identity(base)  # a person's decisions need a name, so say so before anything is made
    place = base / folder if folder else _free_place(base / "demo", example)
    author = Person(name=f"the shipped example {example}", email="examples@localhost")
    choices = Choices(example=example, demonstration=not attended)
    made = start_project(proposal, place, choices, SystemEntropy(), author)
    say(f"example {example}, in {os.path.relpath(made)}")
    if not attended:
        say("no terminal: a script answers both gates, and every page of the report says so")
    ledger = GitLedger(made, CLOCK)
    reviewer = person(ledger, None, plain=plain) if attended else DemonstrationReviewer(CLOCK)
    with StderrProgress(CLOCK, os.environ) as progress:
        ending = build_driver(ledger, reviewer, progress, demo_sandbox).run()
    build_report(made)
    say_what_next(ledger)
    bad = ended_badly(ending)
    if bad is not None:
        raise bad


def has_terminal() -> bool:
    try:
        os.close(open_controlling_terminal())
    except OSError:
        return False
    return os.isatty(0)


def _example(name: str) -> Path:
    known = sorted(path.parent.name for path in assets.examples().glob("*/proposal.md"))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
        raise InvalidInput(f"no example is called {name}; {hint}")
    return assets.examples() / name / "proposal.md"


def _free_place(parent: Path, name: str) -> Path:
    """demo/EXAMPLE, then demo/EXAMPLE-2 …"""
    number = 1
    while (place := parent / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return place
