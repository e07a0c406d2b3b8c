"""What the tests of this directory share: a still clock, valid replies, a model that waits for nobody."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from autoresearch.adapters.anthropic_model import AnthropicModel, WireLimits, no_progress
from autoresearch.budget import Purse
from autoresearch.ports import Exchange, Request
from autoresearch.records import ModelChoice, Settings, StepModel
from autoresearch.replies import ReportReply
from autoresearch.testing import CONFORMANCE_FILES, FAKE_ISOLATION, approved_job, entry_of

KEY = "sk-test-0123456789-canary"
PROJECT = entry_of(approved_job(CONFORMANCE_FILES, FAKE_ISOLATION)[1].project)
CODE = """import numpy as np


def run_trial(arm, seed, config, data):
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(config["shift"] if arm == "treated" else 0.0, 1.0, config["n"])}
"""


def pytest_addoption(parser):
    parser.addoption(
        "--write-goldens", action="store_true", help="write the rendered prompts of tests/model/golden anew"
    )


class SteppingClock:
    """Every reading of the time is `step` seconds after the last."""

    def __init__(self, step: float = 1.0) -> None:
        self.step = step
        self.ticks = 0
        self.seconds = 0.0

    def now(self) -> datetime:
        self.ticks += 1
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.ticks)

    def monotonic(self) -> float:
        self.seconds += self.step
        return self.seconds


def hypothesis(ident: str, expects: str, refuted_by: str, prior: float) -> dict[str, Any]:
    return {
        "id": ident,
        "statement": f"{ident} moves the mean.",
        "expects": [expects],
        "refuted_by": [refuted_by],
        "prior": prior,
    }


REPLIES: dict[str, dict[str, Any]] = {
    "ideate": {
        "question": "Does the treatment move the mean?",
        "candidates": [
            hypothesis("shift", "positive", "negligible", 0.5),
            hypothesis("noise", "negligible", "positive", 0.3),
            hypothesis("harm", "negative", "positive", 0.2),
        ],
        "chosen": "shift",
        "why": "It is cheap to test and either outcome teaches something.",
        "why_not": [
            {"id": "noise", "why": "It is the rival that the same test meets."},
            {"id": "harm", "why": "Nothing speaks for it."},
        ],
    },
    "critique": {
        "assumptions": [
            {
                "id": "A1",
                "statement": "The trials are independent.",
                "status": "tested",
                "breaks_if": "Seeds share data.",
            }
        ],
        "objections": [{"id": "O1", "objection": "A mean hides the tails.", "answer": "Report all values."}],
        "proxy": {
            "target": "Large models",
            "proxy": "Normal draws",
            "dynamic": "A shift of location",
            "disanalogies": ["Nothing learns here."],
            "p_given_target": 0.6,
            "p_given_not": 0.4,
        },
    },
    "plan": {
        "question": "Does the treatment move the mean?",
        "hypotheses": [
            hypothesis("shift", "positive", "negligible", 0.5),
            hypothesis("noise", "negligible", "positive", 0.3),
        ],
        "arms": [
            {"name": "plain", "description": "No shift", "x": None},
            {"name": "treated", "description": "Shifted", "x": None},
        ],
        "metric": {
            "name": "mean",
            "formula": "mean",
            "arrays": [{"role": "x", "array": "x"}],
            "q": None,
            "unit": "1",
            "low": None,
            "high": None,
            "better": "neither",
            "how_gamed": "One outlier moves it.",
        },
        "contrast": {
            "form": "paired",
            "treatment": "treated",
            "control": "plain",
            "null": 0.0,
            "smallest_effect": 0.1,
        },
        "trials_per_arm": 4,
        "stopping_rule": "Four trials an arm.",
        "exclusions": "None.",
        "controls": {"positive": "none: the shift is known", "negative": "plain"},
        "decision_table": [
            {
                "outcome": "positive",
                "conclusion": "It moves it up.",
                "supports": ["shift"],
                "refutes": ["noise"],
            },
            {"outcome": "negative", "conclusion": "It moves it down.", "supports": [], "refutes": ["shift"]},
            {
                "outcome": "negligible",
                "conclusion": "It does not.",
                "supports": ["noise"],
                "refutes": ["shift"],
            },
            {"outcome": "inconclusive", "conclusion": "We cannot tell.", "supports": [], "refutes": []},
        ],
        "config": [
            {"name": "n", "value": 20},
            {"name": "shift", "value": 0.5},
            {"name": "steps", "value": [1, 2]},
            {"name": "on", "value": True},
        ],
        "limits": {"seconds": 60, "memory_mb": 256, "cpus": 1.0, "output_mb": 8, "gpus": 0},
        "command": [],
        "files": [{"path": "experiment/experiment.py", "content": CODE}],
    },
    "predict": {
        "forecasts": [
            {
                "shape": "quantile",
                "about": "contrast",
                "q10": 0.3,
                "q50": 0.5,
                "q90": 0.7,
                "primary": True,
                "best_guess": "The difference is a half.",
                "reasoning": "The shift is half.",
            },
            {
                "shape": "categorical",
                "positive": 0.8,
                "negative": 0.05,
                "negligible": 0.05,
                "inconclusive": 0.1,
                "primary": False,
                "best_guess": "",
                "reasoning": "",
            },
            {
                "shape": "binary",
                "relation": "above",
                "threshold": 0.1,
                "p": 0.9,
                "base_rate": {"p": 0.6, "of": "shifts of a half, in textbooks"},
                "primary": False,
                "best_guess": "",
                "reasoning": "",
            },
            {
                "shape": "quantile",
                "about": "metric:plain",
                "q10": -0.1,
                "q50": 0.0,
                "q90": 0.1,
                "primary": False,
                "best_guess": "",
                "reasoning": "",
            },
        ]
    },
    "conclude": {
        "claims": [
            {
                "id": "C1",
                "statement": "The mean of treated lies 0.5 above plain.",
                "about": "proxy",
                "level": "L1",
                "scope": "normal draws, shift 0.5",
                "hypotheses": ["shift"],
                "verdict": "supported",
                "p_before": 0.5,
                "p_after": 0.8,
                "change_our_mind": "A difference below 0.1 in a rerun.",
            }
        ],
        "takeaway": "A shift of location shows in the mean.",
        "does_not_show": ["That anything learns."],
        "surprise_explained": "",
        "prose": "As asked.",
    },
    "writeup": {
        "title": "A shift shows",
        "abstract": "It shows.",
        "discussion": "Noise is told against.",
        "limitations": ["Normal draws only."],
    },
}


@pytest.fixture
def replies() -> dict[str, dict[str, Any]]:
    """A valid reply for every step, to change at will."""
    return copy.deepcopy(REPLIES)


@pytest.fixture
def slept() -> list[float]:
    """What the model would have waited."""
    return []


class Journal:
    """The ledger's, in memory."""

    project = PROJECT
    request = Request(step="writeup", system="S", prompt="P", reply_type=ReportReply)

    def __init__(self) -> None:
        self.notes: dict[str, bytes] = {}

    def purse(self, settings: Settings, use: str = "anthropic:test-model", history=None) -> Purse:
        return Purse(
            budget=settings.budget, model=StepModel(use=use).over(settings.model), step="writeup", cycle=1, history=history or [PROJECT],
            note=self.notes.__setitem__, noted=self.notes.get,
        )  # fmt: skip


