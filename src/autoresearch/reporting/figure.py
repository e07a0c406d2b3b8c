"""The report's one figure: every trial, the interval, and the forecasts beside it.

Left: the metric of each trial by arm, with the arm's mean; a seed's trials are
joined where the contrast is made seed by seed. Right: the contrast with its
interval, the 10/50/90 % of every forecast of it, the null and the band of effects
too small to matter.

The bytes depend on the records alone: no pyplot, no style file of the machine, no
dates, fixed ids.
"""

import io
import json
import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from autoresearch.layout import FIGURE_DATA
from autoresearch.records import ArmSummary, Check, Forecast, MetricCard, Plan, clip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

TRIAL, SEED, MEAN, FORECAST = "one trial", "same seed", "mean of the arm", "forecast: 10, 50 and 90 %"
"""Words of the legend."""

SVG, PNG = "figures/result.svg", "figures/result.png"

WIDTH = 9.0
"""Inches; at 100 pixels an inch the type is easy to read."""
LABEL_WIDTH = 22
"""Characters; a name has 64 at most and so fits into three lines."""
MANY_POINTS = 3000
"""Above this the points stand in the SVG as a picture, or it would grow to megabytes."""
MANY_SEEDS = 200
"""Above this, lines from arm to arm are a grey smear."""

# Okabe and Ito's colours, told apart with any colour vision; markers differ too.
BLUE, ORANGE, GREEN, GREY, BLACK = "#0072B2", "#D55E00", "#009E73", "#8C8C8C", "#000000"

STYLE: "dict[RcKeyType, Any]" = {
    "svg.hashsalt": "autoresearch",
    "svg.fonttype": "path",
    "text.parse_math": False,  # a dollar sign in a unit is a dollar sign
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "savefig.dpi": 200,
}


@dataclass(frozen=True)
class _Row:
    """One line of the right panel below the result: a forecast of the contrast."""

    label: str
    quantiles: tuple[float, float, float]


def draw(check: Check, plan: Plan, forecasts: Sequence[Forecast]) -> dict[str, bytes]:
    """`figures/result.svg`, `figures/result.png`, and the numbers in them as `figures/result.json`.

    Forecasts with quantiles are drawn: of the contrast on the right, of an arm's metric
    beside that arm. Probabilities and categories have no place on these axes.
    """
    with _style():
        figure = _figure(check, plan, forecasts)
        return {
            SVG: _bytes(figure, "svg", {"Date": None, "Creator": None}),
            PNG: _bytes(figure, "png", {"Software": None}),
            FIGURE_DATA: _data(check, plan, forecasts),
        }


