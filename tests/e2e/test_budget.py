"""Two paragraphs, from `start` to the report: killed twice, stopped at the budget, and nothing stored paid for again."""

import json
import re
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from autoresearch.testing_http import ScriptedMessagesServer

DATA = Path(__file__).parents[1] / "data"
FREE_FORM = DATA / "free_form.md"
REPLIES = json.loads((DATA / "scripted_replies.json").read_text())
KEY = "sk-canary-0123456789-abcdefghij"
STEP = re.compile(r"attempt \d+, step (\w+)\.")
PATIENCE = 120

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def step_of(body):
    return STEP.search(json.dumps(body["messages"][0]))[1]


def await_that(what, told):
    give_up = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < give_up, told
        time.sleep(0.002)


def set_calls(project, before, after):
    path = project / "autoresearch.toml"
    text = path.read_text()
    assert text.count(f"calls = {before}\n") == 1
    path.write_text(text.replace(f"calls = {before}\n", f"calls = {after}\n"))


def test_killed_twice_and_stopped_at_its_budget_it_comes_to_its_report(desk, image, tmp_path):
    assert len(FREE_FORM.read_text().strip().split("\n\n")) == 2
    project, journal = tmp_path / "p", tmp_path / "p/.git/autoresearch/journal"
    may_plan = threading.Event()

    def script(body):
        if step_of(body) == "plan":
            may_plan.wait(PATIENCE)
        return REPLIES[step_of(body)]

    def asked():
        return Counter(map(step_of, server.requests))

    def on_a_terminal(*args):
        return desk.terminal(*args, cwd=project if project.exists() else tmp_path, ANTHROPIC_API_KEY=KEY)

    with ScriptedMessagesServer(script) as server:
        # Killed while the plan is being written: two replies are on record, one call is open.
        options = ("--model", "anthropic:scripted", "--base-url", server.base_url)
        session = on_a_terminal("start", FREE_FORM, project, *options)
        await_that(lambda: asked()["plan"] == 1, "the plan is not asked for")
        session.kill()
        may_plan.set()
        assert desk.kinds(project) == ["proposal", "ideas", "critique"]
        assert json.loads((journal / "spending").read_text())["spent"]["calls"] == 1, "it stays reserved"

        # A budget of five calls, of which the open one is the third: used up before the conclusion.
        set_calls(project, 500, 5)
        session = on_a_terminal("run")
        session.type(session.digest())
        session.wait_for("[Enter skips]: ")
        session.type("")
        session.decide("approve")
        assert session.end() == 1, session.screen
        assert "budget.project.calls is 5, of which 5 is spent" in " ".join(session.screen.split())
        assert "\nautoresearch: budget" in session.screen, "in a line of its own"
        assert "Traceback" not in session.screen
        assert desk.kinds(project)[-1] == "check"
        before = asked()
        assert before == {"ideate": 1, "critique": 1, "plan": 2, "predict": 1}

        # The same again, unchanged: nothing is sent.
        assert desk.run("run", cwd=project, ANTHROPIC_API_KEY=KEY).code == 1
        assert asked() == before

        # Raised, and killed as soon as the next reply is stored.
        set_calls(project, 5, 9)
        session = on_a_terminal("run")
        session.type(session.digest())
        await_that(
            lambda: (journal / "reply-1-1-conclude").exists() or "conclusion" in desk.kinds(project),
            "the conclusion is not asked for",
        )
        session.kill()

        session = on_a_terminal("run")
        session.accept()
        assert session.end() == 0, session.screen
        assert asked() == before + Counter({"conclude": 1, "writeup": 1}), "no stored reply is paid for again"

    desk.require_sound(project)
    assert (project / "cycles/01/report.html").is_file()
    spent = [
        desk.show(project, step)["made_by"]
        for step in ("ideate", "critique", "plan", "predict", "conclude", "writeup")
    ]
    assert [made["calls"] for made in spent] == [1, 1, 2, 1, 1, 1], (
        "the call that a kill left open is on record"
    )
    assert spent[2]["tokens"]["output"] > 16_000, "as it was reserved"
    assert not list(journal.glob("reply-*"))
    assert not (journal / "spending").exists()
    assert desk.run("replay", cwd=project, unset=("ANTHROPIC_API_KEY",)).code == 0