@pytest.fixture
def journal() -> Journal:
    return Journal()


class Asked:
    """A model with an account of its own, as a step gives it."""

    def __init__(self, model: AnthropicModel, journal: Journal, settings: Settings) -> None:
        self.model, self.journal, self.settings = model, journal, settings

    def ask(self, request: Request) -> Exchange:
        return self.model.ask(request, self.journal.purse(self.settings))

    def require_credential(self) -> None:
        self.model.require_credential()


@pytest.fixture
def make_model(slept, journal):
    def make(
        base_url: str,
        *,
        key: str | None = KEY,
        clock_step: float = 0.0,
        total_seconds: int = 1200,
        max_tokens: int = 16_000,
        options: ModelChoice | None = None,
        environ: dict[str, str] | None = None,
        budget: dict[str, Any] | None = None,
        on_progress=no_progress,
        tries: int = 3,
        **limits: Any,
    ) -> Asked:
        chosen = options or ModelChoice()
        if not chosen.base_url:
            chosen = chosen.model_copy(update={"base_url": base_url})
        model = AnthropicModel(
            "test-model",
            environ=({"ANTHROPIC_API_KEY": key} if key is not None else {}) | (environ or {}),
            clock=SteppingClock(clock_step),
            sleep=slept.append,
            jitter=lambda: 0.5,
            options=chosen,
            limits=WireLimits(tries=tries, **limits),
            on_progress=on_progress,
        )
        call = {"seconds": total_seconds, "output_tokens": max_tokens}
        return Asked(model, journal, Settings(budget={"call": call} | (budget or {})))

    return make
