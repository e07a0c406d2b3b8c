"""`autoresearch`: commands, streams and exit codes. Each command imports only what it needs."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from autoresearch import __version__
from autoresearch.cli.output import say, say_error, show, show_json
from autoresearch.errors import AutoresearchError, exit_code

if TYPE_CHECKING:
    from autoresearch.records import Tier

INTERRUPTED = 130
EPILOG = "Exit codes: 0 done · 1 error · 2 usage · 3 waiting for a person · 4 back end or credential missing · 5 rejected by a person · 6 stale or locked · 130 interrupted"


def main() -> None:
    """The entry point: one clear line for an expected error, and its exit code."""
    _forget_git_environment()
    try:
        code = cli.main(prog_name="autoresearch", standalone_mode=False)
    except AutoresearchError as error:
        say_error(error)
        code = exit_code(error)
    except click.ClickException as error:
        error.show(sys.stderr)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        say(
            "\ninterrupted; nothing is lost. An experiment that has started goes on in its container: "
            "rejoin it, or go on with anything else, in the project's directory with: autoresearch run"
        )
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"autoresearch: {where}{error.strerror or error}")
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _forget_git_environment() -> None:
    """Run from a git hook, GIT_DIR and its like would point every git call at another repository."""
    keep = ("GIT_AUTHOR_", "GIT_COMMITTER_", "GIT_CONFIG_GLOBAL", "GIT_SSH", "GIT_EDITOR")
    for name in [name for name in os.environ if name.startswith("GIT_") and not name.startswith(keep)]:
        del os.environ[name]


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-C",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=".",
    help="Work on the project in DIR.",
)
@click.option(
    "--plain", is_flag=True, help="No colour, no box drawing: for screen readers and dumb terminals."
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, folder: Path, plain: bool) -> None:
    """Automated research in a git repository, with two gates that belong to a person."""
    context.obj = {"folder": folder, "plain": plain}


def _folder() -> Path:
    return Path(click.get_current_context().obj["folder"])


def _plain() -> bool:
    return bool(click.get_current_context().obj["plain"])


class Look(TypedDict):
    width: int
    color: bool


def _look() -> Look:
    """Columns and colour of standard output."""
    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and not _plain()
    return {"width": shutil.get_terminal_size().columns, "color": color}


def _workflow_named(named: str) -> Path:
    """The workflow.yaml of a shipped workflow, or a file."""
    from autoresearch import assets

    return assets.workflow_file(named) if named in assets.workflow_names() else _folder() / named


as_json = click.option("--json", "json_", is_flag=True, help="Machine-readable, on standard output.")


# ------------------------------------------------------------------ the work


@cli.command()
@click.argument("proposal", type=click.Path(path_type=Path))
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option(
    "--workflow",
    default="standard",
    help="standard, weak-proxy, replication, or a workflow.yaml of your own.",
)
@click.option("--model", default="none", help="none, anthropic:<model>, or command:<program>.")
@click.option("--base-url", default="", help="A server of the same protocol instead of the provider's own.")
@click.option("--title", help="Instead of the proposal's own.")
def start(
    proposal: Path,
    directory: Path | None,
    *,
    workflow: str,
    model: str,
    base_url: str,
    title: str | None,
) -> None:
    """Make a project from PROPOSAL in DIRECTORY and go on as `run`."""
    from autoresearch.cli.start import Choices, start_project
    from autoresearch.cli.system import SystemEntropy

    base = _folder()
    chosen = _workflow_named(workflow)
    folder = base / (directory or Path(proposal.stem))
    choices = Choices(chosen, model, base_url, title)
    made = start_project(base / proposal, folder, choices, SystemEntropy())
    say(f"project made in {os.path.relpath(made)}")
    _go_on(made)


@cli.command()
def run() -> None:
    """Go on; also after a crash or Ctrl-C.

    With a terminal the gates open as they are reached. No command ends an experiment that has begun: its time
    limit does.
    """
    _go_on(_folder())


@cli.command()
@as_json
def review(json_: bool) -> None:
    """Open the pending gate.

    With --json, print everything it shows instead. That decides nothing.
    """
    if json_:
        from autoresearch.cli.work import print_gate

        print_gate(_folder())
    else:
        _decide(None, "")


@cli.command()
def approve() -> None:
    """Open the pending gate to approve: still shown, still confirmed."""
    _decide("approve", "")


@cli.command()
@click.option("-m", "reason", required=True, help="Why; the next attempt is given it.")
def reject(reason: str) -> None:
    """Open the pending gate to reject: still shown, still confirmed."""
    _decide("reject", reason)


@cli.command()
@click.argument("step")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--cycle", type=int)
@click.option("--attempt", type=int)
@click.option("--workflow", help="Go on there with another one: a shipped name or a workflow.yaml.")
@click.option("-m", "reason", default="", help="Why; it stands in the fork's first record.")
def fork(
    step: str,
    directory: Path,
    *,
    cycle: int | None,
    attempt: int | None,
    workflow: str | None,
    reason: str,
) -> None:
    """Make another project in DIR that shares the history up to STEP. No approval counts in both."""
    from autoresearch.cli.fork import Place, fork_project
    from autoresearch.cli.system import SystemEntropy

    place, base = Place(step, cycle, attempt), _folder()
    chosen = _workflow_named(workflow) if workflow else None
    fork_project(
        base, place, base / directory, SystemEntropy(), workflow=chosen, reason=reason, plain=_plain()
    )


@cli.command()
@click.argument("example", required=False, default="label-noise")
@click.argument("directory", required=False, type=click.Path(path_type=Path))
def demo(example: str, directory: Path | None) -> None:
    """Run a shipped EXAMPLE from start to report.

    EXAMPLE is label-noise (the default) or goodhart.
    """
    from autoresearch.cli.demo import run_demo

    run_demo(_folder(), example, directory, plain=_plain())


def _go_on(folder: Path) -> None:
    from autoresearch.cli.work import go_on

    go_on(folder, plain=_plain())


def _decide(decision: str | None, reason: str) -> None:
    from autoresearch.cli.work import decide

    decide(_folder(), decision, reason, plain=_plain())


# ------------------------------------------------------------------- reading


@cli.command()
@as_json
def status(json_: bool) -> None:
    """Where the project stands, and the next command."""
    from autoresearch.adapters.git_place import find_root
    from autoresearch.cli.last_status import kept
    from autoresearch.reporting.status_page import status_json, status_lines

    found = kept(find_root(_folder().resolve()), os.environ)
    if found is None:
        from autoresearch.cli.wiring import open_project, status_of

        found = status_of(open_project(_folder()))
    show_json(status_json(found)) if json_ else show(status_lines(found, **_look()))


@cli.command()
@click.option("--full", is_flag=True, help="Every record with its diary paragraph.")
@click.option("--step", help="Of this step or kind only.")
@click.option("--cycle", type=int, help="Of this cycle only.")
@click.option("--by", metavar="PERSON", help="By this author only; a part of the name or address will do.")
@click.option("-n", "number", type=click.IntRange(min=1), help="The last N of these only.")
@as_json
def log(
    *, full: bool, step: str | None, cycle: int | None, by: str | None, number: int | None, json_: bool
) -> None:
    """The history; decisions and failures stand out.

    Steps of the machine are folded to a line.
    """
    from autoresearch.cli.wiring import open_project
    from autoresearch.decisions import counting
    from autoresearch.reporting.log_page import chosen, log_lines, log_page_json, total_lines

    entries = open_project(_folder()).entries()
    shown = chosen(entries, step=step, cycle=cycle, by=by)[-(number or 0) :]
    if json_:
        show_json(log_page_json(shown))
        return
    show(log_lines(shown, full=full, signing=counting(entries), **_look()))
    show(total_lines(shown, **_look()))


@cli.command("show")
@click.argument("step")
@click.option("--cycle", type=int)
@click.option("--attempt", type=int)
@click.option("--preregistration", is_flag=True, help="A plan as a preregistration page, in Markdown.")
@as_json
def show_record(
    step: str, cycle: int | None, attempt: int | None, preregistration: bool, json_: bool
) -> None:
    """One record: by step, kind or digest prefix.

    STEP is start, ideate, critique, plan, predict, preflight, approve, experiment, check, conclude, monitor,
    accept or writeup, or a step that the project's own workflow has besides. The latest record is shown unless told.
    """
    from autoresearch.cli.find import find_entry
    from autoresearch.cli.wiring import open_project
    from autoresearch.decisions import counting
    from autoresearch.reporting.show_page import show_json as record_json
    from autoresearch.reporting.show_page import show_lines
    from autoresearch.vouched import reader

    ledger = open_project(_folder())
    entry = find_entry(ledger.entries(), step, cycle, attempt)
    if preregistration:
        from autoresearch.reporting.preregistration import preregistration as page

        show(page(ledger.entries(), entry).splitlines())
    elif json_:
        show_json(record_json(entry))
    else:
        signing = counting(ledger.entries()).get(entry.digest, "")
        show(show_lines(entry, reader(ledger), signing=signing, **_look()))


@cli.command()
@click.argument("step", required=False)
@click.argument("other", required=False)
@click.option(
    "--with",
    "project",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Against the project in DIR, which shares a history with this one: where they part, or a STEP of both.",
)
@as_json
def diff(step: str | None, other: str | None, *, project: Path | None, json_: bool) -> None:
    """What changed in a record, or between two projects.

    Against its last version, against OTHER, or against the same record of a fork.
    """
    from autoresearch.cli.find import diff_lines, find_entry, version_before
    from autoresearch.cli.wiring import open_project
    from autoresearch.reporting.parting import parting, parting_json, parting_lines

    ledger = open_project(_folder())
    if project is not None:
        there = open_project(_folder() / project)
        found = parting(ledger.entries(), there.entries())
        if step is not None:
            ours, theirs = (find_entry(side.entries(), step, None, None) for side in (ledger, there))
            show(diff_lines(ledger, ours, theirs, there))
        elif json_:
            show_json(parting_json(found))
        else:
            show(parting_lines(found, **_look()))
        return
    if step is None:
        raise click.UsageError("name a STEP, or a project with --with DIR")
    if json_:
        raise click.UsageError("--json goes with --with DIR alone")
    new = find_entry(ledger.entries(), other or step, None, None)
    old = find_entry(ledger.entries(), step, None, None) if other else version_before(ledger.entries(), new)
    show(diff_lines(ledger, old, new))


@cli.command()
@click.option(
    "--anchor",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Check the heads that FILE holds, and add this one. Keep FILE outside the project.",
)
@as_json
def verify(anchor: Path | None, json_: bool) -> None:
    """Check the history against itself.

    Chain, order, digests, approvals before runs. Exit 1 if anything fails.
    """
    from autoresearch.cli.verify import verify_project

    verify_project(_folder(), _folder() / anchor if anchor else None, as_json=json_)


@cli.command()
@click.option("--walk", is_flag=True, help="Step through the history by key.")
@click.option(
    "--experiments", is_flag=True, help="Run the approved experiments again, after a typed confirmation."
)
def replay(walk: bool, experiments: bool) -> None:
    """Derive every record again, offline, and compare.

    It happens in a scratch repository; the project is not changed.
    """
    from autoresearch.cli.replay import replay_project

    replay_project(_folder(), walk=walk, experiments=experiments)


@cli.command()
def report() -> None:
    """Build the report as the project stands now, in report/."""
    from autoresearch.cli.work import build_report

    build_report(_folder())


@cli.command()
@click.argument("directories", nargs=-1, metavar="[DIR]...", type=click.Path(path_type=Path))
@click.option(
    "--figure", type=click.Path(path_type=Path), metavar="FILE", help="Also draw it, as FILE.svg or FILE.png."
)
@as_json
def forecasts(directories: tuple[Path, ...], figure: Path | None, json_: bool) -> None:
    """How well forecasts came out.

    Those of the projects in each DIR (default: here). For each agent and person: how often their 80 % intervals held, their scores, calibration, and
    skill against a reference; nothing that so few results cannot carry.
    """
    from autoresearch.cli.forecasts import print_forecasts

    base = _folder()
    folders = [base / directory for directory in directories] or [base]
    print_forecasts(folders, base / figure if figure else None, as_json=json_)


# ------------------------------------------------------------------ whose key


@cli.group()
def reviewer() -> None:
    """The people whose signature the gates' decisions need."""


