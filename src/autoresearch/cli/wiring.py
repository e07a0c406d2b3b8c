"""Put ports and adapters together for one project. Heavy libraries load only when a step needs them."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from autoresearch.adapters.git_ledger import GitLedger, find_root
from autoresearch.cli.output import say
from autoresearch.cli.system import SystemClock, SystemEntropy, jitter, sleep
from autoresearch.errors import BackEndMissing, InvalidInput
from autoresearch.layout import WORKFLOW_DIR
from autoresearch.ports import JobState, Progress, ReviewPort, Sandbox
from autoresearch.records import NO_TIER, ModelOptions, Proposal, ResourceLimits, Settings, Tier, body_as
from autoresearch.workflow import Step, Workflow, parse_workflow

if TYPE_CHECKING:
    from autoresearch.adapters.anthropic_model import AnthropicModel
    from autoresearch.adapters.bubblewrap_sandbox import BubblewrapSandbox
    from autoresearch.adapters.command_model import CommandModel
    from autoresearch.adapters.docker_sandbox import DockerSandbox
    from autoresearch.driver import Driver

CLOCK = SystemClock()
READS_PROPOSAL = ("ideas", "plan", "conclusion")
"""Kinds of step that, with model none, may need a changed proposal.md (`nodes.CODE`)."""


def open_project(folder: Path) -> GitLedger:
    ledger = GitLedger(find_root(folder.resolve()), CLOCK)
    if not ledger.head():
        raise InvalidInput(
            f"{ledger.root} holds no record yet; make a project with: autoresearch start PROPOSAL"
        )
    return ledger


def project_file(ledger: GitLedger, path: str) -> str:
    """A file of the project's frozen workflow, as its first commit has it."""
    return ledger.read(f"{WORKFLOW_DIR}/{path}", ledger.entries()[0].commit).decode()


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
            model_spec=model_spec(name, step, settings),
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
    )


def model_for(
    name: str, step: Step, settings: Settings, progress: Progress | None = None
) -> "AnthropicModel | CommandModel | None":
    """The model that writes a step; None where the step reads the proposal or applies rules."""
    if step.prompt is None:
        return None
    return open_model(model_spec(name, step, settings), settings, progress)


def model_spec(name: str, step: Step, settings: Settings) -> str:
    return step.model or settings.models.get(name) or settings.model


def open_model(
    spec: str, settings: Settings, progress: Progress | None = None
) -> "AnthropicModel | CommandModel | None":
    """Raises InvalidInput for a model nobody knows. It asks for a credential when it is asked."""
    provider, _, rest = spec.partition(":")
    options = settings.model_options.get(spec, ModelOptions())
    if spec == "none":
        return None
    if provider == "command":
        from autoresearch.adapters.command_model import CommandModel

        return CommandModel(rest, options=options, environ=os.environ, clock=CLOCK)
    if provider != "anthropic" or not rest:
        raise InvalidInput(
            f"unknown model {spec!r}; known are: none, anthropic:<model>, command:<program and arguments>"
        )
    from autoresearch.adapters.anthropic_model import AnthropicModel, no_progress

    def on_progress(tokens: int, seconds: float) -> None:
        if progress is not None:
            progress.replying(rest, tokens, seconds)

    return AnthropicModel(
        rest,
        base_url=settings.base_url,
        options=options,
        environ=os.environ,
        clock=CLOCK,
        sleep=sleep,
        jitter=jitter,
        on_progress=on_progress if progress is not None else no_progress,
    )


def shared_model(workflow: Workflow, settings: Settings) -> str:
    """The warning that author and critic are one model; empty if they are not."""
    by_kind = {
        step.kind: model_spec(name, step, settings) for name, step in workflow.steps.items() if step.prompt
    }
    author, critic = by_kind.get("ideas", "none"), by_kind.get("critique", "none")
    if author == "none" or author != critic:
        return ""
    return (
        f"author and critic are one model, {author}: it may miss what it missed before; another critic"
        " is named in autoresearch.toml, as critique under [models]"
    )


def sandbox_of(ledger: GitLedger) -> Callable[[], Sandbox]:
    """Opens the tier that the project's settings in force name. Nothing else can choose one."""
    from autoresearch.settings_in_force import settings_in_force

    return lambda: open_sandbox(settings_in_force(ledger.entries()).isolation, ledger.inputs_dir)


def require_models(workflow: Workflow, settings: Settings) -> None:
    """Every model that a step may ask can be asked, before anything starts: it is known, has its
    credential and, under a budget in USD, its price. Raises BackEndMissing or InvalidInput.
    """
    from autoresearch.budget import refuse_unknown_price
    from autoresearch.prices import price_of

    for name, step in workflow.steps.items():
        model = model_for(name, step, settings)
        if model is not None:
            model.require_credential()
            spec = model_spec(name, step, settings)
            refuse_unknown_price(settings.budget, price_of(spec, settings), spec)


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
    return all(step.prompt and model_spec(name, step, settings) != "none" for name, step in readers)


def first_proposal(ledger: GitLedger) -> Proposal:
    return body_as(ledger.entries()[0].record, Proposal)
