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
from autoresearch.ports import JobState, Model, Progress, ReviewPort, Sandbox
from autoresearch.records import NO_TIER, Proposal, ResourceLimits, Settings, Tier, body_as
from autoresearch.workflow import Step, Workflow, parse_workflow

if TYPE_CHECKING:
    from autoresearch.adapters.anthropic_model import AnthropicModel
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
            model=model_for(name, step, settings),
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
    )


def model_for(name: str, step: Step, settings: Settings) -> Model | None:
    """The model that writes a step; None where the step reads the proposal or applies rules."""
    if step.prompt is None:
        return None
    return open_model(model_spec(name, step, settings), settings.base_url)


def model_spec(name: str, step: Step, settings: Settings) -> str:
    return step.model or settings.models.get(name) or settings.model


def open_model(spec: str, base_url: str) -> "AnthropicModel | None":
    """Raises InvalidInput for a model nobody knows. It asks for a credential when it is asked."""
    provider, _, model = spec.partition(":")
    if spec == "none":
        return None
    if provider != "anthropic" or not model:
        raise InvalidInput(f"unknown model {spec!r}; known are: none, anthropic:<model>")
    from autoresearch.adapters.anthropic_model import AnthropicModel, key_from

    return AnthropicModel(
        model, base_url=base_url, api_key=key_from(os.environ), clock=CLOCK, sleep=sleep, jitter=jitter
    )


def sandbox_of(ledger: GitLedger) -> Callable[[], Sandbox]:
    """Opens the tier that the project's settings in force name. Nothing else can choose one."""
    from autoresearch.settings_in_force import settings_in_force

    return lambda: open_sandbox(settings_in_force(ledger.entries()).isolation)


@cache
def open_sandbox(tier: Tier) -> "DockerSandbox":
    """The hardened container on this machine's engine; builds the image where it is missing.

    Raises BackEndMissing for the tier that only `demo` may have.
    """
    if tier == NO_TIER:
        raise BackEndMissing(
            "what ran without isolation in a demonstration can run again only so: autoresearch demo"
        )
    from autoresearch import assets
    from autoresearch.adapters.docker_policy import RUNC, RUNSC
    from autoresearch.adapters.docker_sandbox import DockerSandbox
    from autoresearch.adapters.image import find_or_build

    folder = assets.sandbox()
    return DockerSandbox(
        find_or_build(say),
        harness=(folder / "harness.py").read_bytes(),
        seccomp=(folder / "seccomp.json").read_bytes(),
        shipped=assets.shipped_experiments(),
        runtime={"docker": RUNC, "gvisor": RUNSC}[tier],
    )


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
