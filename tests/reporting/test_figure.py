import itertools
import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from autoresearch.analysis.contrasts import arm_summaries, contrast
from autoresearch.layout import FIGURE_DATA
from autoresearch.records import (
    Arm,
    Check,
    Contrast,
    Controls,
    Forecast,
    Hypothesis,
    MetricCard,
    Plan,
    Surprise,
    file_ref,
)
from autoresearch.reporting import figure
from autoresearch.reporting.figure import PNG, SVG, draw


def make_plan(names, form="paired", x=None, metric="accuracy", unit="share", smallest=0.01):
    two = {} if form == "slope" else {"treatment": names[0], "control": names[1]}
    return Plan(
        question="does it help?",
        hypotheses=[Hypothesis(id="H1", statement="it does", expects=["positive"], refuted_by=["negative"])],
        arms=[Arm(name=n, description="d", x=None if x is None else x[i]) for i, n in enumerate(names)],
        metric=MetricCard(name=metric, formula="mean", arrays={"x": "x"}, unit=unit, how_gamed="no"),
        contrast=Contrast(form=form, null=1.0 if form == "ratio" else 0.0, smallest_effect=smallest, **two),
        trials_per_arm=2,
        stopping_rule="none",
        exclusions="none",
        controls=Controls(positive="none: a test", negative="none: a test"),
        decision_table=[],
        experiment=[file_ref("experiment/experiment.py", b"x")],
    )


def make_check(plan, values):
    return Check(
        arms=arm_summaries(plan.arms, values),
        contrast=contrast(plan.contrast, plan.arms, values),
        scores=[],
        surprise=Surprise(forecast="F1", verdict="expected"),
    )


def forecast(*quantiles, about="contrast", who="agent", name="F1"):
    return Forecast(id=name, forecaster=who, shape="quantile", about=about, quantiles=quantiles)


def normal(names, n, scale=1.0):
    rng = np.random.default_rng(7)
    return {name: (scale * rng.normal(i, 1, n)).tolist() for i, name in enumerate(names)}


LONG = [
    (f"very_long_name_without_a_break_{i}_" if i % 2 else f"a-name-with-hyphens-that-goes-on-{i}-") + "x" * 25
    for i in range(8)
]
EVENT = Forecast(id="F9", forecaster="agent", shape="binary", about="contrast > 0", p=0.7)


def two():
    return make_plan(["t", "c"]), {"t": [0.5, 0.6], "c": [0.4, 0.45]}, []


def six():
    names = [f"arm-{i}" for i in range(6)]
    forecasts = [
        forecast(-0.5, 0, 0.5),
        forecast(-3, -1, 0, who="human:Ada Lovelace", name="F2"),
        forecast(0, 1, 2, about="metric:arm-2", name="F3"),
        EVENT,
    ]
    return make_plan(names), normal(names, 20), forecasts


def eight_long():
    people = [
        "agent",
        "agent",
        "human:" + "Wolfeschlegelsteinhausenbergerdorff Senior " * 4,
        "human:李雷 $x^2$",
    ]
    forecasts = [forecast(-1e-4, 0, 1e-4, who=who, name=f"F{i}") for i, who in enumerate(people)]
    plan = make_plan(
        LONG,
        "unpaired",
        metric="expected_calibration_error_on_held_out_items_after_temperature_s",
        unit="a unit of long name such as nats per token\x00 of $held$ out text",
        smallest=1e-5,
    )
    return plan, normal(LONG, 5, 1e-4), forecasts


def slope():
    names = [f"x{i}" for i in range(5)]
    plan = make_plan(names, "slope", x=[0.0, 0.5, 1.0, 2.0, 4.0])
    return plan, normal(names, 12), [forecast(0, 0.5, 1), forecast(-1, 1, 2, about="metric:x2", name="F2")]


def slope_long():
    metric = "expected_calibration_error_on_held_out_items_after_temperature_s"
    plan = make_plan(LONG[:2], "slope", x=[1e-7, 1e-6], metric=metric, unit="nats per token of held-out text")
    return plan, normal(LONG[:2], 3, 1e-6), [forecast(0, 0.5, 1)]


def many():
    rng = np.random.default_rng(7)
    control = rng.gamma(3, 1, 2000)
    values = {"t": (control * 0.8).tolist(), "c": (control + rng.gamma(1, 0.2, 2000)).tolist()}
    return make_plan(["t", "c"], "ratio"), values, [forecast(0.5, 0.9, 1.1)]


def huge():
    return make_plan(["t", "c"]), normal(["t", "c"], 4, 1e9), [forecast(-1e12, 0, 1e12)]


def constant():
    return make_plan(["t", "c"]), {"t": [1e-9, 1e-9], "c": [1e-9, 1e-9]}, []


CASES = [two, six, eight_long, slope, slope_long, many, huge, constant]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.__name__)
def case(request):
    plan, values, forecasts = request.param()
    return make_check(plan, values), plan, forecasts


