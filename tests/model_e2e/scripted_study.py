"""A project in one process whose steps a scripted server writes, over the real SDK and HTTP."""

import json
import random
import re
from pathlib import Path

from autoresearch import assets
from autoresearch.adapters.anthropic_model import AnthropicModel
from autoresearch.records import ModelChoice, Settings
from autoresearch.testing import FakeSandbox
from autoresearch.testing_http import prompt_of
from autoresearch.testing_project import STILL, drive, make_project

DATA = Path(__file__).parents[1] / "data"
FREE_FORM = (DATA / "free_form.md").read_text()
REPLIES = json.loads((DATA / "scripted_replies.json").read_text())
STEP = re.compile(r"This is cycle (\d+), attempt (\d+), step (\w+)\.")


def asked(body):
    cycle, attempt, step = STEP.search(json.dumps(body["messages"][0])).groups()
    return int(cycle), int(attempt), step


def scripted(body):
    return REPLIES[asked(body)[2]]


def trial(arm, seed, config):
    rng = random.Random(seed)
    shift = config["shift"] if arm == "shifted" else 0.0
    return {"numbers": [rng.gauss(shift, 1.0) for _ in range(config["draws"])]}


class Study:
    """A project whose steps a scripted server writes."""

    def __init__(self, root, server, text=FREE_FORM, workflow=assets.STANDARD, **settings):
        self.server = server
        settings = Settings(model={"use": "anthropic:scripted"}, **settings)
        self.ledger = make_project(root, text, settings=settings, workflow=workflow)

    def go(self, decisions, ledger=None, **doubles):
        doubles = {"sandbox": FakeSandbox(trial), "model_for": self.model_for} | doubles
        return drive(ledger or self.ledger, decisions, **doubles)

    def model_for(self, spec):
        assert spec == "anthropic:scripted"
        return AnthropicModel(
            "scripted",
            options=ModelChoice(base_url=self.server.base_url),
            environ={"ANTHROPIC_API_KEY": "k"},
            clock=STILL,
            sleep=lambda _: None,
            jitter=lambda: 0.5,
        )

    def asked(self):
        return [asked(body) for body in self.server.requests]

    def prompts(self, *place):
        return [prompt_of(body) for body in self.server.requests if asked(body) == place]
