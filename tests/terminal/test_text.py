"""Escaping, wrapping, forecasts in one line, the edited plan, and progress lines."""

import io
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch.adapters.editor import edit_files, parse_plan, plan_yaml
from autoresearch.adapters.stderr_progress import StderrProgress
from autoresearch.errors import InvalidInput
from autoresearch.forecast_line import contrast_name, parse_forecast
from autoresearch.ports import Entry, JobState
from autoresearch.records import Person, PlanDraft, Record, ResourceLimits
from autoresearch.safe_text import cells, clip, decode, escape, odd_names, wrap

ANY_TEXT = st.text(
    st.characters(codec=None, categories=None) | st.characters(categories=["Cs", "Cf", "Cc", "Mn"])
)

# ----------------------------------------------------------------- safe text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain, ünïcode, 漢字 → ok", "plain, ünïcode, 漢字 → ok"),
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[2J", "␛[2J"),
        ("\x00\r\x7f", "␀␍␡"),
        ("\x9b31m", "<U+009B>31m"),
        ("\u202eabc\u2066", "<U+202E>abc<U+2066>"),
        ("a\u200bb\ufeff\xad", "a<U+200B>b<U+FEFF><U+00AD>"),
        ("\U000e0041", "<U+E0041>"),
        ("a\u2028b\xa0c", "a<U+2028>b<U+00A0>c"),
        ("\ud800", "<U+D800>"),
        ("\u3164\ufe0f", "<U+3164><U+FE0F>"),
        ("e\u0301", "e\u0301"),
        ("\u0301e", "<U+0301>e"),
        ("e" + "\u0301" * 5, "e" + "\u0301" * 3 + "<U+0301>" * 2),
    ],
)
def test_escape(raw, shown):
    assert escape(raw) == shown


def test_invalid_bytes_are_shown():
    assert escape(decode(b"ok \x9b\xff")) == "ok <byte 9B><byte FF>"


@given(ANY_TEXT)
def test_nothing_hidden_is_left(text):
    for char in escape(text):
        assert char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    assert escape(text, ascii_only=True).isascii()


@given(st.text(st.characters(categories=["L", "P", "Nd"]), max_size=60), st.integers(8, 30), st.booleans())
def test_wrapping_loses_nothing_and_fits(text, width, words):
    line = escape(text)
    pieces = wrap(line, width, words=words)
    assert "".join(pieces) == line
    assert all(cells(piece) <= width for piece in pieces)
    assert cells(clip(line, width)) <= width


def test_odd_names():
    assert odd_names("a.py", "x = 1\nраss = 'ok'\n") == [
        "line 2: name 'раss' is not plain ASCII (CYRILLIC and LATIN)",
        "line 2: 'раss' mixes CYRILLIC and LATIN",
    ]
    assert odd_names("a.py", "# Привет, naïve café 10 µs\nx = 'мир'\n") == []
    assert odd_names("a.py", "def broken(:\n  аb\n") != []
    assert odd_names("notes.txt", "имя = 1\n") == []


# ----------------------------------------------------------------- forecasts


@pytest.mark.parametrize(
    ("line", "quantiles"),
    [
        ("0.01 0.03 0.06", (0.01, 0.03, 0.06)),
        ("-0.02, 0, .05", (-0.02, 0.0, 0.05)),
        ("−0.02/0/5e-2", (-0.02, 0.0, 0.05)),
        ("1% 3% 6%", (0.01, 0.03, 0.06)),
    ],
)
def test_three_numbers_are_quantiles(line, quantiles):
    forecast = parse_forecast(line, name="reviewer", forecaster="human:Ada", null=0.0)
    assert forecast.shape == "quantile"
    assert forecast.about == "contrast"
    assert forecast.quantiles == pytest.approx(quantiles)


@pytest.mark.parametrize(("line", "p"), [("0.7", 0.7), ("70%", 0.7), ("1.0", 1.0)])
def test_one_number_is_a_probability(line, p):
    forecast = parse_forecast(line, name="reviewer", forecaster="human:Ada", null=1.0)
    assert (forecast.shape, forecast.about) == ("binary", "contrast > 1")
    assert forecast.p == pytest.approx(p)


def test_nothing_is_a_skip():
    assert parse_forecast("  ", name="reviewer", forecaster="human:Ada", null=0.0) is None


@pytest.mark.parametrize(
    "line",
    [
        "1.2",
        "-0.1",
        "3 2 1",
        "1 1 2",
        "0,1 0,2 0,3",
        "1 2",
        "a b c",
        "nan",
        "inf 1 2",
        "1e999 2 3",
        "1_0 20 30",
        "٣",
    ],
)
def test_other_lines_are_refused(line):
    with pytest.raises(InvalidInput):
        parse_forecast(line, name="reviewer", forecaster="human:Ada", null=0.0)


def test_contrast_names(views):
    assert contrast_name(views.PLAN) == "ece difference (noisy - clean)"


# -------------------------------------------------------------------- editor


def test_a_plan_survives_its_yaml(views):
    draft = PlanDraft.model_validate(views.PLAN.model_dump(exclude={"experiment", "environment", "inputs"}))
    assert parse_plan(plan_yaml(views.PLAN)) == draft


def test_hidden_characters_reach_the_editor_as_escapes(views):
    plan = views.PLAN.model_copy(update={"question": "a\u202eb\x1b[2J"})
    data = plan_yaml(plan)
    assert escape(data.decode()) == data.decode()
    assert parse_plan(data).question == plan.question


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"question: [", "plan.yaml is not YAML"),
        (b"- 1\n", "the whole"),
        (b"question: x\n", "hypotheses: Field required"),
        (b"question: \xff\n", "plan.yaml"),
    ],
)
def test_a_bad_plan_is_named(data, said):
    with pytest.raises(InvalidInput, match=said):
        parse_plan(data)


