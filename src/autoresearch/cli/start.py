"""Make a project from a written proposal: its first commit, or nothing at all."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from pydantic import ValidationError

from autoresearch import __version__, assets
from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.input_store import InputStore
from autoresearch.cli.identity import git_identity
from autoresearch.cli.output import say
from autoresearch.cli.take_in import take_in
from autoresearch.cli.wiring import CLOCK, open_model, require_models, shared_model
from autoresearch.config import render_settings
from autoresearch.driver import Written
from autoresearch.errors import InvalidInput, LedgerError, Usage
from autoresearch.layout import IGNORE_FILE, IGNORED, SETTINGS_FILE, WORKFLOW_DIR
from autoresearch.ports import Entropy
from autoresearch.prompts import parse_prompt
from autoresearch.proposal import parse_proposal, read_proposal
from autoresearch.records import (
    HUMAN,
    ModelChoice,
    Person,
    Proposal,
    Record,
    Settings,
    Tool,
    WorkflowRef,
    clip,
    count,
    digest_of,
    first_problem,
    sha256,
)
from autoresearch.workflow import parse_workflow


@dataclass(frozen=True)
class Choices:
    """What the command line says about a new project."""

    workflow: Path | None = None
    """A workflow.yaml; None: the shipped standard one."""
    model: str = "none"
    base_url: str = ""
    title: str | None = None
    example: str | None = None
    demonstration: bool = False


def start_project(
    proposal: Path, folder: Path, choices: Choices, entropy: Entropy, author: Person | None = None
) -> Path:
    """Everything is checked, then built aside, then moved into place. Returns the project's folder."""
    text = read_proposal(proposal)
    settings = _settings(choices)
    if open_model(settings.model) is None:
        parsed_title = parse_proposal(text, proposal.name).title
    else:
        parsed_title = _first_line(text)
    files = workflow_files(choices.workflow)
    workflow = parse_workflow(files["workflow.yaml"].decode(), "workflow.yaml")
    require_models(workflow, settings, workflow.steps)  # nothing is made that could not go on
    folder = folder.absolute()
    refuse_place(folder)
    author = author or git_identity(Path.cwd())
    body = Proposal(
        project=entropy.token_hex(16),
        title=clip(choices.title or parsed_title, 200),
        text=text,
        text_sha256=sha256(text.encode()),
        author=author,
        settings=settings,
        workflow=workflow_reference(workflow.name, files),
        tool=Tool(version=__version__, lock_sha256=assets.tool_lock_digest()),
        example=choices.example,
        demonstration=choices.demonstration,
    )
    committed = {
        SETTINGS_FILE: render_settings(settings).encode(),
        IGNORE_FILE: IGNORED,
        **{f"{WORKFLOW_DIR}/{path}": data for path, data in files.items()},
    }
    sources = _build_aside(folder, body, proposal, committed).sources
    if sources:
        read = sum(source.text is not None for source in sources)
        rest = count(len(sources) - read, "reference")
        say(f"reading material taken in: {count(read, 'text')}, {rest} without a text")
    warning = shared_model(workflow, settings)
    if warning:
        say(warning)
    return folder


def _settings(choices: Choices) -> Settings:
    """Raises Usage naming the option that cannot be."""
    try:
        return Settings(model=ModelChoice(use=choices.model, base_url=choices.base_url))
    except ValidationError as error:
        option = {"use": "model", "base_url": "base-url"}[str(error.errors()[0]["loc"][0])]
        raise Usage(f"--{option} cannot be used: {first_problem(error)}") from error


def _build_aside(folder: Path, body: Proposal, source: Path, files: dict[str, bytes]) -> Written:
    with built_aside(folder) as aside:
        ledger = GitLedger.create(aside, CLOCK)
        written = take_in(body.text, source.name, source.parent, InputStore(ledger.inputs_dir))
        record = Record(
            kind="proposal", cycle=1, attempt=1, step="start", parent=None, inputs={}, made_by=HUMAN,
            body=written.body(body, body.settings),
        )  # fmt: skip
        files = {**files, **written.files(record)}
        ledger.append(record, files, after="", author=body.author, extra=tuple(files))
        ledger.close()
    return written


@contextmanager
def built_aside(folder: Path) -> Iterator[Path]:
    """A new directory beside `folder`, which it becomes if all went well; else nothing is left of it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".autoresearch-", dir=folder.parent))
    try:
        yield aside
        aside.chmod(0o777 & ~_umask())
        aside.rename(folder)
    except LedgerError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise LedgerError(f"no project was made: {error}") from error
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def refuse_place(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Usage(f"{folder} exists and is not empty; name another directory")
    outer = next((parent for parent in folder.parents if parent.is_dir()), folder.parent)
    inside = subprocess.run(
        ["git", "rev-parse", "--show-toplevel"], cwd=outer, capture_output=True, text=True, check=False
    )
    if inside.returncode != 0:
        return
    # With the slash, for a pattern that names directories only: this one does not exist yet.
    ignored = subprocess.run(
        ["git", "check-ignore", "-q", f"{folder}/"], cwd=outer, capture_output=True, check=False
    )
    if ignored.returncode != 0:
        top = Path(inside.stdout.strip())
        inner = folder.resolve().relative_to(top)
        raise Usage(
            f"{folder} is inside the git repository {top}, which does not ignore it\n"
            f"name a directory outside, or: echo {quote(f'/{inner}/')} >> {quote(f'{top}/.gitignore')}"
        )


def workflow_files(chosen: Path | None) -> dict[str, bytes]:
    """workflow.yaml and its prompts, by path below `workflow/`."""
    try:
        files = assets.workflow_files(chosen or assets.workflow_file(assets.STANDARD))
    except OSError as error:
        shipped = ", ".join(assets.workflow_names())
        raise InvalidInput(
            f"{error.filename}: {error.strerror}\n--workflow names a shipped workflow ({shipped}) or the "
            "workflow.yaml of your own"
        ) from error
    workflow = parse_workflow(files["workflow.yaml"].decode(errors="replace"), str(chosen or "workflow.yaml"))
    missing = {step.prompt for step in workflow.steps.values() if step.prompt} - set(files)
    if missing:
        raise InvalidInput(f"the workflow names {', '.join(sorted(missing))}, which is not beside it")
    for path in sorted(set(files) - {"workflow.yaml"}):
        parse_prompt(files[path], path)
    return files


def workflow_reference(name: str, files: dict[str, bytes]) -> WorkflowRef:
    digests = {path: sha256(data) for path, data in files.items()}
    return WorkflowRef(name=name, sha256=digest_of(dict(digests)), files=digests)


def _first_line(text: str) -> str:
    """A free-form proposal is titled by its first line of text."""
    return next((line.lstrip("# ").strip() for line in text.splitlines() if line.strip(" #")), "untitled")
