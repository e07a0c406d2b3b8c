"""autoresearch.toml: what is written reads back equal, and a wrong key names the right one."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from autoresearch.config import parse_settings, render_settings, reviewer_block, settings_diff
from autoresearch.errors import InvalidInput
from autoresearch.records import RegisteredReviewer, Settings

LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)


@given(model=LINE, attempts=st.integers(1, 100))
def test_settings_read_back_as_written(model, attempts):
    settings = Settings(model=model, max_attempts=attempts, models={"critique": model})
    assert parse_settings(render_settings(settings)) == settings


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('modle = "none"', "did you mean model"),
        ('isolation = "none"', "isolation"),
        ("max_attempts = 0", "max_attempts"),
        ("max_attempts = ", "not TOML"),
        ('base_url = "http://key@host"', "base_url"),
        ('base_url = "file:///x"', "base_url"),
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
    settings = Settings(reviewers=[reviewer(name), reviewer("Bob", b"b")], models={"critique": "none"})
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