@pytest.mark.parametrize("path", ["../outside.py", "/etc/passwd", "a/../../b", "."])
def test_editing_stays_in_its_directory(path):
    with pytest.raises(InvalidInput, match="not a plain relative path"):
        edit_files(["true"], {path: b""}, 0)


def test_a_file_that_is_gone_after_editing():
    with pytest.raises(InvalidInput, match=r"a\.py is gone"):
        edit_files(["rm"], {"a.py": b""}, 0)


# ------------------------------------------------------------------ progress


@dataclass
class HandClock:
    seconds: float = 0.0

    def now(self):
        return datetime(2030, 1, 1, tzinfo=UTC)

    def monotonic(self):
        return self.seconds


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class Pipe(io.StringIO):
    encoding = "utf-8"


def entry(views, kind, body):
    record = Record(
        kind=kind, cycle=1, attempt=1, step=kind, parent=None, inputs={}, made_by={"author": "rules", "model": "rules"},
        body=body,
    )  # fmt: skip
    person = Person(name="autoresearch", email="")
    return Entry(record=record, digest=record.digest, commit="a" * 40, when=datetime.now(UTC), author=person)


def test_one_line_a_step(views):
    out = Pipe()
    progress = StderrProgress(HandClock(), {}, out)
    progress.step("critique", 1, 1)
    progress.recorded(entry(views, "critique", views.CRITIQUE), 12.34)
    progress.recorded(entry(views, "approval", views.APPROVAL), 0.1)
    progress.say("evil \x1b[2J")
    assert out.getvalue().splitlines() == [
        "  12.3s  critique      2 assumptions, 1 open",
        "   0.1s  approval      approve by Ada Reviewer  <- a person decided",
        "evil ␛[2J",
    ]


def test_trials_are_sparse_without_a_terminal():
    out, clock, limits = Pipe(), HandClock(), ResourceLimits(seconds=300)
    progress = StderrProgress(clock, {}, out)
    progress.step("experiment", 1, 1)
    for done in range(41):
        clock.seconds = done * 0.2
        progress.trials(JobState("running", done, done * 0.2, 84.0), 40, limits)
    assert out.getvalue().splitlines() == [
        "         trials 10/40  elapsed 2 s  about 6 s left  memory 84 MB",
        "         trials 20/40  elapsed 4 s  about 4 s left  memory 84 MB",
        "         trials 30/40  elapsed 6 s  about 2 s left  memory 84 MB",
        "         trials 40/40  elapsed 8 s  about 0 s left  memory 84 MB",
    ]
    clock.seconds += 30
    progress.trials(JobState("running", 40, 38.0, None), 40, limits)
    assert len(out.getvalue().splitlines()) == 5


def test_trials_live_on_a_terminal():
    out = Terminal()
    progress = StderrProgress(HandClock(), {"TERM": "xterm"}, out)
    progress.trials(JobState("running", 0, 1.0, None), 40, ResourceLimits(seconds=60))
    progress.trials(JobState("running", 12, 8.0, 84.0), 40, ResourceLimits(seconds=10))
    progress.say("done")
    lines = [line.strip() for line in out.getvalue().split("\r") if line.strip()]
    assert lines == [
        "trials 0/40  elapsed 1 s  at most 59 s left",
        "trials 12/40  elapsed 8 s  about 2 s left  memory 84 MB",
        "done",
    ]


@pytest.mark.parametrize(("out", "environ"), [(Terminal(), {"TERM": "xterm"}), (Pipe(), {})])
def test_what_is_said_after_it_begins_a_line(out, environ):
    with StderrProgress(HandClock(), environ, out) as progress:
        progress.say("begun")
        progress.step("critique", 1, 1)
    out.write("autoresearch: the budget is spent\n")
    assert "autoresearch: the budget is spent" in out.getvalue().splitlines()
    assert "" not in out.getvalue().splitlines()


@pytest.mark.parametrize(("out", "environ", "shown"), [(Terminal(), {"TERM": "xterm"}, 100), (Pipe(), {}, 3)])
def test_a_reply_is_counted_live_and_every_ten_seconds_without_a_terminal(out, environ, shown):
    clock = HandClock()
    progress = StderrProgress(clock, environ, out)
    progress.step("critique", 1, 1)
    for tick in range(1, 101):
        clock.seconds = tick * 0.3
        progress.replying("evil\x1b[2J", 10 * tick, clock.seconds)
    lines = [line for line in out.getvalue().replace("\r", "\n").splitlines() if "replies" in line]
    assert abs(len(lines) - shown) <= 1
    assert lines[0].strip().startswith("evil␛[2J replies: about ")
    assert "\x1b[2J" not in out.getvalue()


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({}, False)],
)
def test_gates_and_rejections_stand_out(views, environ, coloured):
    out = Terminal()
    approval = views.APPROVAL.model_copy(update={"decision": "reject", "reason": "no"})
    StderrProgress(HandClock(), environ, out).recorded(entry(views, "approval", approval), 1)
    assert ("\x1b[1;31m" in out.getvalue()) is coloured


def test_a_stream_without_unicode():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    StderrProgress(HandClock(), {}, stream).say("→")
    assert stream.buffer.getvalue() == b"\\u2192\n"
