"""The report: complete, the same every time, at any point of a project, and hostile text stays text."""

import re
import unicodedata

import pytest
from markdown_it import MarkdownIt

from autoresearch.errors import InvalidInput
from autoresearch.records import MadeData, Person, Source, file_ref
from autoresearch.reporting.report import ReportProse, build, markdown
from autoresearch.reporting.report_results import contrast_view, surprise_text

SCRIPT = Person(name="demonstration script (not a person)", email="demo@localhost")
HOSTILE = (
    "# Fake heading\n| a | b |\n|---|---|\n| 1 | 2 |\n</p></td><script>alert(1)</script>"
    "<img src=https://evil.example/x.png onerror=alert(1)> ![i](https://evil.example/y.png)"
    " [l](javascript:alert(1)) <https://evil.example> https://evil.example www.evil.example `code` **b** _e_ ~~x~~ $x$"
    " &lt;b&gt; \\ \u202egnp.exe\u200b\u2028 \x1b[31mred\x07 {{ 7*7 }} {% raw %}\n```\nfenced\n~~~\n> quote\n- item\n1. one"
    "\nsetext\n===\n---\n    indented\n[ref]: https://evil.example\n[ref]\n\n## Claims\n"
)  # fmt: skip
PROSE = ReportProse(
    "A model's title",
    "First paragraph.\n\nSecond.",
    "Discussed at length.",
    ["Only one rate.", "Only one width."],
)


def told_by(tale, name, **settings):
    """Every kind of story that a project can be stopped in."""
    new = tale(**settings)
    if name == "proposal":
        return new.start()
    if name == "gate":
        return new.to_gate()
    if name == "terminated":
        return new.to_gate().approve("terminate", "Not worth the hours.")
    if name == "edited":
        return (
            new.to_gate()
            .approve("edit", "Twelve trials.")
            .next_attempt()
            .plan(12)
            .predict()
            .preflight()
            .approve()
        )
    if name == "running":
        return new.to_gate().approve().run()
    if name in ("Crashed", "TimedOut", "OutOfMemory", "Lost", "Completed"):
        return new.to_gate().approve().result(name)
    done = new.to_gate().approve(reason="Sound.").to_accept()
    if name == "redo":
        return done.accept("redo", "More trials.").next_attempt().plan(16).predict().preflight()
    if name == "revised":
        return done.accept("revise", "C2 claims too much.").next_attempt().conclude()
    decision = {"accepted": "accept", "rejected": "reject", "follow-up": "follow-up"}[name]
    return done.accept(decision, "The claims follow from the numbers.").report()


STORIES = [
    "proposal", "gate", "terminated", "edited", "running", "Crashed", "TimedOut", "OutOfMemory", "Lost",
    "Completed", "redo", "revised", "accepted", "rejected", "follow-up",
]  # fmt: skip


def page(told, cycle=1, prose=None):
    return markdown(told.entries, told.read, cycle=cycle, prose=prose)


