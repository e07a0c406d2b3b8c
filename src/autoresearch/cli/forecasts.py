"""`forecasts`: the records of forecasters across projects."""

from collections.abc import Sequence
from pathlib import Path

from autoresearch.cli.output import say, show, show_json
from autoresearch.cli.wiring import open_project
from autoresearch.errors import InvalidInput
from autoresearch.forecasting.track import each_result_once
from autoresearch.ports import Entry
from autoresearch.records import Proposal, body_as
from autoresearch.reporting.forecasts_page import Gathered, forecasts_json, forecasts_lines


def print_forecasts(folders: Sequence[Path], figure: Path | None, *, as_json: bool) -> None:
    if figure is not None and figure.suffix not in (".svg", ".png"):
        raise InvalidInput(f"--figure {figure}: the name must end in .svg or .png")
    gathered = gather(folders)
    if as_json:
        show_json(forecasts_json(gathered))
    else:
        show(forecasts_lines(gathered))
    if figure is not None:
        from autoresearch.reporting.forecasts_figure import forecasts_figure

        figure.write_bytes(forecasts_figure(gathered.items, "svg" if figure.suffix == ".svg" else "png"))
        say(f"figure written to {figure}")


def gather(folders: Sequence[Path]) -> Gathered:
    """Forecasts of the projects in `folders`; one named twice counts once. Demonstrations are left out."""
    histories: dict[str, list[Entry]] = {}
    for folder in folders:
        entries = list(open_project(folder).entries())
        # By head, not by project: forks share an id's history and go on differently.
        histories.setdefault(entries[-1].commit, entries)
    proposals = {head: body_as(entries[0].record, Proposal) for head, entries in histories.items()}
    real = [entries for head, entries in histories.items() if not proposals[head].demonstration]
    return Gathered(
        items=each_result_once(real),
        projects=len(real),
        left_out=[proposal.title for proposal in proposals.values() if proposal.demonstration],
    )
