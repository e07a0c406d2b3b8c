"""`doctor`: what is missing on this machine, and the command that mends it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from autoresearch.adapters.confine import confinement
from autoresearch.budget import refuse_unknown_price
from autoresearch.cli.identity import git_identity
from autoresearch.cli.sandbox import tier_here
from autoresearch.cli.wiring import open_model, open_project, project_workflow
from autoresearch.errors import AutoresearchError, BackEndMissing, InvalidInput
from autoresearch.prices import price_of
from autoresearch.records import ModelChoice, Settings, Tier, digest_of
from autoresearch.settings_in_force import settings_in_force
from autoresearch.ssh_signature import INSTALL

OLDEST_PYTHON = (3, 11)


Examined = tuple[str, Callable[[], str], bool]
"""Name; says what is there, or raises with what to type; whether the main job needs it."""


def examine() -> None:
    """Print a line a check; raises BackEndMissing if the main job could not run."""
    checks: list[Examined] = [
        ("python", _python, True),
        ("git", _git, True),
        ("identity", lambda: str(git_identity(Path.cwd())), True),
        ("signing", _signing, False),
        ("sources", _sources, False),
        *_tier(tier_here(Path.cwd())),
        ("disk", _disk, True),
        *_models(Path.cwd()),
    ]
    missing = [name for name, check, needed in checks if not _line(name, check) and needed]
    if missing:
        raise BackEndMissing(f"missing: {', '.join(missing)}; the lines above say what to type")


def _line(name: str, check: Callable[[], str]) -> bool:
    try:
        print(f"ok       {name:<10} {check()}")
    except AutoresearchError as error:
        first, *rest = str(error).splitlines()
        print(f"missing  {name:<10} {first}")
        for line in rest:
            print(f"                    {line}")
        return False
    return True


def _python() -> str:
    if sys.version_info < OLDEST_PYTHON:
        raise BackEndMissing(f"{sys.version.split()[0]} is too old; autoresearch needs 3.11 or later")
    return sys.version.split()[0]


def _git() -> str:
    if shutil.which("git") is None:
        raise BackEndMissing("git is not installed; apt-get install git")
    done = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip().removeprefix("git version ")


def _signing() -> str:
    if shutil.which("ssh-keygen") is None:
        raise BackEndMissing(f"{INSTALL}; not needed in projects without reviewers' keys")
    return "ssh-keygen is there, for: autoresearch reviewer add"


def _sources() -> str:
    confinement()
    return "PDFs and .bib files in sources/ can be read in confinement"


def _tier(tier: Tier) -> list[Examined]:
    """What the tier of the project here needs; Docker's outside a project."""
    if tier == "bubblewrap":
        return [("bubblewrap", _bubblewrap, True)]
    gvisor: list[Examined] = [("gvisor", _gvisor, True)] if tier == "gvisor" else []
    return [("engine", _engine, True), *gvisor, ("image", _image, False)]


def _gvisor() -> str:
    from autoresearch.adapters.engine import connect
    from autoresearch.adapters.gvisor import platform_of

    client = connect()
    try:
        return f"registered with the engine, platform {platform_of(client.info())}"
    finally:
        client.close()


def _bubblewrap() -> str:
    from autoresearch.adapters.bubblewrap_sandbox import require_machine
    from autoresearch.adapters.control_group import version

    return f"{require_machine()}, control groups version {version()}; weaker than a container"


def _engine() -> str:
    from autoresearch.adapters.engine import connect

    client = connect()
    try:
        return f"Docker {client.version()['Version']}"
    finally:
        client.close()


def _image() -> str:
    from autoresearch.adapters.image import find

    found = find()
    if found is None:
        raise BackEndMissing("not built yet (the first run builds it); autoresearch sandbox build")
    return found[:19]


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free // 2**20
    if free < 2048:
        raise BackEndMissing(f"only {free} MB free here; the image takes about 700 MB")
    return f"{free // 1024} GB free"


def _models(folder: Path) -> list[Examined]:
    """Each model that steps of the project here ask; outside a project, what most people use."""
    try:
        ledger = open_project(folder)
    except InvalidInput:
        return [("key", _key, False)]
    settings = settings_in_force(ledger.entries())
    steps = {name: step for name, step in project_workflow(ledger).steps.items() if step.prompt}
    asked: dict[str, list[str]] = {}
    choices = {name: settings.model_of(name, step.model) for name, step in steps.items()}
    for name, choice in choices.items():
        asked.setdefault(digest_of(choice), []).append(name)
    return [("model", partial(_model, choices[names[0]], names, settings), True) for names in asked.values()]


def _model(choice: ModelChoice, steps: list[str], settings: Settings) -> str:
    """Raises BackEndMissing without its credential or program, InvalidInput if nobody knows it."""
    model = open_model(choice)
    who = f"{choice.use} for {', '.join(steps)}"
    if model is None:
        return f"{who}: they read proposal.md"
    model.require_credential()
    refuse_unknown_price(settings.budget, price_of(choice), choice.use)
    if choice.use.startswith("command:"):
        return f"{who}: the program is there"
    return f"{who}: a credential is set, for {choice.base_url or 'the provider itself'}"


def _key() -> str:
    if os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_AUTH_TOKEN"):
        return "a credential for anthropic:<model> is set"
    raise BackEndMissing("no credential for anthropic:<model>; not needed with model none")