def section(text, name):
    found = re.search(rf"^## {re.escape(name)}[^\n]*\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no section {name}"
    return found[1]


# ---------------------------------------------------------------- completeness


@pytest.mark.parametrize("name", STORIES)
def test_no_record_is_missing(tale, name):
    told = told_by(tale, name)
    text = page(told)
    for entry in told.entries:
        assert entry.digest[:12] in text
        assert entry.commit[:10] in text


def test_records_of_other_cycles_are_listed_too(tale):
    told = told_by(tale, "follow-up").next_cycle().to_gate()
    for cycle in (1, 2):
        assert all(entry.digest[:12] in page(told, cycle) for entry in told.entries)
    assert "No experiment has ended yet" in page(told, 2)
    assert "No experiment has ended yet" not in page(told, 1)


@pytest.mark.parametrize("name", ["gate", "accepted"])
def test_the_same_history_gives_the_same_bytes(tale, name):
    told = told_by(tale, name)
    first, second = (build(told.entries, told.read, cycle=1, prose=None) for _ in range(2))
    assert first == second


def test_a_figure_only_where_there_is_a_check(tale):
    pages = told_by(tale, "accepted"), told_by(tale, "Crashed")
    with_check, without = (build(told.entries, told.read, cycle=1, prose=None) for told in pages)
    figures = {f"figures/result.{kind}" for kind in ("svg", "png", "json")}
    assert set(with_check) == {"report.md", "report.html"} | figures
    assert set(without) == {"report.md", "report.html"}
    assert "result.svg" not in without["report.html"].decode()


SIGN_ONLY = "The interval reaches below the smallest effect of interest"


@pytest.mark.parametrize(
    ("low", "high", "outcome", "said"),
    [
        (0.01, 0.9, "positive", True),
        (0.5, 0.9, "positive", False),
        (-0.9, -0.01, "negative", True),
        (-0.9, -0.5, "negative", False),
        (-0.1, 0.9, "inconclusive", False),
    ],
)
def test_an_effect_that_may_be_too_small_to_matter_is_called_so(accepted, low, high, outcome, said):
    plan, check = (
        next(e.record.body for e in accepted.entries if e.record.kind == k) for k in ("plan", "check")
    )
    assert plan.contrast.smallest_effect < 0.5
    contrast = check.contrast.model_copy(update={"low": low, "high": high, "outcome": outcome})
    notes = contrast_view(plan, check.model_copy(update={"contrast": contrast}))["notes"]
    assert any(SIGN_ONLY in str(note) for note in notes) == said


def test_data_and_effort_are_told_on_the_harnesss_word(accepted):
    plan, check = (
        next(e.record.body for e in accepted.entries if e.record.kind == k) for k in ("plan", "check")
    )
    made = MadeData(seeds=7, different=7, sha256="0" * 64, note="an object of type Frame")
    arms = [arm.model_copy(update={"cpu_seconds": 0.25}) for arm in check.arms]
    notes = contrast_view(plan, check.model_copy(update={"data": made, "arms": arms}))["notes"]
    assert "make_data gave 7 seeds 7 different sets of data, by their digests (self-reported)." in notes
    assert (
        "Some of what make_data made has no digest, so it was not compared: an object of type Frame." in notes
    )
    assert (
        "Seconds of CPU a trial, as the harness measures them: uniform-long 0.25, structured-long 0.25."
        in notes
    )


def test_a_great_surprise_is_told_with_what_a_fresh_seed_gave(accepted):
    check = next(e.record.body for e in accepted.entries if e.record.kind == "check")
    update = {"surprise": check.surprise.model_copy(update={"verdict": "rerun"}), "fresh_contrast": 0.25}
    assert surprise_text(check.model_copy(update=update)).endswith(
        "On a seed that the run never had, the contrast was 0.250."
    )
    assert "never had" not in surprise_text(check.model_copy(update={"fresh_contrast": 0.25}))


def test_takeaway_first_and_appendices_last(accepted):
    heads = re.findall(r"^## (.*)$", page(accepted), re.MULTILINE)
    assert heads == [
        "Takeaway", "Result", "Predicted against observed", "Primary contrast", "Claims", "What this does not show",
        "Surprise", "Deviations from the plan", "Findings of the checks", "What the experiment stands in for",
        "Assumptions", "The plan as it was fixed in advance", "Appendix A. Every attempt of the cycle",
        "Appendix B. Every record of the project", "Appendix C. How to check this report",
    ]  # fmt: skip


# -------------------------------------------------------------------- standing


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("proposal", "Under way; the next step is ideate."),
        ("gate", "Waits for a person at the approve gate."),
        ("terminated", "Stopped by Ada Lovelace on 1 March 2026 at the approve gate."),
        ("running", "An experiment was started and its end is not recorded."),
        (
            "Crashed",
            "The experiment ended as Crashed after 5 of 16 trials, which is no evidence either way; waits for its author.",
        ),
        ("Lost", "The run was lost after 0 of 16 trials; the approve gate asks again for the same bytes."),
        ("accepted", "Accepted by Ada Lovelace on 1 March 2026; 2 of 3 claims."),
        ("rejected", "Rejected by Ada Lovelace on 1 March 2026; 0 of 3 claims."),
        (
            "follow-up",
            "Accepted with a follow-up by Ada Lovelace on 1 March 2026; 2 of 3 claims; cycle 2 follows.",
        ),
    ],
)
def test_one_line_says_where_it_stands(tale, name, line):
    assert page(told_by(tale, name)).split("\n")[2] == f"**{line}**"


def test_the_committed_report_does_not_say_that_it_is_missing(tale):
    told = told_by(tale, "accepted")
    told.entries.pop()
    assert "**Accepted by Ada Lovelace on 1 March 2026; 2 of 3 claims.**" in page(told)


# --------------------------------------------------------------------- banners


def banner_heads(told, cycle=1):
    return re.findall(r"^> \*\*(.*?)\.\*\*", page(told, cycle).split("## Takeaway")[0], re.MULTILINE)


def test_nothing_decided_nothing_to_warn_of(tale):
    assert banner_heads(told_by(tale, "gate")) == []


def test_unsigned(tale):
    assert banner_heads(told_by(tale, "accepted")) == ["Not signed"]


