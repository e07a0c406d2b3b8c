"""The screens as text: snapshots, and what hostile text can do to them.

Snapshots are written anew with AUTORESEARCH_SNAPSHOTS=write; look at them before committing.
"""

import os
import re
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoresearch.adapters.accept_screens import accept_screen, accept_sections, claims_on_screen
from autoresearch.adapters.code_view import careful, changed, code_page, diff_page
from autoresearch.adapters.gate_screens import approve_screen, approve_sections
from autoresearch.adapters.screen_text import Look
from autoresearch.adapters.terminal import TerminalReviewer
from autoresearch.adapters.text_plot import Range, text_plot
from autoresearch.errors import Pending
from autoresearch.records import Person, ProxyCard, Reviewer, Tryout, sha256
from autoresearch.safe_text import cells

SNAPSHOTS = Path(__file__).parent / "snapshots"
SIZES = [(80, 24), (120, 40)]
AS_SHOWN = {"c1": "accept", "c2": "accept"}


def screens(views):
    return {
        "approve": lambda look: approve_screen(views.approval_view(), look),
        "approve-first": lambda look: approve_screen(
            views.approval_view(previous_files={}, previous_plan=None, history=[], ask_forecast=True), look
        ),
        "approve-blocked": lambda look: approve_screen(views.blocked_view(), look),
        "accept": lambda look: accept_screen(views.acceptance_view(), look, AS_SHOWN),
    }


def as_kept(lines):
    """Any new field of a record changes every digest, and no screen."""
    return re.sub(r"digest [0-9a-f]{8}\b", "digest 2df55bd0", "\n".join(lines) + "\n")


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("name", ["approve", "approve-first", "approve-blocked", "accept"])
def test_snapshot(views, name, size):
    lines = screens(views)[name](Look(*size))
    assert len(lines) < size[1]
    assert max(cells(line) for line in lines) <= size[0]
    path = SNAPSHOTS / f"{name}-{size[0]}x{size[1]}.txt"
    text = as_kept(lines)
    if os.environ.get("AUTORESEARCH_SNAPSHOTS") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", ["approve", "accept"])
def test_plain_snapshot(views, name):
    lines = screens(views)[name](Look(plain=True, unicode=False))
    assert "\n".join(lines).isascii()
    path = SNAPSHOTS / f"{name}-plain.txt"
    text = as_kept(lines)
    if os.environ.get("AUTORESEARCH_SNAPSHOTS") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("width", [20, 40, 59, 60, 80])
@pytest.mark.parametrize("name", ["approve", "approve-first", "approve-blocked", "accept"])
def test_no_line_is_wider_than_the_terminal(views, name, width):
    assert max(cells(line) for line in screens(views)[name](Look(width, 24))) <= width


def test_the_authors_forecasts_and_beliefs_stay_shut(views):
    view = views.approval_view(ask_forecast=True)
    look = Look(120, 60)
    for section in approve_sections(view, look, forecasts_open=False):
        text = "\n".join([*approve_screen(view, look), *section.render()])
        assert "AUTHOR-REASONING" not in text
        assert "0.01, 0.03" not in text
        assert "prior" not in text
    opened = approve_sections(view, look, forecasts_open=True)
    assert any("AUTHOR-REASONING" in "\n".join(section.render()) for section in opened)


def test_what_the_weak_proxy_allows_is_said(views):
    assert "at most 3.2-fold" in "\n".join(approve_screen(views.approval_view(), Look()))
    critique = views.CRITIQUE.model_copy(update={"proxy": None})
    assert "no proxy figures" in "\n".join(approve_screen(views.approval_view(critique=critique), Look()))


def test_no_isolation_stands_out(views):
    bare = views.ISOLATION.model_copy(update={"tier": "none: shipped code only", "image": "-"})
    bundle = views.BUNDLE.model_copy(update={"isolation": bare})
    assert "NONE: none: shipped code only" in "\n".join(
        approve_screen(views.approval_view(bundle=bundle), Look())
    )
    assert "NONE" not in "\n".join(approve_screen(views.approval_view(), Look()))


@pytest.mark.parametrize(
    ("cost", "cap", "shown"),
    [
        ("0.42", "5", "$0.42 spent of $5 so far"),
        ("unknown", "none", "cost unknown so far"),
        ("0", "none", "$0 spent so far"),
    ],
)
def test_the_cost_so_far_stands_beside_its_cap(views, cost, cap, shown):
    screen = approve_screen(views.approval_view(cost_usd=cost, cap_usd=cap), Look(120, 40))
    assert shown in " ".join(" ".join(screen).split())