def test_both_files_are_whole(case):
    files = draw(*case)
    assert (
        set(files)
        == {"figures/result.svg", "figures/result.png", "figures/result.json"}
        == {SVG, PNG, FIGURE_DATA}
    )
    assert files[PNG].startswith(b"\x89PNG")
    assert ET.fromstring(files[SVG]).tag == "{http://www.w3.org/2000/svg}svg"
    assert len(files[SVG]) < 400_000


def test_same_bytes_twice(case):
    assert draw(*case) == draw(*case)


def test_words_neither_overlap_nor_leave_the_page(case):
    with figure._style():
        drawn = figure._figure(*case)
        drawn.draw_without_rendering()
        page = drawn.bbox
        texts = [t for t in drawn.findobj(match=lambda a: hasattr(a, "get_text")) if t.get_visible()]
        boxes = {}
        for text in texts:
            box = text.get_window_extent()
            if text.get_text().strip() and shown(text, drawn):
                boxes[text.get_text(), round(box.x0), round(box.y0)] = box
    assert len(boxes) > 8
    for key, box in boxes.items():
        assert page.x0 - 1 <= box.x0, key
        assert box.x1 <= page.x1 + 1, key
        assert page.y0 - 1 <= box.y0, key
        assert box.y1 <= page.y1 + 1, key
    for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
        apart = a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
        assert apart, f"{one} overlaps {other}"


def shown(text, drawn):
    """Tick labels exist for ticks outside the view, too; those are not drawn."""
    for axes in drawn.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            for tick in axis.get_major_ticks():
                if text in (tick.label1, tick.label2):
                    inside = min(low, high) <= tick.get_loc() <= max(low, high)
                    return inside and text is tick.label1
    return True


def test_axes_are_named_with_units_and_no_name_twice(case):
    with figure._style():
        drawn = figure._figure(*case)
    labels = [label for axes in drawn.axes for label in (axes.get_xlabel(), axes.get_ylabel())]
    assert all(labels)
    assert len(set(labels)) == 4
    metric = case[1].metric
    assert any(metric.name[:20] in label.replace("\n", "") for label in labels)
    assert sum("[" in label for label in labels) == (1 if case[1].contrast.form == "ratio" else 2)


def test_every_trial_and_every_quantile_forecast_is_drawn():
    plan, values, forecasts = six()
    with figure._style():
        left, right = figure._figure(make_check(plan, values), plan, forecasts).axes
    points = np.concatenate(
        [c.get_offsets()[:, 0] for c in left.collections if hasattr(c, "get_sizes") and len(c.get_sizes())]
    )
    assert sorted(points) == pytest.approx(sorted(v for arm in values.values() for v in arm))
    spans = [tuple(line.get_xdata()) for line in right.lines]
    assert (-0.5, 0.5) in spans
    assert (-3, 0) in spans
    names = [label.get_text().replace("\n", " ") for label in right.get_yticklabels()]
    assert names == ["result, 95% interval", "forecast: agent", "forecast: Ada Lovelace"]
    assert (0, 2) in [tuple(line.get_xdata()) for line in left.lines]


def test_the_numbers_behind_it_stand_beside_it(case):
    check, plan, forecasts = case
    data = json.loads(draw(*case)[FIGURE_DATA])
    assert [arm["values"] for arm in data["arms"]] == [arm.values for arm in check.arms]
    assert data["contrast"]["estimate"] == check.contrast.estimate
    assert data["smallest_effect"] == plan.contrast.smallest_effect
    assert [f["quantiles"] for f in data["forecasts"]] == [
        list(f.quantiles) for f in forecasts if f.quantiles
    ]


def test_no_metadata_of_time_or_place():
    plan, values, forecasts = two()
    files = draw(make_check(plan, values), plan, forecasts)
    assert b"<dc:date>" not in files[SVG]
    assert b"Software" not in files[PNG]


def test_settings_of_the_machine_do_not_matter_and_pyplot_stays_out(tmp_path):
    (tmp_path / "matplotlibrc").write_text("axes.edgecolor: red\nxtick.labelsize: 20\n")
    code = (
        "import sys, hashlib, runpy\n"
        f"module = runpy.run_path({__file__!r})\n"
        "plan, values, forecasts = module['two']()\n"
        "files = module['draw'](module['make_check'](plan, values), plan, forecasts)\n"
        "print(hashlib.sha256(b''.join(files.values())).hexdigest(), 'matplotlib.pyplot' in sys.modules)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=place
        ).stdout
        for place in (tmp_path, "/")
    }
    assert len(outputs) == 1
    assert outputs.pop().split()[1] == "False"


def test_tick_labels_tell_neighbours_apart():
    assert figure._tick_label(10, [0, 5, 10]) == "10"
    assert figure._tick_label(-5e-05, [-5e-05, 0, 5e-05]) == "−5e−05"
    assert figure._tick_label(1000.002, [1000, 1000.002, 1000.004]) == "1000.002"
    assert figure._tick_label(1e-19, [-1, 1e-19, 1]) == "0"
