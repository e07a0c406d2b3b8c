"""Fixtures that more than one part needs: a small real proposal, and a home with a git identity."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tiers"]

DATA = Path(__file__).parent / "data"
ASKED_FOR = {
    "litellm": "needs an environment of its own: make test-litellm",
    "live": "costs money: make test-live, with ANTHROPIC_API_KEY",
}
"""Marks of tests that run only where `-m` names them, and what to type."""

# How fast an example is says more about the machine than about the code.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", PATIENT)
settings.register_profile("same", PATIENT, derandomize=True)
settings.load_profile("same")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for mark, why in ASKED_FOR.items():
        if mark not in config.option.markexpr.split():
            for item in items:
                if item.get_closest_marker(mark):
                    item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture
def quick() -> Path:
    """A complete proposal whose experiment takes about a second."""
    return DATA / "quick.md"


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for every test: git knows who sits here, and nothing else of this machine."""
    folder = tmp_path_factory.mktemp("home")
    (folder / ".gitconfig").write_text("[user]\n\tname = Ada Reviewer\n\temail = ada@example.org\n")
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    monkeypatch.setenv("HOME", str(folder))
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    return folder