def test_same_bytes_are_called_so(views):
    view = views.approval_view(previous_files=views.FILES, history=["attempt 1: Lost after 12 of 40 trials"])
    text = "\n".join(approve_screen(view, Look()))
    assert "same bytes as last time" in text
    assert "Lost after 12 of 40 trials" in text


def test_the_diff_splits_lines_as_the_file_has_them():
    rows = diff_page(
        Look(), {"a.py": b"x = 1\n"}, {"a.py": b"x = 1\x0cy = 2\xe2\x80\xa8z\n", "b.py": b"new\n"}
    )
    text = "\n".join(rows)
    assert "│ +x = 1␌y = 2<U+2028>z" in text
    assert "b.py (new)" in text
    assert diff_page(Look(), {"a": b"1"}, {"a": b"1"}) == ["No file changed."]


def test_a_long_file_that_changed_much_is_not_lined_up():
    """That took minutes at 20 000 lines; whoever writes the code must not decide how long the gate takes."""
    old = "".join(f"x = {n}\n" for n in range(30_000)).encode()
    new = "".join(f"x = {n}\n" if n % 3 else f"y = {n}\n" for n in range(30_000)).encode()
    rows = diff_page(Look(), {"a.py": old}, {"a.py": new})
    assert "@@ all 30001 lines before, then all 30001 lines now @@" in rows[1]
    assert len(rows) == 60_004
    assert changed(Look(), {"a.py": old}, {"a.py": new}) == "a.py +30001 -30001"
    one = old.replace(b"x = 15000\n", b"y = 15000\n")
    assert changed(Look(), {"a.py": old}, {"a.py": one}) == "a.py +1 -1"


@pytest.mark.parametrize("name", ["approve", "accept"])
@pytest.mark.parametrize("width", [20, 30, 40, 60])
def test_the_digest_stands_on_every_width(views, name, width):
    assert re.search(r"digest [0-9a-f]{8}\b", screens(views)[name](Look(width, 24))[0])


def test_a_narrow_terminal_scrolls_rather_than_cut(views):
    text = " ".join(approve_screen(views.approval_view(), Look(40, 24)))
    assert "noise: Training on noisy labels" in text


def test_deceiving_code_is_flagged(views):
    def code(source):
        view = views.approval_view(files={"experiment/experiment.py": source})
        return "\n".join(approve_sections(view, Look(), forecasts_open=True)[1].render())

    deceiving = code("pаth = 1  # \u202e rotcevni\n".encode())
    assert "line 1: name 'pаth' is not plain ASCII (CYRILLIC and LATIN)" in deceiving
    assert "hidden characters" in deceiving
    assert "<U+202E>" in deceiving
    assert "Careful" not in code("path = 1  # naïve, 10 µs\n".encode())


def test_code_is_coloured_by_us_alone_and_loses_nothing(views):
    source = "def f(x):  # why\n\treturn 'a\x1b[31mb' + 0x10 if x else None\n"
    coloured = code_page(Look(colour=True), {"experiment/experiment.py": source.encode()})
    plain = code_page(Look(), {"experiment/experiment.py": source.encode()})
    assert [OWN_COLOURS.sub("", row) for row in coloured] == plain
    text = "\n".join(coloured)
    assert "\x1b[35mdef\x1b[0m" in text
    assert "\x1b[36m# why\x1b[0m" in text
    assert "a␛[31mb" in "\n".join(plain)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"x = 1\n", ""),
        (b"x = '\xc3\xa4'\n", ""),
        (b"\x00\x01", "is not text"),
        (b"x = '\xff'\n", "is not text"),
        ("x = 1  # \u202e\n".encode(), "has hidden characters"),
        (b"x = 1\n" * 1000, ""),
        (b"x = 1\n" * 1001, "has 1001 lines"),
        (b"x = '" + b"a" * 600 + b"'\n", "has a line of 606 characters"),
        ("pаth = 1\n".encode(), "line 1: name 'pаth' is not plain ASCII (CYRILLIC and LATIN)"),
    ],
)
def test_what_has_to_be_opened_is_named_on_the_first_screen(views, data, said):
    view = views.approval_view(files={"experiment/experiment.py": data})
    notes = careful(view.files)
    assert [note.removeprefix("experiment.py ") for note in notes][:1] == ([said] if said else [])
    screen = "\n".join(approve_screen(view, Look(120, 40)))
    assert ("read 2 code to its end" in screen) is bool(said)
    assert said in screen


