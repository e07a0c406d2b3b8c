"""The real provider, with a real key. Not run by anybody who only builds this: `make test-live`.

AUTORESEARCH_LIVE_MODEL names another model than the cheapest of the table of prices.
"""

import os

import pytest
from scripted_study import FREE_FORM

from autoresearch.adapters.anthropic_model import AnthropicModel, key_from
from autoresearch.cli.system import SystemClock, jitter, sleep
from autoresearch.errors import ModelFailed, Pending
from autoresearch.prices import price_of
from autoresearch.records import ModelChoice, Settings
from autoresearch.testing_project import drive, make_project
from autoresearch.verify import verify

pytestmark = pytest.mark.live
CHOICE = ModelChoice(use=f"anthropic:{os.environ.get('AUTORESEARCH_LIVE_MODEL', 'claude-haiku-4-5')}")


@pytest.fixture
def project(tmp_path):
    if key_from(os.environ) is None:
        pytest.skip("no ANTHROPIC_API_KEY: there is nobody to ask")
    caps = {"project": {"usd": "2", "calls": 12}} if price_of(CHOICE) else {"project": {"calls": 12}}
    ledger = make_project(tmp_path / "p", FREE_FORM, settings=Settings(model=CHOICE, budget=caps))
    yield ledger
    ledger.close()


def real(environ):
    return lambda use: AnthropicModel(
        use.removeprefix("anthropic:"),
        options=CHOICE,
        environ=environ,
        clock=SystemClock(),
        sleep=sleep,
        jitter=jitter,
    )


def test_a_free_form_proposal_comes_to_its_gate(project):
    with pytest.raises(Pending):
        drive(project, [], model_for=real(os.environ))
    kinds = [entry.record.kind for entry in project.entries()]
    assert kinds == ["proposal", "ideas", "critique", "plan", "prediction", "preflight"]
    spent = [entry.record.made_by for entry in project.entries() if entry.record.made_by.exchanges]
    assert all(made.tokens.output > 0 for made in spent)
    assert sum(made.tokens.cached for made in spent) > 0, "what the steps share was found in the cache"
    assert verify(project).sound


def test_a_wrong_key_is_turned_away_and_not_shown(project):
    with pytest.raises(ModelFailed, match="check the credential") as caught:
        drive(project, [], model_for=real({"ANTHROPIC_API_KEY": "sk-ant-wrong-0123456789"}))
    assert caught.value.outcome == "turned away"
    assert "0123456789" not in str(caught.value)
