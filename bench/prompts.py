"""What a request repeats of the ones before, how it grows with the project, and what a call costs over the SDK.

A project in one process, its models' words scripted, over the real SDK and HTTP: what is measured is
what the server got. Nothing is run in a sandbox.
"""

import json
import random
import re
import statistics
import tempfile
import time
from pathlib import Path

import anthropic

from autoresearch import assets
from autoresearch.adapters.anthropic_model import AnthropicModel
from autoresearch.budget import Purse
from autoresearch.cli.system import SystemClock
from autoresearch.ports import Request
from autoresearch.records import Budget, ModelChoice, Settings
from autoresearch.replies import ReportReply
from autoresearch.testing import CONFORMANCE_FILES, FAKE_ISOLATION, FakeSandbox, approved_job, entry_of
from autoresearch.testing_http import ScriptedMessagesServer, prompt_of
from autoresearch.testing_project import STILL, drive, make_project

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"
REPLIES = json.loads((DATA / "scripted_replies.json").read_text())
STEP = re.compile(r"This is cycle (\d+), attempt \d+, step (\w+)\.")
CYCLES = 20
CALLS = 60
STRAIGHT = ["approve", "accept"]
CORRECTED = [("revise", "too few draws"), "approve", ("revise", "say less"), "accept"]
FOLLOWED = ["approve", ("follow-up", "now with twice the scatter")]


def measure():
    """Rows of {what, value, unit, note}."""
    small, example = (
        (DATA / "free_form.md").read_text(),
        (assets.examples() / "goodhart/proposal.md").read_text(),
    )
    return [
        *shares("two paragraphs", small, STRAIGHT),
        *shares("two paragraphs, two corrections", small, CORRECTED),
        *shares("14 kB of proposal", example, STRAIGHT),
        *shares("14 kB of proposal, two corrections", example, CORRECTED),
        *shares("two paragraphs, schema enforced", small, STRAIGHT, enforce_schema="always"),
        *growth(small),
        *overhead(),
    ]


# ------------------------------------------------------------------- the prefix


def shares(name, proposal, decisions, **choice):
    """Over the requests of a course: the bytes that repeat an earlier request's beginning."""
    sent = [in_cache_order(body) for body in course(proposal, decisions, **choice)]
    return [share(name, sent, 0), share("  all but the first request", sent, 1)]


def share(name, sent, since):
    """Of the requests from `since` on."""
    repeated = [
        max((common(text, other) for other in sent[max(0, number - 8) : number]), default=0)
        for number, text in enumerate(sent)
    ]
    total, again = sum(map(len, sent[since:])), sum(repeated[since:])
    # Modelled: a prefix read from the cache at 0.1, everything else written to it at 1.25.
    cost = (0.1 * again + 1.25 * (total - again)) / total
    note = f"{len(sent) - since} requests, {total / 1000:.0f} kB, input at {cost:.2f} of its uncached price"
    return {
        "what": f"repeats a prefix: {name}" if not since else name,
        "value": again / total,
        "unit": "",
        "note": note,
    }


def in_cache_order(body):
    """What a provider's cache compares, in its order: tools, the schema of the reply, system, messages."""
    parts = [json.dumps(body["tools"])] if "tools" in body else []
    schema = body.get("output_config", {}).get("format")
    parts += [json.dumps(schema)] if schema else []
    for content in (body["system"], *(message["content"] for message in body["messages"])):
        parts += [content] if isinstance(content, str) else [block["text"] for block in content]
    return "".join(parts).encode()


