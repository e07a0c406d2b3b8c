"""The figure of `forecasts`: how often the 80 % intervals held, and the reliability of probabilities."""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Literal

from autoresearch.forecasting.assess import Record, records
from autoresearch.forecasting.calibration import NEEDS
from autoresearch.forecasting.track import Scored
from autoresearch.records import clip

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's, told apart by colour-blind readers too."""


def forecasts_figure(items: Sequence[Scored], kind: Literal["svg", "png"]) -> bytes:
    """The drawing. The same records give the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    known = records(items)
    with mpl.rc_context({"svg.hashsalt": "forecasts", "svg.fonttype": "path", "font.size": 9.5}):
        figure = Figure(figsize=(9, 1.9 + 0.5 * max(len(known), 4)), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
        _coverage(left, known)
        _curves(right, known)
        data = BytesIO()
        figure.savefig(data, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {})
    return data.getvalue()


def _coverage(axes: "Axes", known: Sequence[Record]) -> None:
    axes.axvline(0.8, color="black", linewidth=1, linestyle="--", label="calibrated: 80 %")
    names = []
    for row, record in enumerate(known):
        colour = COLOURS[row % len(COLOURS)]
        if record.intervals:
            axes.plot(record.held / record.intervals, row, "o", color=colour, markersize=7)
        if record.coverage is not None:
            axes.plot(record.coverage, [row, row], color=colour, linewidth=2)
        held = f"held {record.held} of {record.intervals}" if record.intervals else "none stated"
        few = f"; interval {record.coverage_lacking}" if record.coverage_lacking and record.intervals else ""
        names.append(f"{_plain(record.forecaster)}\n{held}{few}")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), 1) - 0.4, -0.6)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("share of results inside the stated 80 % interval\n(bars: 95 % Clopper-Pearson)")
    axes.set_title("Intervals", loc="left")
    axes.legend(loc="lower left", frameon=False, fontsize=8)


def _curves(axes: "Axes", known: Sequence[Record]) -> None:
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle="--", label="calibrated")
    few = []
    for row, record in enumerate(known):
        if record.curve is None:
            few += [f"{_plain(record.forecaster)}: {record.curve_lacking}"] if record.z_n else []
            continue
        colour, curve = COLOURS[row % len(COLOURS)], record.curve
        axes.fill_between(curve.forecast, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(
            curve.forecast,
            curve.happened,
            color=colour,
            marker=".",
            label=f"{_plain(record.forecaster)}, n {record.z_n}",
        )
    if few or not any(record.z_n for record in known):
        text = "\n".join(["not drawn:", *few] if few else ["no probability has met a result yet"])
        axes.text(0.98, 0.03, text, ha="right", va="bottom", fontsize=8, color="0.35")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("probability stated")
    axes.set_ylabel("how often it happened (isotonic)")
    axes.set_title(
        f"Probabilities (CORP, from n {NEEDS['reliability curve']}; bands: 90 % if calibrated)",
        loc="left",
        fontsize=9,
    )
    axes.legend(loc="upper left", frameon=False, fontsize=8)


def _plain(text: str) -> str:
    return clip("".join(char if char.isprintable() else " " for char in text), 36).replace("$", r"\$")