def test_a_changed_plan_is_named_and_shown_as_a_diff(views):
    view = views.approval_view()
    assert "plan: trials per arm, stopping rule; experiment.py +1 -1" in "\n".join(
        approve_screen(view, Look())
    )
    (diff,) = [s for s in approve_sections(view, Look(), forecasts_open=True) if s.key == "d"]
    text = "\n".join(diff.render())
    assert "│ -trials_per_arm: 10" in text
    assert "│ +trials_per_arm: 20" in text


def test_long_code_lines_wrap_behind_another_margin(views):
    view = views.approval_view(files={"experiment/experiment.py": b"x = '" + b"a" * 100 + b"'\n"})
    rows = approve_sections(view, Look(), forecasts_open=True)[1].render()
    code = [row for row in rows if row[2:3] in "│┊"]
    assert [row[:4] for row in code] == ["1 │ ", "  ┊ "]
    assert "".join(row[4:] for row in code) == "x = '" + "a" * 100 + "'"


def test_claims_that_do_not_fit_are_counted(views):
    view = views.acceptance_view()
    assert claims_on_screen(view, Look(), AS_SHOWN)
    assert not claims_on_screen(view, Look(60, 12), AS_SHOWN)
    assert "... and 1 more: 1 opens them all" in "\n".join(accept_screen(view, Look(60, 12), AS_SHOWN))


# ----------------------------------------------------------------------- plot


def test_the_plot_puts_things_where_they_are():
    ranges = [Range("Author", 0.0, 0.5, 1.0, "10/50/90"), Range("Observed", -1.0, -0.5, 0.0, "95%")]
    author, observed, axis = text_plot(Look(80, 24), ranges, null=0.0)
    null = axis.index("0", 13)
    assert author.index("├") <= null
    assert author.index("●") > null > observed.index("●")
    assert axis.split() == ["-1", "0", "1"]


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=7, max_size=7),
    st.integers(20, 200),
)
def test_the_plot_takes_any_figures(values, width):
    low, middle, high = sorted(values[:3])
    other = sorted(values[3:6])
    ranges = [Range("Author", low, middle, high, "10/50/90"), Range("Observed", *other, "95%")]
    assert len(text_plot(Look(width, 24), ranges, null=values[6])) == 3


# --------------------------------------------------------------- hostile text

HOSTILE = st.text(
    alphabet=st.one_of(
        st.characters(),
        st.sampled_from(
            "\x1b\x07\x08\r\n\t\x00\x7f\x9b\x9d\u202e\u2066\u200b\ufeff\u2028\U000e0041\udc9b\u0301│"
        ),
    ),
    max_size=120,
)
OWN_COLOURS = re.compile(r"\x1b\[(?:0|1|3[2356]|1;31)m")
HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)


def test_the_authors_record_stands_behind_their_forecast(views):
    record = "80 % intervals have held 2 of 3 results"
    lines = approve_screen(views.approval_view(author_record=record), Look(width=120, height=40))
    place = next(i for i, line in enumerate(lines) if line.startswith("Forecast"))
    assert f"whose {record}" in lines[place + 1]


def test_the_ceiling_is_said_before_anything_runs_and_no_less_when_it_is_low(views):
    look = Look(width=120, height=40)
    usual = "\n".join(approve_screen(views.approval_view(), look))
    assert "a clear result shifts odds on the real target at most" in usual
    assert "terminate (end the project)" in usual
    weak = "\n".join(approve_screen(views.weak_view(), look))
    assert "at most 1.1-fold on the real target, 1.11-fold if the effect is absent: worth running?" in weak
    assert "terminate (do not run)" in weak


def planted(value, hostile):
    """`value` with every free text in it replaced, whatever its type; names and digests stay."""
    return {
        name: hostile
        for name, field in type(value).model_fields.items()
        if isinstance(getattr(value, name), str) and name not in KEPT
    }


KEPT = {
    "id", "kind", "status", "severity", "check", "record", "sha256", "policy_sha256", "harness_sha256", "tier",
    "form", "formula", "treatment", "control", "name", "outcome", "better", "level", "grade", "about", "shape",
    "run", "decision", "verdict", "rule", "forecast", "arm",
}  # fmt: skip


def evil(value, hostile):
    """A copy of a record part, and of all parts in it, with hostile text in every free field."""
    if isinstance(value, list):
        return [evil(item, hostile) for item in value]
    if not hasattr(type(value), "model_fields"):
        return value
    changes = {name: evil(getattr(value, name), hostile) for name in type(value).model_fields}
    return value.model_copy(update={**changes, **planted(value, hostile)})


def is_unicode(text):
    return not any("\ud800" <= char <= "\udfff" for char in text)


