"""The preregistration page: every field of the plan is on it, and foreign text changes nothing of it."""

import re

import pytest

from autoresearch.errors import InvalidInput
from autoresearch.reporting.preregistration import preregistration

HOSTILE = "# A heading\n| a | table | row |\n<script>x</script> ![i](http://x) `code` \x1b[2J"


def page_of(told, kind="plan"):
    entry = next(entry for entry in told.entries if entry.record.kind == kind)
    return preregistration(told.entries, entry), entry


def test_everything_fixed_in_advance_is_on_the_page(accepted):
    page, entry = page_of(accepted)
    plan = entry.record.body
    assert entry.digest in page
    assert entry.commit in page
    assert [h.id in page for h in plan.hypotheses] == [True] * len(plan.hypotheses)
    for text in (plan.metric.formula, plan.experiment[0].sha256, f"{plan.trials_per_arm} trials"):
        assert text in page
    assert [f"| {row.outcome} |" in page for row in plan.decision_table] == [True] * 4
    assert "Approved by Ada Lovelace" in page
    assert "(primary)" in page
    heads = re.findall(r"^## (\d+)\. ", page, re.MULTILINE)
    assert heads == [str(n) for n in range(1, 16)]


def test_what_the_author_left_out_says_so(accepted):
    page, _ = page_of(accepted)
    assert "## 1. Have data been collected, or results seen?\n\n*not said*" in page


def test_before_an_approval_it_says_that_nobody_approved(tale):
    page, _ = page_of(tale().to_gate())
    assert "Nobody has approved it" in page


def test_only_a_plan_is_one(accepted):
    with pytest.raises(InvalidInput, match="only a plan is a preregistration"):
        page_of(accepted, "ideas")


def test_foreign_text_opens_nothing(tale):
    page, _ = page_of(tale(foreign=HOSTILE).to_gate())
    assert re.findall(r"^#+ ", page, re.MULTILINE) == ["# ", *["## "] * 15]
    assert "<script" not in page.replace("\\<script", "")
    assert "\x1b" not in page