def _data(check: Check, plan: Plan, forecasts: Sequence[Forecast]) -> bytes:
    """What is drawn: another version of the library draws other bytes from the same numbers."""
    plain = {
        "metric": plan.metric.model_dump(mode="json", include={"name", "unit", "low", "high"}),
        "arms": [
            {
                **summary.model_dump(mode="json"),
                "x": next(arm.x for arm in plan.arms if arm.name == summary.arm),
            }
            for summary in check.arms
        ],
        "contrast": check.contrast.model_dump(mode="json"),
        "null": plan.contrast.null,
        "smallest_effect": plan.contrast.smallest_effect,
        "forecasts": [
            {"forecaster": f.forecaster, "id": f.id, "about": f.about, "quantiles": list(f.quantiles)}
            for f in forecasts
            if f.quantiles
        ],
    }
    return (json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


@contextmanager
def _style() -> Iterator[None]:
    """Matplotlib's own defaults and STYLE on top, whatever the machine's settings are."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        # A character that the shipped font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def _bytes(figure: "Figure", kind: str, metadata: dict[str, None]) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


def _figure(check: Check, plan: Plan, forecasts: Sequence[Forecast]) -> "Figure":
    from matplotlib.figure import Figure

    rows = _rows(forecasts)
    by_arm = {
        f.about.removeprefix("metric:").strip(): f.quantiles
        for f in forecasts
        if f.quantiles and f.about.startswith("metric:")
    }
    ordered = plan.contrast.form == "slope"
    lines = max(
        len(_wrap(name).split("\n")) for name in [a.arm for a in check.arms] + [r.label for r in rows]
    )
    count = max(0 if ordered else len(check.arms), 1 + len(rows))
    figure = Figure(figsize=(WIDTH, max(3.8, 1.9 + count * (0.28 + 0.14 * lines))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.05, 1))
    if ordered:
        _draw_ordered(left, check.arms, plan, by_arm)
    else:
        _draw_arms(left, check.arms, plan, by_arm)
    _draw_contrast(right, check, plan, rows)
    _legend(figure, (left, right))
    return figure


def _rows(forecasts: Sequence[Forecast]) -> list[_Row]:
    shown = [f for f in forecasts if f.quantiles and f.about.strip() == "contrast"]
    rows = []
    for forecast in shown:
        assert forecast.quantiles is not None
        who = forecast.forecaster.removeprefix("human:")
        alone = sum(other.forecaster == forecast.forecaster for other in shown) == 1
        label = f"forecast: {who}" if alone else f"forecast {forecast.id}: {who}"
        rows.append(_Row(label, forecast.quantiles))
    return rows


# ------------------------------------------------------------------ left panel


def _draw_arms(
    axes: "Axes", arms: Sequence[ArmSummary], plan: Plan, forecasts: dict[str, tuple[float, float, float]]
) -> None:
    """One row an arm, in the plan's order from the top; within a row the seeds spread vertically."""
    spread = [_jitter(i) for i in range(max(arm.n for arm in arms))]
    if plan.contrast.form != "unpaired":
        _join(
            axes,
            [[(value, row + spread[i]) for row, value in enumerate(path)] for i, path in _paths(arms)],
        )
    for row, arm in enumerate(arms):
        colour = _colour(arm.arm, plan)
        _points(axes, arm.values, [row + spread[i] for i in range(arm.n)], colour, arms)
        axes.plot(arm.mean, row, marker="|", **_mean_marker(colour))
        if arm.arm in forecasts:
            _forecast(axes, forecasts[arm.arm], row + 0.3)
    axes.set_yticks(range(len(arms)), [_wrap(arm.arm) for arm in arms])
    for arm, label in zip(arms, axes.get_yticklabels(), strict=True):
        label.set_color(BLACK if _colour(arm.arm, plan) == GREY else _colour(arm.arm, plan))
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.set_ylabel("arm")
    axes.set_xlabel(_wrap(_metric_label(plan.metric), 42))
    axes.grid(axis="x", color="0.92")
    _ticks(axes.xaxis)
    axes.set_title("Every trial")


def _draw_ordered(
    axes: "Axes", arms: Sequence[ArmSummary], plan: Plan, forecasts: dict[str, tuple[float, float, float]]
) -> None:
    """The metric over `Arm.x`, for a slope."""
    place = {arm.name: arm.x for arm in plan.arms if arm.x is not None}
    x = [place[arm.arm] for arm in arms]
    order = sorted(range(len(arms)), key=lambda k: x[k])
    _join(axes, [[(x[k], path[k]) for k in order] for _, path in _paths(arms)])
    span = max(x) - min(x)
    for k, arm in enumerate(arms):
        _points(axes, [x[k]] * arm.n, arm.values, BLUE, arms)
        axes.plot(x[k], arm.mean, marker="_", **_mean_marker(BLUE))
        if arm.arm in forecasts:
            _forecast(axes, forecasts[arm.arm], x[k] + 0.03 * span, upright=True)
    axes.margins(x=0.08)
    axes.set_xlabel("x of the arm")
    axes.set_ylabel(_wrap(_metric_label(plan.metric), 30))
    axes.grid(axis="y", color="0.92")
    _ticks(axes.xaxis)
    _ticks(axes.yaxis)
    axes.set_title("Every trial")


def _paths(arms: Sequence[ArmSummary]) -> list[tuple[int, tuple[float, ...]]]:
    """Per seed, its values over the arms; none where there are too many to see."""
    if max(arm.n for arm in arms) > MANY_SEEDS or len(arms) < 2:
        return []
    return list(enumerate(zip(*(arm.values for arm in arms), strict=False)))


def _join(axes: "Axes", paths: list[list[tuple[float, float]]]) -> None:
    from matplotlib.collections import LineCollection

    if paths:
        lines = LineCollection(paths, colors=GREY, linewidths=0.5, alpha=0.4, label=SEED, zorder=1)
        axes.add_collection(lines)


def _points(
    axes: "Axes", x: Sequence[float], y: Sequence[float], colour: str, arms: Sequence[ArmSummary]
) -> None:
    n = len(x)
    axes.scatter(
        x,
        y,
        s=18 if n <= 60 else 8 if n <= 500 else 2,
        color=colour,
        alpha=0.55 if n <= 500 else 0.25,
        linewidths=0,
        zorder=2,
        label=TRIAL,
        rasterized=sum(arm.n for arm in arms) > MANY_POINTS,
    )


def _mean_marker(colour: str) -> dict[str, Any]:
    """A bar, which hides less of the trials than a filled marker."""
    return {
        "color": colour,
        "markersize": 24,
        "markeredgewidth": 2.5,
        "linestyle": "none",
        "zorder": 4,
        "label": MEAN,
    }


def _jitter(index: int) -> float:
    """Within ± .22 of the row: multiples of the golden ratio, which never bunch up."""
    return 0.44 * (index * (math.sqrt(5) - 1) / 2 % 1 - 0.5)


def _colour(arm: str, plan: Plan) -> str:
    if arm == plan.contrast.treatment:
        return ORANGE
    return BLUE if arm == plan.contrast.control else GREY


# ----------------------------------------------------------------- right panel


def _draw_contrast(axes: "Axes", check: Check, plan: Plan, rows: Sequence[_Row]) -> None:
    """The result on top, each forecast in a row below it, on one axis."""
    result, spec = check.contrast, plan.contrast
    axes.axvspan(
        spec.null - spec.smallest_effect,
        spec.null + spec.smallest_effect,
        color="0.9",
        zorder=0,
        label=f"smallest effect of interest: ± {spec.smallest_effect:.6g}",
    )
    axes.axvline(
        spec.null, color=BLACK, linewidth=1, linestyle="--", zorder=1, label=f"no effect: {spec.null:g}"
    )
    axes.plot(
        [result.estimate] * 2,
        [0, len(rows) + 0.4 * bool(rows)],
        color=BLACK,
        linewidth=0.8,
        linestyle=":",
        zorder=1,
    )
    axes.plot([result.low, result.high], [0, 0], color=BLACK, linewidth=2.5, solid_capstyle="butt", zorder=3)
    axes.plot(result.estimate, 0, color=BLACK, marker="o", markersize=8, linestyle="none", zorder=4)
    for row, forecast in enumerate(rows, start=1):
        _forecast(axes, forecast.quantiles, row)
    names = [f"result, {result.level:.0%}\ninterval", *(_wrap(row.label) for row in rows)]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_ylabel("result and forecasts")
    _ticks(axes.xaxis)
    axes.margins(x=0.08)
    numbers = f"{result.estimate:.3g} [{result.low:.3g}, {result.high:.3g}]".replace("-", "−")
    # Both from the right edge, so that they may reach over to the row labels.
    axes.set_xlabel(_contrast_label(plan), loc="right")
    axes.set_title(f"{result.outcome}: {numbers}, n = {result.n}", loc="right")


def _forecast(
    axes: "Axes", quantiles: tuple[float, float, float], place: float, *, upright: bool = False
) -> None:
    """A line from 10 to 90 % with caps, a diamond at 50 %."""
    line: dict[str, Any] = {"color": GREEN, "linewidth": 1.5, "zorder": 3}
    low, middle, high = quantiles
    caps = "_" if upright else "|"
    for along, marker, label in (
        ([low, high], caps, None),
        ([middle], "d", FORECAST),
    ):
        across = [place] * len(along)
        x, y = (across, along) if upright else (along, across)
        axes.plot(x, y, marker=marker, markersize=8, markeredgewidth=1.5, label=label, **line)


def _ticks(axis: "Axis") -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    # Not the default, which puts 1e−4 beside the axis, where the label stands.
    axis.set_major_formatter(FuncFormatter(lambda x, _: _tick_label(x, list(axis.get_majorticklocs()))))


def _tick_label(value: float, ticks: Sequence[float]) -> str:
    """The shortest decimal of `value` that is exact to a thousandth of the ticks' distance."""
    step = min((b - a for a, b in pairwise(ticks)), default=abs(value))
    if abs(value) <= 1e-6 * step:
        return "0"
    texts = [f"{value:.{digits}g}" for digits in range(1, 18)]
    exact = [text for text in texts if abs(float(text) - value) <= 1e-3 * step]
    return min(exact, key=len, default=texts[-1]).replace("-", "−")


# ----------------------------------------------------------------------- words


def _metric_label(metric: MetricCard) -> str:
    return metric.name if metric.unit == "1" else f"{metric.name} [{_plain(metric.unit)}]"


def _contrast_label(plan: Plan) -> str:
    """What the contrast compares, with its unit; at most four lines."""
    spec, metric = plan.contrast, plan.metric
    unit = "" if metric.unit == "1" else f" [{_plain(metric.unit)}]"
    if spec.form == "slope":
        return _wrap(f"slope of {metric.name} per unit of x{unit}", 46)
    what, sign = {
        "paired": ("difference in", "−"),
        "unpaired": ("difference of mean", "−"),
        "ratio": ("ratio of mean", "÷"),
    }[spec.form]
    unit = "" if spec.form == "ratio" else unit
    pair = f"{spec.treatment} {sign} {spec.control}"
    return _wrap(f"{what} {metric.name}{unit}", 46) + "\n" + _wrap(pair, 46)


def _legend(figure: "Figure", panels: Sequence["Axes"]) -> None:
    """Below both panels: each entry once, in grey where the drawing has several colours."""
    from matplotlib.lines import Line2D

    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    point: dict[str, Any] = {"color": GREY, "linestyle": "none"}
    entries[TRIAL] = Line2D([], [], marker="o", markersize=4.5, **point)
    entries[MEAN] = Line2D(
        [], [], marker=entries[MEAN].get_marker(), markersize=11, markeredgewidth=2.5, **point
    )
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8.5,
    )


def _wrap(text: str, width: int = LABEL_WIDTH) -> str:
    lines = textwrap.wrap(_plain(text), width, max_lines=3, placeholder="…")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """One line without control characters, which XML cannot carry."""
    return clip("".join(char if char.isprintable() else " " for char in text), 120)