def assert_safe(lines):
    for line in lines:
        bare = OWN_COLOURS.sub("", line)
        found = HIDDEN.search(bare)
        assert not found, (ascii(found), line)


def hostile_approval(views, hostile, **changes):
    """A view with hostile text in every free field."""
    raw = hostile.encode("utf-8", "surrogatepass")
    fields = {
        "title": hostile,
        "question": hostile,
        "plan": evil(views.PLAN, hostile).model_copy(update={"config": {"k": hostile}}),
        "critique": evil(views.CRITIQUE, hostile),
        "prediction": evil(views.PREDICTION, hostile),
        "preflight": evil(views.blocked_view().preflight, hostile),
        # A digest can only be made of text that JSON can carry.
        "bundle": evil(views.BUNDLE, hostile) if is_unicode(hostile) else views.BUNDLE,
        "files": {"experiment/experiment.py": raw, hostile: raw},
        "previous_files": {"experiment/experiment.py": b"x\n", hostile + "2": raw},
        "history": [hostile],
        "model": hostile,
        "cost_usd": hostile,
    }
    return views.approval_view(**fields | changes)


def hostile_acceptance(views, hostile):
    return views.acceptance_view(
        title=hostile,
        plan=evil(views.PLAN, hostile),
        forecasts=evil(list(views.PREDICTION.forecasts), hostile),
        result=evil(views.RESULT, hostile),
        check=evil(views.CHECK, hostile),
        conclusion=evil(views.CONCLUSION, hostile),
        monitoring=evil(views.MONITORING, hostile),
        critique=evil(views.CRITIQUE, hostile),
        log=hostile,
        history=[hostile],
    )


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hostile=HOSTILE, colour=st.booleans(), width=st.sampled_from([30, 80]))
def test_no_hidden_character_reaches_the_approve_gate(views, hostile, colour, width):
    view = hostile_approval(views, hostile)
    look = Look(width, 24, colour=colour)
    assert_safe(approve_screen(view, look))
    for section in approve_sections(view, look, forecasts_open=True):
        assert_safe(section.render())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hostile=HOSTILE, colour=st.booleans(), width=st.sampled_from([30, 80]))
def test_no_hidden_character_reaches_the_accept_gate(views, hostile, colour, width):
    view = hostile_acceptance(views, hostile)
    look = Look(width, 24, colour=colour)
    assert_safe(accept_screen(view, look, AS_SHOWN))
    for section in accept_sections(view, look, AS_SHOWN):
        assert_safe(section.render())


# ------------------------------------------------------- bytes on the terminal

OUR_CONTROLS = re.compile(rb"\r\n|\x1b\[(?:0|1|3[2356]|1;31)m")


class ThrowawayTerminal:
    """A pseudo-terminal in this process: pages go to their end, `answers` to the gate; keeps every byte written."""

    def __init__(self, answers):
        self.ours, self.theirs = os.openpty()
        self.answers, self.written = list(answers), b""
        self.thread = threading.Thread(target=self._converse, daemon=True)
        self.thread.start()

    def _converse(self):
        while True:
            try:
                data = os.read(self.ours, 65536)
            except OSError:
                return
            self.written += data
            # Only once the prompt stands there: what is typed ahead is thrown away.
            if self.written.endswith(b"Decision: ") and self.answers:
                os.write(self.ours, self.answers.pop(0).encode() + b"\n")
            elif self.written.endswith((b"q closes: ", b"b back: ")):
                os.write(self.ours, b"\n" if self.written.endswith(b"b back: ") else b"e\n")

    def close(self):
        self.thread.join(20)
        os.close(self.ours)


def all_bytes_of(decide, keys):
    """What a terminal is sent while every section in `keys` is opened and the gate is left."""
    terminal = ThrowawayTerminal([*keys, "", "?", "quit"])
    clock = SimpleNamespace(now=lambda: datetime(2030, 1, 1, tzinfo=UTC), monotonic=lambda: 0.0)
    reviewer = TerminalReviewer(
        Reviewer(person=Person(name="Ada", email="a@example.org")),
        clock,
        opener=lambda: terminal.theirs,
        environ={"TERM": "xterm"},
        size=(80, 24),
        timeout=60,
    )
    with pytest.raises(Pending, match="you quit"):
        decide(reviewer)
    terminal.close()
    return terminal.written


def assert_only_our_controls(written):
    text = OUR_CONTROLS.sub(b"\n", written).decode()  # strict: every byte is part of a character
    found = HIDDEN.search(text.replace("\n", ""))
    assert not found, ascii(text[max(found.start() - 40, 0) : found.end() + 40])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hostile=HOSTILE)
