"""LiteLLM's proxy as a server of the Messages protocol that nobody here wrote. `make test-litellm`.

It answers from `mock_response`, so no provider is asked. Each step has a model of its own there.
"""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from scripted_study import FREE_FORM, REPLIES, trial

from autoresearch import assets
from autoresearch.adapters.anthropic_model import AnthropicModel
from autoresearch.cli.system import SystemClock
from autoresearch.errors import ModelFailed, Pending
from autoresearch.records import ModelChoice, Settings
from autoresearch.testing import FakeSandbox
from autoresearch.testing_project import drive, make_project
from autoresearch.verify import verify

pytestmark = pytest.mark.litellm
PROGRAM = Path(__file__).parents[2] / ".cache" / "litellm" / "bin" / "litellm"
KEY = "sk-litellm-0123456789"
MOCKED = {step: json.dumps(reply) for step, reply in REPLIES.items()} | {
    "prose": "I would rather not fill in a form.",
    "busy": "litellm.RateLimitError",
    "broken": "litellm.InternalServerError",
    "long": "litellm.ContextWindowExceededError",
}


def config(port):
    """JSON is YAML, too. A mocked reply comes whole, whatever was asked; as a stream it comes by way of the
    proxy itself, which then is the server behind the proxy.
    """
    mocked = {"model": "openai/nobody", "api_key": "none"}
    behind = {"api_base": f"http://127.0.0.1:{port}/v1", "api_key": KEY}
    models = {name: {**mocked, "mock_response": reply} for name, reply in MOCKED.items()}
    models |= {f"streamed-{step}": {**behind, "model": f"hosted_vllm/{step}"} for step in REPLIES}
    return json.dumps(
        {
            "model_list": [{"model_name": name, "litellm_params": params} for name, params in models.items()],
            "general_settings": {"master_key": KEY},
        }
    )


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def answers(url):
    try:
        with urllib.request.urlopen(f"{url}/health/liveliness", timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("litellm")
    port = free_port()
    (folder / "config.yaml").write_text(config(port))
    command = [PROGRAM, "--config", folder / "config.yaml", "--host", "127.0.0.1", "--port", str(port)]
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ, cwd=folder)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 240
        while not answers(url):
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"the proxy did not start:\n{(folder / 'log').read_text()[-3000:]}")
            time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def model(proxy, name, key=KEY, sleep=lambda _: None, seen=None):
    return AnthropicModel(
        name,
        options=ModelChoice(base_url=proxy),
        environ={"ANTHROPIC_API_KEY": key},
        clock=SystemClock(),
        sleep=sleep,
        jitter=lambda: 0.0,
        on_progress=lambda tokens, _: seen.append(tokens) if seen is not None else None,
    )


@pytest.fixture
def project(tmp_path):
    steps = ("ideate", "critique", "plan", "predict", "conclude", "writeup")
    settings = Settings(
        model={"use": "anthropic:ideate"}, models={step: {"use": f"anthropic:{step}"} for step in steps[1:]}
    )
    ledger = make_project(tmp_path / "p", FREE_FORM, settings=settings, workflow=assets.STANDARD)
    yield ledger
    ledger.close()


def test_a_whole_cycle_with_a_model_for_each_step(project, proxy):
    seen = []

    def model_for(use):
        return model(proxy, use.replace("anthropic:", "streamed-"), seen=seen)

    ending = drive(project, ["approve", "accept"], sandbox=FakeSandbox(trial), model_for=model_for)
    assert ending.standing == "accepted"
    by_model = [entry.record for entry in project.entries() if entry.record.made_by.exchanges]
    assert [record.step for record in by_model] == [
        "ideate",
        "critique",
        "plan",
        "predict",
        "conclude",
        "writeup",
    ]
    assert all(record.made_by.tokens.output > 0 for record in by_model)
    assert all(record.made_by.calls == 1 for record in by_model), "the first reply fitted"
    assert seen, "it came as a stream"
    assert verify(project).sound


@pytest.mark.parametrize(
    ("name", "outcome", "key"),
    [
        ("prose", "malformed", KEY),
        ("busy", "rate-limited", KEY),
        ("broken", "dead", KEY),
        ("long", "context too long", KEY),
        ("no-such-model", "turned away", KEY),
        ("ideate", "turned away", "sk-another-0123456789"),
    ],
)
def test_what_is_no_reply_is_named(project, proxy, name, outcome, key):
    waits = []
    with pytest.raises(ModelFailed) as caught:
        drive(project, [], model_for=lambda _: model(proxy, name, key, sleep=waits.append))
    assert caught.value.outcome == outcome, str(caught.value)
    assert bool(waits) == (outcome in ("rate-limited", "dead"))
    assert len(project.entries()) == 1, "nothing was recorded"


def test_a_failure_leaves_nothing_in_the_way_of_replies_that_come_whole(project, proxy):
    with pytest.raises(ModelFailed):
        drive(project, [], model_for=lambda _: model(proxy, "prose"))
    with pytest.raises(Pending):
        drive(project, [], model_for=lambda use: model(proxy, use.removeprefix("anthropic:")))
