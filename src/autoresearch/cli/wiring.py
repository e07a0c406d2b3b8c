"""Put ports and adapters together for one project. Heavy libraries load only when a step needs them."""

import os
from collections.abc import Callable, Collection
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.git_place import find_root
from autoresearch.cli.last_status import keep
from autoresearch.cli.output import say
from autoresearch.cli.system import SystemClock, SystemEntropy, jitter, sleep
from autoresearch.config import parse_settings
from autoresearch.errors import BackEndMissing, InvalidInput
from autoresearch.layout import SETTINGS_FILE, WORKFLOW_DIR
from autoresearch.ports import JobState, Progress, ReviewPort, Sandbox
from autoresearch.records import NO_TIER, ModelChoice, Proposal, ResourceLimits, Settings, Tier, body_as
from autoresearch.reporting.status import status
from autoresearch.reporting.status_page import Status
from autoresearch.settings_in_force import settings_in_force
from autoresearch.workflow import Step, Workflow, parse_workflow

if TYPE_CHECKING:
    from autoresearch.adapters.anthropic_model import AnthropicModel
    from autoresearch.adapters.bubblewrap_sandbox import BubblewrapSandbox
    from autoresearch.adapters.command_model import CommandModel
    from autoresearch.adapters.docker_sandbox import DockerSandbox
    from autoresearch.driver import Driver

CLOCK = SystemClock()
AUTHORS = ("ideas", "plan", "conclusion")
CRITICS = ("critique", "monitoring")
"""Kinds of step whose work is to doubt the authors'."""
READS_PROPOSAL = ("ideas", "plan", "conclusion")
"""Kinds of step that, with model none, may need a changed proposal.md (`nodes.CODE`)."""


def open_project(folder: Path) -> GitLedger:
    ledger = GitLedger(find_root(folder.resolve()), CLOCK)
    if not ledger.head():
        raise InvalidInput(
            f"{ledger.root} holds no record yet; make a project with: autoresearch start PROPOSAL"
        )
    return ledger


def status_of(ledger: GitLedger) -> Status:
    """Where the project stands, worked out from its records, and kept for the next time."""
    history = ledger.entries()
    now = status(history, settings_wait=_settings_wait(ledger, settings_in_force(history)))
    keep(ledger.root, ledger.head(), now, os.environ)
    return now


def _settings_wait(ledger: GitLedger, in_force: Settings) -> bool:
    data = ledger.work_file(SETTINGS_FILE)
    try:
        return data is None or parse_settings(data.decode()) != in_force
    except (InvalidInput, UnicodeDecodeError):
        return True


def project_file(ledger: GitLedger, path: str) -> str:
    """A file of the project's frozen workflow, as the record that froze it has it."""
    from autoresearch.settings_in_force import workflow_in_force

    return ledger.read(f"{WORKFLOW_DIR}/{path}", workflow_in_force(ledger.entries())[1]).decode()


def project_workflow(ledger: GitLedger) -> Workflow:
    return parse_workflow(project_file(ledger, "workflow.yaml"), f"{WORKFLOW_DIR}/workflow.yaml")


def build_driver(
    ledger: GitLedger, reviewer: ReviewPort, progress: Progress, open_sandbox: Callable[[], Sandbox]
) -> "Driver":
    from autoresearch.adapters.ssh_signer import SshSigner
    from autoresearch.cli.desk import WorkTreeDesk
    from autoresearch.cli.identity import git_setting
    from autoresearch.driver import Driver
    from autoresearch.nodes import Nodes
    from autoresearch.steps.situation import StepPorts

    workflow = project_workflow(ledger)

    def on_trials(state: JobState, total: int, limits: ResourceLimits) -> None:
        progress.trials(state, total, limits)

    def ports_for(name: str, step: Step, settings: Settings) -> StepPorts:
        return StepPorts(
            model=model_for(name, step, settings, progress),
            choice=settings.model_of(name, step.model),
            prompt=lambda path: project_file(ledger, path),
            prompt_path=step.prompt,
            open_sandbox=open_sandbox,
            clock=CLOCK,
            entropy=SystemEntropy(),
            sleep=sleep,
            note=ledger.note,
            noted=ledger.noted,
            outputs_dir=ledger.outputs_dir,
            on_trials=on_trials,
        )

    return Driver(
        ledger=ledger,
        lock=ledger.lock,
        workflow=workflow,
        nodes=Nodes(workflow, ledger, ports_for, progress),
        sandbox=open_sandbox,
        reviewer=reviewer,
        desk=WorkTreeDesk(ledger, reviewer),
        signer=SshSigner(Path.home(), git_setting("user.signingkey", ledger.root)),
        progress=progress,
        clock=CLOCK,
        entropy=SystemEntropy(),
        sleep=sleep,
        require_models=partial(require_models, workflow),
    )


def model_for(
    name: str, step: Step, settings: Settings, progress: Progress | None = None
) -> "AnthropicModel | CommandModel | None":
    """The model that writes a step; None where the step reads the proposal or applies rules."""
    if step.prompt is None:
        return None
    return open_model(settings.model_of(name, step.model), progress)