def test_every_byte_that_the_approve_gate_writes(views, hostile):
    raw = hostile.encode("utf-8", "surrogatepass")
    files = {"experiment/experiment.py": raw, "experiment/x.json": raw}
    bundle = views.BUNDLE.model_copy(update={"files": {path: sha256(data) for path, data in files.items()}})
    tried = Tryout(started_at=datetime(2030, 1, 1, tzinfo=UTC), outcome="crashed")
    crash = tried.model_copy(update={"crash": hostile})
    view = hostile_approval(views, hostile, bundle=bundle, files=files, ask_forecast=False, tries=[crash])
    written = all_bytes_of(lambda r: r.approve(view, None), "12345678d")
    assert_only_our_controls(written)
    assert written.count(b"Decision: ") >= 9


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hostile=HOSTILE)
def test_every_byte_that_the_accept_gate_writes(views, hostile):
    view = hostile_acceptance(views, hostile)
    written = all_bytes_of(lambda r: r.accept(view), "12345678")
    assert_only_our_controls(written)
    assert written.count(b"Decision: ") >= 9


@pytest.mark.parametrize("width", [40, 80])
def test_foreign_text_never_stands_at_the_left_edge(views, width):
    forged = "Decision: approve\nTo approve, type 00000000: DECISION"
    view = views.approval_view(
        title=forged,
        question=forged,
        plan=evil(views.PLAN, forged),
        critique=evil(views.CRITIQUE, forged),
        prediction=evil(views.PREDICTION, forged),
        preflight=evil(views.PREFLIGHT, forged),
        files={"experiment/experiment.py": forged.encode()},
        history=[forged],
    )
    look = Look(width, 40)
    lines = approve_screen(view, look)
    for section in approve_sections(view, look, forecasts_open=True):
        lines += section.render()
    for line in lines:
        if "DECISION" in line or "type 0000" in line or "Decision" in line:
            assert re.match(r"(.{12}|[ 0-9]+)?[│┊] ", line), line


def test_the_ceiling_of_the_card_is_the_one_shown():
    card = ProxyCard(
        target="t", proxy="p", dynamic="d", disanalogies=[], p_given_target=0.8, p_given_not=0.25
    )
    assert f"{card.ceiling:.3g}" == "3.2"


def test_an_assumption_relabelled_shows_in_what_changed(views):
    """Calling it tested changes a word; the gate says that no run stands behind it."""
    statuses = {"a1": "tested", "a2": "accepted"}
    now = [a.model_copy(update={"status": statuses[a.id]}) for a in views.CRITIQUE.assumptions]
    critique = views.CRITIQUE.model_copy(update={"assumptions": now})
    view = views.approval_view(critique=critique, previous_critique=views.CRITIQUE)
    screen = "\n".join(approve_screen(view, Look(120, 40), forecasts_open=True))
    assert "a1 open -> tested (no evidence of it here)" in screen
    assert "a2" not in screen.partition("Changed")[2].partition("History")[0]
    before = views.approval_view(previous_critique=views.CRITIQUE)
    assert "->" not in "\n".join(approve_screen(before, Look(120, 40), forecasts_open=True))


def test_a_plan_made_after_a_result_says_so(views):
    prediction = views.PREDICTION.model_copy(update={"after_results": [1]})
    seen, unseen = (
        "\n".join(approve_screen(view, Look(120, 40), forecasts_open=True))
        for view in (views.approval_view(prediction=prediction), views.approval_view())
    )
    assert "the result of attempt 1: a change since is exploratory" in seen
    assert "exploratory" not in unseen


LOOKED = [
    "positive, 0.2 [0.1, 0.3], the same comparison; attempt 1 of project abababab",
    "attempt 2 of project \x1b[2J",
]


def test_what_the_forked_project_had_seen_stands_on_both_first_screens(views):
    """A result does not become unseen by forking."""
    look = Look(width=80, height=24)
    before = "Its result is known: see Seen."
    screen = "\n".join(approve_screen(views.approval_view(known=LOOKED, before=before), look))
    assert f"{before} Type a word" in screen
    assert "Nothing of it has run" not in screen
    verdicts = {claim.id: "accept" for claim in views.CLAIMS}
    for rows in (screen, "\n".join(accept_screen(views.acceptance_view(known=LOOKED), look, verdicts))):
        assert "Seen        2 runs of the project this was forked from:" in rows
        assert "positive, 0.2 [0.1, 0.3], the same comparison" in rows
        assert "\x1b[2J" not in rows