@reviewer.command("add")
@click.argument("key", required=False, type=click.Path(path_type=Path))
@click.option("--name", help="Whose key it is, if not yours; with --email.")
@click.option("--email", help="As git knows them.")
def reviewer_add(key: Path | None, name: str | None, email: str | None) -> None:
    """Register the public KEY (default: git's user.signingkey, else ~/.ssh/id_ed25519.pub).

    From then on a gate's decision counts only if it is signed by a registered key.
    """
    from autoresearch.cli.reviewer import add_reviewer

    add_reviewer(_folder(), key, name, email, plain=_plain())


@reviewer.command("list")
def reviewer_list() -> None:
    """The registered keys."""
    from autoresearch.cli.reviewer import list_reviewers

    show(list_reviewers(_folder()))


# ----------------------------------------------------------------- the tools


@cli.group()
def sandbox() -> None:
    """The experiment's container."""


@sandbox.command("build")
def sandbox_build() -> None:
    """Make the image, or say which one there is."""
    from autoresearch.adapters.image import find_or_build

    print(find_or_build(say))


@sandbox.command("check")
@click.option(
    "--tier",
    type=click.Choice(["docker", "gvisor", "bubblewrap"]),
    help="Another than the project's; runs use the project's setting only.",
)
@as_json
def sandbox_check(tier: "Tier | None", json_: bool) -> None:
    """Try the real isolation of the project's tier. Exit 4 if anything is not contained."""
    from autoresearch.cli.sandbox import check_sandbox, tier_here

    check_sandbox(tier or tier_here(_folder()), as_json=json_)


@cli.group()
def workflow() -> None:
    """The graph of steps."""


@workflow.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--schema", is_flag=True, help="Print the JSON Schema of workflow.yaml.")
def workflow_check(file: Path | None, schema: bool) -> None:
    """Validate a workflow: parts, order, and that no path avoids a gate."""
    from autoresearch.workflow import parse_workflow, workflow_schema

    if schema:
        show_json(workflow_schema())
        return
    if file is None:
        raise click.UsageError("name a FILE, or --schema")
    path = _folder() / file
    found = parse_workflow(path.read_text(encoding="utf-8", errors="replace"), str(file))
    print(f"{file}: {found.name}, {len(found.steps)} steps, both gates stand on every path")


@cli.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
def template(file: Path | None) -> None:
    """Print a complete proposal; or complete FILE, keeping its words."""
    from autoresearch.proposal import read_proposal
    from autoresearch.template import complete
    from autoresearch.template import template as blank

    click.echo(complete(read_proposal(_folder() / file)) if file else blank(), nl=False)


@cli.command()
def doctor() -> None:
    """What is missing on this machine, and the command that mends it."""
    from autoresearch.cli.doctor import examine

    examine()