def test_a_demonstration_says_so_in_every_section_head(tale):
    told = told_by(
        tale, "accepted", demonstration=True, tier="none: shipped code only", is_person=False, reviewer=SCRIPT
    )
    assert banner_heads(told)[:2] == ["Demonstration", "No isolation: shipped code only"]
    heads = re.findall(r"^## .*$", page(told), re.MULTILINE)
    assert heads
    assert all(head.endswith("*(demonstration: no person decided)*") for head in heads)
    html = build(told.entries, told.read, cycle=1, prose=None)["report.html"].decode()
    assert html.count("demonstration: no person decided") == len(heads)


def test_nothing_else_says_demonstration(accepted):
    assert "demonstration" not in page(accepted).lower()
    assert "No isolation" not in page(accepted)


def test_self_reported(tale):
    assert "Self-reported metric" in banner_heads(told_by(tale, "accepted", formula="reported"))


def test_failed_runs_are_named(rejected_twice, accepted):
    assert "1 run failed or was lost: Crashed in attempt 3." in page(rejected_twice)
    assert "Runs without a result" not in banner_heads(accepted)


def test_numbers_that_were_sent_back_are_marked(tale, accepted):
    assert "those of attempt 1, which was sent back" in page(told_by(tale, "redo"))
    assert "Not the latest attempt" not in banner_heads(accepted)


# --------------------------------------------------------------------- content


def test_all_forecasters_against_what_was_observed(accepted):
    rows = [
        line
        for line in section(page(accepted), "Predicted against observed").split("\n")
        if line.startswith("| ")
    ][1:]
    assert rows[0].startswith(
        "| agent | contrast (primary) | 0.030 (−0.010 to 0.080) | 0.049 (inside) | interval80 0.0900, wis3 "
    )
    assert [row.split(" | ")[3] for row in rows] == ["0.049 (inside)", "positive", "yes", "0.049 (inside)"]
    assert rows[3].startswith("| Ada Lovelace | contrast |")


def test_the_contrast_with_interval_method_and_noise(accepted):
    text = section(page(accepted), "Primary contrast")
    assert "**0.049 probability**, 95 % interval **\\[0.038, 0.059\\]**. Outcome: **positive**." in text
    assert "Interval: paired t over seeds, n = 8." in text
    assert "Smallest effect of interest: 0.03 from 0." in text
    assert "1 of 1 trial gave the same bytes" in text


def test_claims_with_the_persons_verdicts(accepted, tale):
    rows = section(page(accepted), "Claims")
    assert re.search(r"\| C1 \|.*\| L1 \| E2 \| 60 % → 82 % \| accepted \|", rows)
    assert re.search(r"\| C-target \|.*\| 60 % → 63 % \| \*\*rejected\*\* \|", rows)
    assert "would change our mind: a gap below 0.03" in rows
    sent_back = page(told_by(tale, "redo"))
    assert "**sent back, not accepted**" in section(sent_back, "Claims")
    assert "accepted |" not in section(sent_back, "Claims").replace("**sent back, not accepted** |", "")
    assert "Not accepted: it was sent back." in sent_back
    assert "not decided" in section(page(told_by(tale, "revised")), "Claims")


def test_rejections_reasons_and_crashes_stay(rejected_twice):
    text = section(page(rejected_twice), "Appendix A. Every attempt of the cycle")
    assert [f"### Attempt {n}" in text for n in (1, 2, 3, 4, 5)] == [True, True, True, True, False]
    assert "One arm alone shows nothing; name a rival." in text
    assert "Eight trials are too few" in text
    assert "ValueError: shapes (8,12) and (11,) not aligned" in text
    assert "Changed since the plan before: trials per arm." in text


def test_a_crash_shows_its_log_and_claims_nothing(tale):
    text = page(told_by(tale, "Crashed"))
    assert "which says nothing about the hypotheses" in section(text, "Result")
    assert "ValueError: shapes" in section(text, "Result")
    assert "None: no conclusion has been drawn." in section(text, "Claims")


def test_outputs_that_were_left_out_are_named(tale, accepted):
    told = tale().to_gate().approve().result("Crashed", refused=["dump.bin: a device, not a file"])
    assert "Outputs not taken: dump.bin: a device, not a file." in page(told)
    assert "Outputs not taken" not in page(accepted)


def test_a_cycle_without_records_is_refused(accepted):
    with pytest.raises(InvalidInput, match="no record belongs to cycle 2"):
        page(accepted, 2)


def test_the_configuration_is_told_line_by_line(accepted):
    text = section(page(accepted), "The plan as it was fixed in advance")
    assert '```text\nnote = "as in the pilot"\nrate = 0.3\n```' in text


