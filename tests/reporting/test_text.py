"""Numbers to the precision that means something, and Markdown that foreign text cannot bend."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from markdown_it import MarkdownIt

from autoresearch.reporting.markdown import fence, inline, quote
from autoresearch.reporting.text import (
    day,
    duration,
    given,
    moment,
    number,
    percent,
    to_precision_of,
    total_cost,
)


@pytest.mark.parametrize(
    ("width", "values", "shown"),
    [
        (0.0104, [0.048863, 0.038489, 0.059237], ["0.049", "0.038", "0.059"]),
        (2.5, [-12.345], ["−12.3"]),
        (250, [1234.5], ["1234"]),
        (0.02, [-0.0001], ["0.000"]),
        (0.0, [0.123456], ["0.1235"]),
        (3e-9, [1.5e-9], ["1.500e−9"]),
    ],
)
def test_precision_of_the_interval(width, values, shown):
    assert [v.replace("e−09", "e−9") for v in to_precision_of(width, *values)] == shown


def test_numbers():
    assert [number(v) for v in (0, 0.123456, -12.3456, 1234.5)] == ["0", "0.123", "−12.3", "1234"]
    assert [given(v) for v in (0.03, -1.0, 1.5)] == ["0.03", "−1", "1.5"]
    assert [percent(p) for p in (0, 0.001, 0.5, 0.632, 0.999, 1)] == [
        "0 %",
        "0.1 %",
        "50 %",
        "63 %",
        "99.9 %",
        "100 %",
    ]
    assert [duration(s) for s in (12.3, 300, 9000)] == ["12 s", "5 min", "2.5 h"]


def test_costs():
    assert total_cost([]) == "0 USD"
    assert total_cost(["0.0213", "0.0213"]) == "0.0426 USD"
    assert total_cost(["1.5", "unknown"]) == "1.50 USD and an unknown part"
    assert total_cost(["unknown", "0"]) == "unknown"
    assert total_cost(["0.00001"]) == "less than 0.0001 USD"


def test_times_are_utc():
    when = datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    assert (day(when), moment(when)) == ("28 February 2026", "2026-02-28 22:30")
    assert moment(datetime(2026, 3, 1, 9, 5, tzinfo=UTC)) == "2026-03-01 09:05"


TEXTS = [
    "# head", "- item", "+ item", "1. one", "12) twelve", "> quote", "===", "---", "*a* _b_ **c**", "`code`", "[a](b)",
    "![a](b)", "<b>", "&amp;", "a | b", "~~x~~", "back\\slash\\", "<https://x.example>", "$x$", "    indented", "_", "*",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_inline_text_comes_out_as_it_went_in(text):
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(inline(text))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert "".join(child.content for child in tokens[1].children) == text.strip()
    assert {child.type for child in tokens[1].children} <= {"text", "text_special"}


@pytest.mark.parametrize("text", ["0.030 (−0.010 to 0.080)", "2026-03-01 14:02", "signed_gap", "-0.5", "1.5"])
def test_harmless_text_is_left_alone(text):
    assert inline(text) == text


def test_addresses_are_not_made_links_by_git_hosts():
    assert inline("https://a.example www.b.example") == "https\\://a.example www\\.b.example"


def test_quotes_and_fences_hold():
    parts = [quote("# a\n\n- b\n> c"), fence("```\nx\n`````")]
    html = MarkdownIt("commonmark").render("\n\n".join(parts))
    assert html.count("<blockquote>") == 1
    assert "<h1>" not in html
    assert "<li>" not in html
    assert html.count("<pre>") == 1