def open_model(
    choice: ModelChoice, progress: Progress | None = None
) -> "AnthropicModel | CommandModel | None":
    """Raises InvalidInput for a model nobody knows. It asks for a credential when it is asked."""
    provider, _, rest = choice.use.partition(":")
    if choice.use == "none":
        return None
    if provider == "command":
        from autoresearch.adapters.command_model import CommandModel

        return CommandModel(rest, options=choice, environ=os.environ, clock=CLOCK)
    if provider != "anthropic" or not rest:
        raise InvalidInput(
            f"unknown model {choice.use!r}; known are: none, anthropic:<model>, command:<program and arguments>"
        )
    from autoresearch.adapters.anthropic_model import AnthropicModel, no_progress

    def on_progress(tokens: int, seconds: float) -> None:
        if progress is not None:
            progress.replying(rest, tokens, seconds)

    return AnthropicModel(
        rest,
        options=choice,
        environ=os.environ,
        clock=CLOCK,
        sleep=sleep,
        jitter=jitter,
        on_progress=on_progress if progress is not None else no_progress,
    )


def shared_model(workflow: Workflow, settings: Settings) -> str:
    """The warning that an author's and a critic's step are one model's; empty if none are."""
    asked = [
        (name, step.kind, settings.model_of(name, step.model).use)
        for name, step in workflow.steps.items()
        if step.prompt
    ]
    authors = [(name, use) for name, kind, use in asked if kind in AUTHORS and use != "none"]
    critics = [(name, use) for name, kind, use in asked if kind in CRITICS]
    shared = [(author, critic, use) for critic, use in critics for author, by in authors if by == use]
    if not shared:
        return ""
    names = ", ".join(author for author, critic, _ in shared if critic == shared[0][1])
    _, critic, use = shared[0]
    return (
        f"author ({names}) and critic ({critic}) are one model, {use}: it may miss what it missed before;"
        f" another critic is named in autoresearch.toml, as use under [model.{critic}]"
    )


def sandbox_of(ledger: GitLedger) -> Callable[[], Sandbox]:
    """Opens the tier that the project's settings in force name. Nothing else can choose one."""
    from autoresearch.settings_in_force import settings_in_force

    return lambda: open_sandbox(settings_in_force(ledger.entries()).isolation, ledger.inputs_dir)


def require_models(workflow: Workflow, settings: Settings, steps: Collection[str]) -> None:
    """Every model that one of these steps may ask can be asked, before anything starts: it is known, has
    its credential and, under a budget in USD, its price. Raises BackEndMissing or InvalidInput.
    """
    from autoresearch.budget import refuse_unknown_price
    from autoresearch.prices import price_of

    for name in (name for name in workflow.steps if name in steps):
        step = workflow.steps[name]
        model = model_for(name, step, settings)
        if model is not None:
            model.require_credential()
            choice = settings.model_of(name, step.model)
            refuse_unknown_price(settings.budget, price_of(choice), choice.use)


@cache
def open_sandbox(tier: Tier, inputs: Path | None = None) -> "DockerSandbox | BubblewrapSandbox":
    """The sandbox of a tier; what it runs in is made where it is missing. `inputs`: the project's store of data.

    Raises BackEndMissing where this machine does not have it, and for the tier that only `demo` may
    have. No other tier is tried instead.
    """
    from autoresearch import assets

    folder, shipped = assets.sandbox(), assets.shipped_experiments()
    harness, seccomp = (folder / "harness.py").read_bytes(), (folder / "seccomp.json").read_bytes()
    if tier == "bubblewrap":
        from autoresearch.adapters.bubblewrap_root import find_or_make
        from autoresearch.adapters.bubblewrap_sandbox import BubblewrapSandbox, require_machine

        require_machine()
        root = find_or_make(folder / "requirements.lock", say)
        return BubblewrapSandbox(root, harness=harness, seccomp=seccomp, shipped=shipped)
    if tier == NO_TIER:
        raise BackEndMissing(
            "what ran without isolation in a demonstration can run again only so: autoresearch demo"
        )
    from autoresearch.adapters.docker_policy import RUNC, RUNSC
    from autoresearch.adapters.docker_sandbox import DockerSandbox
    from autoresearch.adapters.environments import Environments
    from autoresearch.adapters.image import find_or_build
    from autoresearch.adapters.input_store import InputStore

    runtime = RUNSC if tier == "gvisor" else RUNC
    return DockerSandbox(
        find_or_build(say), harness=harness, seccomp=seccomp, shipped=shipped, runtime=runtime,
        environments=Environments(progress=say), store=InputStore(inputs) if inputs else None,
    )  # fmt: skip


@cache
def demo_sandbox() -> Sandbox:
    """Docker where an engine answers; else an ordinary process, which the door opens only for shipped code in a demo."""
    from autoresearch import assets
    from autoresearch.adapters.shipped_process import ProcessSandbox

    try:
        return open_sandbox("docker")
    except BackEndMissing as error:
        say(f"no isolation: {error}")
        say("going on without isolation, with the experiment that ships with this package and nothing else")
        harness = (assets.sandbox() / "harness.py").read_bytes()
        return ProcessSandbox(harness=harness, shipped=assets.shipped_experiments())


def writes_by_model(ledger: GitLedger) -> bool:
    """Whether a model writes every step that may send the person back to proposal.md, so that it is fixed."""
    from autoresearch.settings_in_force import settings_in_force

    settings = settings_in_force(ledger.entries())
    steps = project_workflow(ledger).steps.items()
    readers = [(name, step) for name, step in steps if step.kind in READS_PROPOSAL]
    return all(step.prompt and settings.model_of(name, step.model).use != "none" for name, step in readers)


def first_proposal(ledger: GitLedger) -> Proposal:
    return body_as(ledger.entries()[0].record, Proposal)