def test_an_edit_is_told(tale):
    assert "Edited by hand: the plan (trials per arm)" in page(told_by(tale, "edited"))


def test_findings_of_every_severity_with_the_persons_reason(accepted):
    text = section(page(accepted), "Findings of the checks")
    assert (
        "Ada Lovelace, who was shown these: approved. The reason: “The control covers the obvious confound.”"
        in text
    )
    assert "- **warn** critique.open-assumption, on the critique: A3 is open" in text
    assert "- **info** plan.few-trials" in text


def test_the_ceiling_in_words(accepted, tale):
    text = section(page(accepted), "What the experiment stands in for")
    assert "by 0.70 at least and by 1.30 at most: a belief of 50 % could fall to 41 % or reach 57 %" in text
    bare = tale().start().ideas().critique(proxy=False)
    assert "states no figures" in section(page(bare), "What the experiment stands in for")


def test_open_assumptions_first(accepted):
    rows = re.findall(r"^\| (A\d) \| (\w+)", section(page(accepted), "Assumptions"), re.MULTILINE)
    assert rows == [("A3", "open"), ("A2", "accepted"), ("A1", "tested")]


def test_the_plan_is_the_one_behind_the_numbers(tale):
    told = told_by(tale, "redo")
    plans = [entry.digest for entry in told.entries if entry.record.kind == "plan"]
    text = section(page(told), "The plan as it was fixed in advance")
    assert f"record {plans[0][:12]}" in text
    assert plans[1][:12] not in text


def test_a_models_prose_is_shown_as_such(tale):
    told = told_by(tale, "accepted", model="anthropic:claude-test")
    text = page(told, prose=PROSE)
    assert text.startswith("# A model's title\n")
    assert text.count("*written by a model (anthropic:claude-test), checked by nobody*") == 3
    assert "> First paragraph.\n>\n> Second." in text
    assert "written by a model" not in page(told)


# --------------------------------------------------------------- hostile text


def hostile(tale, name):
    person = Person(name=" ".join(HOSTILE.split())[:450], email="a@b.example")
    return told_by(tale, name, foreign=HOSTILE, model="anthropic:claude-test", reviewer=person)