def common(one, other):
    """How many bytes two texts have in common from their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


# ---------------------------------------------------------------------- growth


def growth(proposal):
    """Rendered bytes of each step's request, in the first cycle and in the last of many."""
    bodies = course(proposal, [*FOLLOWED * (CYCLES - 1), *STRAIGHT])
    sizes, sent, began = {}, [], {}
    for body in bodies:
        cycle, step = STEP.search(prompt_of(body)).groups()
        began.setdefault(int(cycle), len(sent))
        sent.append(in_cache_order(body))
        sizes.setdefault(step, {})[int(cycle)] = len(sent[-1])
    rows = [share("  a second cycle, two paragraphs", sent[: began[3]], began[2])]
    for step, by_cycle in sizes.items():
        note = ", ".join(f"cycle {cycle}: {by_cycle[cycle] / 1000:.1f}" for cycle in (1, 2, 5, 10))
        what = f"request of {step} in cycle {CYCLES}"
        rows.append({"what": what, "value": by_cycle[CYCLES] / 1000, "unit": "kB", "note": note})
    return rows


def course(proposal, decisions, **choice):
    """The bodies that a scripted server got while a project went to its end."""

    def scripted(body):
        return REPLIES[STEP.search(prompt_of(body))[2]]

    with tempfile.TemporaryDirectory() as folder, ScriptedMessagesServer(scripted) as server:
        settings = Settings(
            model={"use": "anthropic:scripted"}, max_cycles=CYCLES, budget={"project": {"calls": 10 * CYCLES}}
        )
        ledger = make_project(Path(folder) / "project", proposal, settings=settings)

        def model_for(_use):
            options = ModelChoice(base_url=server.base_url, **{"enforce_schema": "in-repair"} | choice)
            return AnthropicModel(
                "scripted", options=options, environ={"ANTHROPIC_API_KEY": "k"},
                clock=STILL, sleep=time.sleep, jitter=lambda: 0.5,
            )  # fmt: skip

        drive(ledger, list(decisions), sandbox=FakeSandbox(trial), model_for=model_for)
        ledger.close()
    return server.requests


def trial(arm, seed, config):
    rng = random.Random(seed)
    shift = config["shift"] if arm == "shifted" else 0.0
    return {"numbers": [rng.gauss(shift, 1.0) for _ in range(config["draws"])]}


# -------------------------------------------------------------------- overhead


def overhead():
    """One call through the tool and the same body through the SDK alone, in turns."""
    project = entry_of(approved_job(CONFORMANCE_FILES, FAKE_ISOLATION)[1].project)
    notes = {}
    last = course((DATA / "free_form.md").read_text(), STRAIGHT)[-1]
    system = last["system"][0]["text"]
    request = Request(step="writeup", system=system, prompt=prompt_of(last), reply_type=ReportReply)
    with ScriptedMessagesServer(lambda _body: REPLIES["writeup"]) as server:
        model = AnthropicModel(
            "scripted", options=ModelChoice(base_url=server.base_url), environ={"ANTHROPIC_API_KEY": "k"},
            clock=SystemClock(), sleep=time.sleep, jitter=lambda: 0.5,
        )  # fmt: skip
        purse = Purse(
            budget=Budget(), model=ModelChoice(use="anthropic:scripted"), step="writeup", cycle=1,
            history=[project], note=notes.__setitem__, noted=notes.get,
        )  # fmt: skip
        model.ask(request, purse)
        body = {key: value for key, value in server.requests[0].items() if key != "stream"}
        ours, bare = [], []
        with anthropic.Anthropic(api_key="k", base_url=server.base_url, max_retries=0) as client:
            for _ in range(CALLS):
                ours.append(timed(lambda: model.ask(request, purse)))
                bare.append(timed(lambda: streamed(client, body)))
    return [
        {
            "what": "a call, the SDK alone",
            "value": 1000 * statistics.median(bare),
            "unit": "ms",
            "note": f"n={CALLS}",
        },
        {
            "what": "a call, the tool",
            "value": 1000 * statistics.median(ours),
            "unit": "ms",
            "note": f"n={CALLS}",
        },
        {
            "what": "ratio of the medians",
            "value": statistics.median(ours) / statistics.median(bare),
            "unit": "×",
        },
    ]


def streamed(client, body):
    with client.messages.stream(**body) as stream:
        return stream.get_final_message()


def timed(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
