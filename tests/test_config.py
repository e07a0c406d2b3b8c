"""autoresearch.toml: what is written reads back equal, and a wrong key names the right one."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from autoresearch.config import parse_settings, render_settings, reviewer_block, settings_diff
from autoresearch.errors import InvalidInput
from autoresearch.records import ModelChoice, Price, RegisteredReviewer, Settings, StepModel

LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)


PRICE = Price(input="1", cached="0", written="1", output="2")


@given(model=LINE, attempts=st.integers(1, 100))
def test_settings_read_back_as_written(model, attempts):
    default = ModelChoice(use=model, headers={"x-a": model}, effort="low")
    own = {
        "critique": StepModel(use=model, headers={}),
        "plan": StepModel(),
        "predict": StepModel(price=PRICE),
    }
    settings = Settings(model=default, max_attempts=attempts, models=own)
    assert parse_settings(render_settings(settings)) == settings


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('modle = "none"', "toml:1: unknown setting modle; did you mean `model`"),
        ('isolation = "none"', "isolation"),
        ("max_attempts = 0", "max_attempts"),
        ("max_attempts = ", "not TOML"),
        ('[model]\nbase_url = "http://key@host"', "base_url"),
        ('[model]\nbase_url = "http://127.0.0.1:8000/v1/"', "no /v1 at its end"),
        ('[model.plan]\nbase_url = "file:///x"', r"toml:2: model\.plan\.base_url"),
        ('model = "anthropic:x"', r'model is a table; write\n\[model\]\nuse = "anthropic:x"'),
        ('[models]\nplan = "x"', r"unknown setting models; .* \[model\.STEP\]"),
        ('[model]\nprices = "x"', "toml:2: model: unknown key `prices`; did you mean `price`"),
        (
            "max_cycles = 3\n\n[budget.call]\nseconds = 1\nfoo = 3",
            r"toml:5: budget\.call: unknown key `foo`; known: seconds",
        ),
        ('[model.plan]\nefort = "low"', r"toml:2: model\.plan: unknown key `efort`; did you mean `effort`"),
        ("[model.plan]\nprice.inputs = 1", r"toml:2: model\.plan\.price: unknown key `inputs`; .*`input`"),
        ("isolation = 'dokcer'", "toml:1: isolation: `dokcer` is not one of docker, .*did you mean `docker`"),
        (
            "[[reviewers]]\nname = 'Ada'\n[[reviewers]]\nmail = 'x'",
            "toml:4: reviewers, item 2: unknown key `mail`",
        ),
    ],
)
def test_a_wrong_setting_is_named(text, problem):
    with pytest.raises(InvalidInput, match=problem):
        parse_settings(text)


def reviewer(name="Ada Reviewer", fill=b"a"):
    blob = b"\0\0\0\x0bssh-ed25519" + b"\0\0\0\x20" + fill * 32
    return RegisteredReviewer(
        name=name, email="ada@example.org", key=f"ssh-ed25519 {base64.b64encode(blob).decode()}"
    )


@given(name=LINE)
def test_reviewers_read_back_as_written(name):
    settings = Settings(
        reviewers=[reviewer(name), reviewer("Bob", b"b")], models={"critique": StepModel(use="none")}
    )
    assert parse_settings(render_settings(settings)) == settings
    assert parse_settings(render_settings(Settings()) + reviewer_block(reviewer(name))).reviewers == [
        reviewer(name)
    ]


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("ssh-dss AAAA", "one of ssh-ed25519"),
        ("ssh-ed25519", "another kind of key"),
        ("ssh-ed25519 AAA", "base64 is broken"),
        ("ssh-ed25519 AAAAB3NzaC1yc2E=", "another kind of key"),
        (reviewer().key.replace("ssh-ed25519 ", "ssh-ed25519  "), "base64 is broken"),
        (f"{reviewer().key} a comment", "base64 is broken"),
        (f"{reviewer().key}\nssh-ed25519 AAAA", "base64 is broken"),
        ("cert-authority ssh-ed25519 AAAA", "one of ssh-ed25519"),
    ],
)
def test_what_is_no_public_key_is_not_registered(key, problem):
    """It goes into ssh-keygen's list of allowed signers, where more words would mean more."""
    with pytest.raises(ValidationError, match=problem):
        RegisteredReviewer(name="Ada", email="ada@example.org", key=key)


