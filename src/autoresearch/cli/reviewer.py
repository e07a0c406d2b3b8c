"""`reviewer add`, `reviewer list`: whose signature the project's decisions need."""

import os
from pathlib import Path

from pydantic import ValidationError

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.ssh_signer import default_key, public_key_in
from autoresearch.adapters.stderr_progress import StderrProgress
from autoresearch.cli.identity import git_identity, git_setting
from autoresearch.cli.output import say
from autoresearch.cli.wiring import CLOCK, build_driver, open_project, sandbox_of
from autoresearch.cli.work import open_for_work, person
from autoresearch.config import parse_settings, reviewer_block, settings_diff
from autoresearch.errors import InvalidInput, Pending, Stale, Usage
from autoresearch.layout import SETTINGS_FILE
from autoresearch.records import Approval, RegisteredReviewer, first_problem
from autoresearch.safe_text import escape
from autoresearch.settings_in_force import settings_in_force


def add_reviewer(folder: Path, key: Path | None, name: str | None, email: str | None, *, plain: bool) -> None:
    """Register a key, confirmed at the terminal and signed: by it if it is the first, else by one before it."""
    ledger = open_for_work(folder)
    new = _registered(folder, ledger, key, name, email)
    head, in_force = ledger.head(), settings_in_force(ledger.entries())
    last = ledger.entries()[-1].record.body
    if isinstance(last, Approval) and last.decision == "approve":
        raise InvalidInput(
            "an approval waits for its run, and new settings would void it; first: autoresearch run"
        )
    if any(known.key == new.key for known in in_force.reviewers):
        raise InvalidInput(f"{new.fingerprint} is registered already; see: autoresearch reviewer list")
    before = ledger.read(SETTINGS_FILE, head)
    if ledger.work_file(SETTINGS_FILE) != before:
        raise InvalidInput(
            f"{SETTINGS_FILE} holds changes that are not in force yet; first: autoresearch run"
        )
    text = before.decode().rstrip("\n") + "\n" + reviewer_block(new)
    settings = parse_settings(text)
    diff = settings_diff(in_force, settings)
    reviewer = person(ledger, None, plain=plain)
    if not reviewer.confirm_settings(diff):
        raise Pending("not confirmed; nothing was recorded")
    driver = build_driver(ledger, reviewer, StderrProgress(CLOCK, os.environ), sandbox_of(ledger))
    with ledger.lock():
        if ledger.head() != head:
            raise Stale("the project moved on meanwhile; look again with: autoresearch status")
        driver.put_in_force(settings, diff, text.encode())
    names = ", ".join(str(known.person) for known in settings.reviewers)
    say(f"decisions from now on need a signature by: {names}")


def list_reviewers(folder: Path) -> list[str]:
    reviewers = settings_in_force(open_project(folder).entries()).reviewers
    if not reviewers:
        return ["no key is registered: decisions are unsigned; register one with: autoresearch reviewer add"]
    return [escape(f"{r.fingerprint}  {r.key.split()[0]}  {r.person}") for r in reviewers]


def _registered(
    folder: Path, ledger: GitLedger, key: Path | None, name: str | None, email: str | None
) -> RegisteredReviewer:
    if (name is None) != (email is None):
        raise Usage("--name and --email go together: without both, the key is registered as your own")
    who = git_identity(ledger.root)
    if key is None:
        public = default_key(
            Path.home(), git_setting("user.signingkey", ledger.root), git_setting("gpg.format", ledger.root)
        )
    else:
        public = public_key_in(folder / key)
        if not public:
            raise InvalidInput(f"{key} holds no public key; name the .pub file")
    try:
        return RegisteredReviewer(name=name or who.name, email=email or who.email, key=public)
    except ValidationError as error:
        raise InvalidInput(
            f"{key or 'your signing key'} cannot be registered: {first_problem(error)}"
        ) from error
