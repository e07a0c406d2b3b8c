"""Records: one digest whatever the key order, one rendering, nothing half-valid."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from autoresearch.errors import InvalidInput, LedgerError
from autoresearch.records import (
    RULES,
    Approval,
    Contrast,
    FileRef,
    Forecast,
    Ideas,
    MetricCard,
    Monitoring,
    Record,
    canonical,
    digest_of,
    parse_record,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


def record(**changes) -> Record:
    fields = {
        "kind": "monitoring", "cycle": 1, "attempt": 1, "step": "monitor", "parent": None, "inputs": {},
        "made_by": RULES, "body": Monitoring(findings=[], rules=["a-rule"]),
    }  # fmt: skip
    return Record(**{**fields, **changes})


def test_the_canonical_form_is_rfc_8785():
    # The example of RFC 8785, appendix, in small: sorted keys, no white space, shortest numbers.
    assert (
        canonical({"b": 1.0, "a": [3, 2], "c": "x", "d": 1e-05}) == b'{"a":[3,2],"b":1,"c":"x","d":0.00001}'
    )
    vector = "d832e5a29ec13c56af8f0e4b68314d2ed9d48729d2a1c5e5f97549bfce401750"
    assert digest_of({"b": 1, "a": [3, 2], "c": "x"}) == vector


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_a_digest_survives_reordering_of_keys(value):
    assert digest_of(dict(reversed(list(value.items())))) == digest_of(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**60])
def test_what_json_cannot_carry_exactly_has_no_digest(value):
    with pytest.raises(InvalidInput):
        digest_of({"x": value})


def test_a_record_reads_back_as_itself():
    made = record()
    assert parse_record(made.to_bytes(), "x") == made
    assert parse_record(made.to_bytes(), "x").digest == made.digest


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace('"cycle": 1', '"cycle": 1, "cycle": 1'),
        lambda text: text.replace("  ", " "),
        lambda text: text + "\n",
        lambda text: text.replace('"a-rule"', '"a\\u002drule"'),
        lambda text: text.replace('"schema": 1', '"schema": 2'),
        lambda text: text.replace('"rules": [', '"more": 1, "rules": ['),
        lambda text: text.replace('"monitoring"', '"critique"'),
        lambda text: text[:-20],
        lambda text: "[" * 100_000,
    ],
)
def test_other_bytes_are_no_record(spoil):
    with pytest.raises(LedgerError):
        parse_record(spoil(record().to_bytes().decode()).encode(), "here")


def test_a_body_stands_only_under_its_own_kind():
    with pytest.raises(ValidationError):
        record(kind="preflight")


def test_a_frozen_record_cannot_be_changed():
    with pytest.raises(ValidationError):
        record().cycle = 2


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", ".git/config", "a/.GIT/x", "a/../b", "", "a/.", "ü"])
def test_a_file_cannot_stand_outside_its_record(path):
    with pytest.raises(ValidationError):
        FileRef(path=path, sha256="0" * 64, size=1)


def idea(name: str) -> dict:
    return {"id": name, "statement": "s", "expects": ["positive"], "refuted_by": ["negative"]}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"candidates": [idea("A"), idea("B")]}, "fewer than three"),
        ({"candidates": [idea("A"), idea("B"), idea("B")]}, "stand twice"),
        ({"chosen": "Z"}, "not a candidate"),
        ({"why_not": {"B": "x"}}, "lacks C"),
    ],
)
def test_ideas_must_be_whole(changes, problem):
    whole = {
        "question": "q", "candidates": [idea("A"), idea("B"), idea("C")], "chosen": "A",
        "why": "w", "why_not": {"B": "x", "C": "y"},
    }  # fmt: skip
    Ideas.model_validate(whole)
    with pytest.raises(ValidationError, match=problem):
        Ideas.model_validate({**whole, **changes})


@pytest.mark.parametrize(
    "fields",
    [
        {"shape": "quantile", "quantiles": (1, 1, 2)},
        {"shape": "quantile", "p": 0.5},
        {"shape": "quantile", "quantiles": (1, 2, 3), "p": 0.5},
        {"shape": "binary", "p": 1.2},
        {"shape": "categorical", "categories": {"positive": 1.0}},
        {
            "shape": "categorical",
            "categories": dict.fromkeys(("positive", "negative", "negligible", "inconclusive"), 0.3),
        },
    ],
)
def test_a_forecast_that_cannot_be_scored_is_refused(fields):
    with pytest.raises(ValidationError):
        Forecast.model_validate({"id": "P1", "forecaster": "agent", "about": "contrast", **fields})


def test_a_contrast_names_its_arms():
    Contrast(form="paired", treatment="t", control="c", smallest_effect=0.1)
    Contrast(form="slope", smallest_effect=0.1)
    for fields in (
        {"form": "paired"},
        {"form": "slope", "treatment": "t", "control": "c"},
        {"form": "ratio", "treatment": "t", "control": "c"},
    ):
        with pytest.raises(ValidationError):
            Contrast.model_validate({"smallest_effect": 0.1, **fields})


def test_a_metric_takes_the_arrays_of_its_formula():
    MetricCard(name="m", formula="accuracy", arrays={"prediction": "p", "label": "y"}, how_gamed="g")
    for formula, arrays in (
        ("accuracy", {"x": "p"}),
        ("mean", {"x": "p", "y": "q"}),
        ("quantile", {"x": "p"}),
    ):
        with pytest.raises(ValidationError):
            MetricCard.model_validate({"name": "m", "formula": formula, "arrays": arrays, "how_gamed": "g"})


def test_a_rejection_needs_its_reason():
    schema = Approval.model_fields["reason"]
    assert schema.default == ""
    with pytest.raises(ValidationError, match="reason"):
        Approval.model_validate(json.loads(APPROVAL.replace('"approve"', '"reject"')))
    Approval.model_validate(json.loads(APPROVAL))


def test_an_approval_has_its_nonce_and_no_other_decision_has_one():
    given = json.loads(APPROVAL)
    for changes in ({"nonce": None}, {"decision": "reject", "reason": "no"}):
        with pytest.raises(ValidationError, match="nonce"):
            Approval.model_validate(given | changes)


@pytest.mark.parametrize(
    ("changes", "seconds", "opened", "said"),
    [
        ({}, 4, [], "Approved after 4 s without opening the code."),
        ({}, 29, ["plan"], "Approved after 29 s without opening the code."),
        ({}, 4, ["code"], ""),
        ({}, 30, [], ""),
        ({"decision": "reject", "reason": "no", "nonce": None}, 4, [], ""),
        ({"reviewer": {"person": {"name": "a script", "email": ""}, "is_person": False}}, 4, [], ""),
    ],
)
def test_approved_in_haste_is_said_by_the_record(changes, seconds, opened, said):
    attention = {
        "opened_at": "2026-01-01T00:00:00Z",
        "decided_at": f"2026-01-01T00:00:{seconds:02}Z",
        "sections_opened": opened,
    }
    approval = Approval.model_validate(json.loads(APPROVAL) | {"attention": attention} | changes)
    assert approval.unread == said
    assert approval.diary().endswith(said)


APPROVAL = json.dumps(
    {
        "nonce": "7" * 64,
        "decision": "approve",
        "reviewer": {"person": {"name": "Ada", "email": "a@example.org"}},
        "bundle": {
            "gate": "approve", "project": "0" * 32, "cycle": 1, "attempt": 1, "ledger_head": "0" * 40,
            "plan": "0" * 64, "prediction": "0" * 64, "preflight": "0" * 64, "files": {},
            "isolation": {
                "tier": "docker", "image": "sha256:1", "policy_sha256": "0" * 64,
                "harness_sha256": "0" * 64, "engine": "e",
            },
            "limits": {},
        },
        "shown": "0" * 64,
        "attention": {"opened_at": "2026-01-01T00:00:00Z", "decided_at": "2026-01-01T00:00:01Z"},
    }
)  # fmt: skip
