"""autoresearch.toml: what is written reads back equal, and a wrong key names the right one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch.config import parse_settings, render_settings, settings_diff
from autoresearch.errors import InvalidInput
from autoresearch.records import Settings

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


def test_a_diff_shows_what_changed_and_nothing_else():
    assert settings_diff(Settings(), Settings()) == ""
    assert settings_diff(Settings(), Settings(max_attempts=3)) == "max_attempts: 8 → 3"