def shape(text):
    """What the page is made of: headings, and rows and columns of its tables."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)
    outer = [t for t in tokens if t.level == 0 or t.type in ("tr_open", "td_open", "th_open")]
    heads = [
        tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open" and t.tag != "h1"
    ]
    inline = [child for token in tokens for child in token.children or []]
    loads = [
        t.type
        for t in [*tokens, *inline]
        if t.type in ("html_block", "html_inline", "link_open", "image", "s_open")
    ]
    return (
        heads,
        [t.type for t in outer if "table" in t.type or t.type in ("tr_open", "td_open", "th_open")],
        loads,
    )


@pytest.mark.parametrize("name", ["gate", "Crashed", "accepted", "redo"])
def test_hostile_text_changes_nothing_of_the_page(tale, name):
    bad = ReportProse(" ".join(HOSTILE.split())[:450], HOSTILE, HOSTILE, [HOSTILE])
    plain_page = page(told_by(tale, name, model="anthropic:claude-test"), prose=PROSE)
    hostile_page = page(
        hostile(tale, name), prose=ReportProse(bad.title, bad.abstract, bad.discussion, [HOSTILE, HOSTILE])
    )
    heads, tables, loads = shape(hostile_page)
    assert (heads, tables) == shape(plain_page)[:2]
    assert loads == (["image"] if name in ("accepted", "redo") else [])
    assert "49" not in re.findall(r"\{\{ (.*?) \}\}", hostile_page)
    assert "{{ 7\\*7 }}" in hostile_page


@pytest.mark.parametrize("name", ["Crashed", "accepted"])
def test_hostile_text_in_html(tale, name):
    told = hostile(tale, name)
    html = build(told.entries, told.read, cycle=1, prose=None)["report.html"].decode()
    tags = re.findall(r"<(\w+)([^>]*)>", html)
    assert "script" not in {tag for tag, _ in tags}
    sources = [attributes for tag, attributes in tags if tag == "img"]
    assert all('src="figures/result.svg"' in attributes for attributes in sources)
    assert len(sources) == (name == "accepted")
    assert all(re.fullmatch(r' href="#section-\d+"', attributes) for tag, attributes in tags if tag == "a")
    assert not [tag for tag, attributes in tags if re.search(r"\son\w+=|style=|javascript:", attributes)]


@pytest.mark.parametrize("name", ["Crashed", "accepted"])
def test_hidden_characters_are_shown_by_name(tale, name):
    told = hostile(tale, name)
    pages = build(told.entries, told.read, cycle=1, prose=None)
    for path in ("report.md", "report.html"):
        text = pages[path].decode()
        hidden = {
            char
            for char in text
            if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs")
        }
        assert hidden == set()
    assert "\\<U+202E\\>" in pages["report.md"].decode()


def test_a_log_cannot_close_its_fence(tale):
    told = tale().to_gate().approve().result("Crashed")
    log = b"````\n## Claims\n```\n\xff\n``````\n"
    told.files = {key: (log if key[1] == "log.txt" else data) for key, data in told.files.items()}
    assert page(told).count("\n## Claims\n") == 2  # the section, and the log's line inside its fence
    assert shape(page(told))[0].count("Claims") == 1
    assert "<byte FF>" in page(told)


# --------------------------------------------------- what opened it, and what it cites


def test_a_later_cycle_says_who_opened_it_and_why(tale):
    told = (
        done(tale())
        .accept("follow-up", "Now with heavy tails.\n\n## Not a heading")
        .report()
        .next_cycle()
        .to_gate()
    )
    text = section(page(told, 2), "Takeaway")
    assert "Why this cycle: Ada Lovelace asked for a follow-up at the end of cycle 1, 1 March 2026:" in text
    assert "> Now with heavy tails." in text
    assert "Why this cycle" not in page(told, 1)
    assert "Not a heading" not in shape(page(told, 2))[0]
    assert "gave no reason" in page(done(tale()).accept("follow-up").report().next_cycle().to_gate(), 2)


def done(told):
    return told.to_gate().approve().to_accept()


def source(id_, reference, original="reference"):
    text = None if original == "reference" else file_ref(f"sources/{id_}.txt", b"text")
    return Source(
        id=id_, reference=reference, original=original, path="refs.bib", sha256="3" * 64, size=3, text=text
    )


def test_the_sources_that_are_cited_are_listed(tale):
    told = tale()
    told.sources = (
        source("smith2020", "Smith (2020). Shifts", "pdf"),
        source("jones:2001", "Jones. Unread"),
        source("other", "Nobody's"),
    )
    told.cites = ("smith2020", "made-up")
    told.foreign = ""
    text = section(page(done(told)), "Sources cited")
    assert (
        "| smith2020 | Smith (2020). Shifts | text of a PDF, refs.bib | `333333333333` | claim C1 |" in text
    )
    assert "| made-up | leads to no source of this project | – | – | claim C1 |" in text
    assert "jones" not in text, "nothing cites it"
    told.cites = ("jones:2001",)
    again = tale()
    again.sources, again.cites = told.sources, told.cites
    assert "| jones:2001 | Jones. Unread | reference alone, its text was not read, refs.bib |" in page(
        done(again)
    )
    assert "## Sources cited" not in page(done(tale()))


def test_a_reference_cannot_write_into_the_page(tale):
    plain, hostile_one = tale(), tale()
    plain.sources, plain.cites = (source("k", "A title"),), ("k",)
    bad = " ".join(HOSTILE.split())[:480]
    hostile_one.sources, hostile_one.cites = (source("k", bad),), ("k",)
    assert shape(page(done(hostile_one))) == shape(page(done(plain)))
    html = build(hostile_one.entries, hostile_one.read, cycle=1)["report.html"].decode()
    assert "<script" not in html
    assert 'href="http' not in html
    assert "evil.example" in html


# ------------------------------------------------------------------------ html


def test_the_html_page_allows_nothing_from_outside(accepted):
    html = build(accepted.entries, accepted.read, cycle=1, prose=None)["report.html"].decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert policy.startswith("default-src 'none'; img-src 'self' file:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r'(src|href)="(?!#section-\d+"|figures/result\.svg")', html)
    assert "http://" not in html
    assert "https://" not in html
    assert html.startswith("<!DOCTYPE html>")


def test_the_contents_lead_to_every_section(accepted):
    html = build(accepted.entries, accepted.read, cycle=1, prose=None)["report.html"].decode()
    targets = re.findall(r'<h2 id="(section-\d+)">', html)
    assert len(targets) == 15
    assert re.findall(r'<a href="#(section-\d+)">', html) == targets
    assert "<title>Does it matter in which direction raters err?</title>" in html


def test_how_long_a_gate_was_read_is_told(accepted, tale):
    assert "after 3 min; opened plan, code (not to its end). Gave 1 forecast first." in page(accepted)
    hasty = page(tale(reading=5).to_gate().approve().to_accept().accept().report())
    assert "after 5 s; opened nothing beyond the first screen" in hasty
    assert "Approved after 5 s without opening the code." in hasty
    assert "Accepted after 5 s without opening any section." in hasty