def test_one_key_is_one_reviewers():
    with pytest.raises(ValidationError, match="keys stand twice"):
        Settings(reviewers=[reviewer(), reviewer("Bob")])


def test_every_change_of_the_reviewers_is_in_the_diff():
    """What has no diff is not asked about."""
    ada, bob = reviewer(), reviewer("Bob", b"b")
    variants = [[], [ada], [bob], [ada, bob], [bob, ada], [reviewer("Renamed")]]
    for old in variants:
        for new in variants:
            diff = settings_diff(Settings(reviewers=old), Settings(reviewers=new))
            assert bool(diff) == (old != new)
    assert settings_diff(Settings(), Settings(reviewers=[ada])) == (
        f"reviewer added: Ada Reviewer <ada@example.org>, ssh-ed25519 {ada.fingerprint}"
    )


def test_a_diff_shows_what_changed_and_nothing_else():
    assert settings_diff(Settings(), Settings()) == ""
    assert settings_diff(Settings(), Settings(max_attempts=3)) == "max_attempts: 8 → 3"


STEPS = {"plan": True, "critique": True, "monitor": False}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'max_attempts = 3\n\n[model]\nuse = "none"\n[model.critic]\nuse = "none"\n',
            r"toml:5: .*did you mean critique",
        ),
        ("[model.critic.price]\n", r"toml:1: \[model\.critic\] is no step"),
        ("[model.monitor]\n", "toml:1: the step monitor applies rules and asks no model; .*plan, critique"),
        ('[model]\n"x" = {use = "none"}', r"toml:2: \[model\.x\] is no step"),
    ],
)
def test_a_model_for_no_step_is_refused_with_its_line(text, problem):
    with pytest.raises(InvalidInput, match=problem):
        parse_settings(text, steps=STEPS)
    assert parse_settings('[model.critique]\nuse = "none"', steps=STEPS).models["critique"].use == "none"


def test_a_step_takes_from_the_default_what_its_own_table_leaves_out():
    settings = parse_settings("""
[model]
use = "anthropic:a"
base_url = "http://127.0.0.1:1"
headers = {x-api-key = "$GATE"}
effort = "high"
price = {input = 1, cached = 0, written = 1, output = 2}
[model.critique]
use = "anthropic:b"
[model.plan]
base_url = ""
[model.predict]
effort = "low"
""")
    default = settings.model
    assert settings.model_of("ideate") == default
    assert settings.model_of("predict") == default.model_copy(update={"effort": "low"})
    critique = settings.model_of("critique")
    assert (critique.use, critique.base_url, critique.headers) == (
        "anthropic:b",
        default.base_url,
        default.headers,
    )
    assert critique.price is None, "it was the price of another model"
    plan = settings.model_of("plan")
    assert plan.price == default.price
    assert plan.headers == {}, "the gateway's credential goes to no other server"


def test_a_steps_own_model_comes_before_the_workflows():
    settings = Settings(
        model={"use": "anthropic:a"}, models={"plan": {"use": "anthropic:c"}, "predict": {"effort": "low"}}
    )
    assert settings.model_of("plan", "anthropic:w").use == "anthropic:c"
    assert settings.model_of("predict", "anthropic:w").use == "anthropic:w"
    assert settings.model_of("critique", "anthropic:w").use == "anthropic:w"
    assert settings.model_of("critique").use == "anthropic:a"


def test_emptying_what_a_step_inherits_is_in_the_diff():
    old = Settings(model=ModelChoice(headers={"x-a": "b"}))
    new = old.model_copy(update={"models": {"plan": StepModel(headers={})}})
    assert settings_diff(old, new) == "model.plan.headers: – → {}"


def test_who_writes_names_every_model():
    assert Settings().who_writes == "none"
    own = {"plan": {"effort": "low"}, "critique": {"use": "anthropic:b"}}
    assert (
        Settings(model={"use": "anthropic:a"}, models=own).who_writes
        == "anthropic:a; critique by anthropic:b"
    )
