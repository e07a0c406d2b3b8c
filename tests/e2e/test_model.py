"""A free-form proposal with a model, from `start` to `report`: the real SDK, a scripted server, a terminal, Docker.

No model speaks here. The server gives the replies of scripted_replies.json, and says that it is scripted.
"""

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from autoresearch.testing_http import ScriptedMessagesServer, ScriptedReply

DATA = Path(__file__).parents[1] / "data"
FREE_FORM = DATA / "free_form.md"
REPLIES = json.loads((DATA / "scripted_replies.json").read_text())
KEY = "sk-canary-0123456789-abcdefghij"
REASON = "say in the plan why fifty draws"
REVIEWERS_FORECAST = "0.5511 0.6611 0.7711"
FORECAST_TRACES = ("canary of the forecast", "0.8123", "0.5511", "1.0123")
STEP = re.compile(r"This is cycle (\d+), attempt (\d+), step (\w+)\.")


def asked(body):
    """(attempt, step) of a request."""
    _, attempt, step = STEP.search(json.dumps(body["messages"][0])).groups()
    return int(attempt), step


def scripted(body):
    return REPLIES[asked(body)[1]]


def options(server):
    return ["--model", "anthropic:scripted", "--base-url", server.base_url]


# --------------------------------------------------------------- the whole course


class Course:
    def __init__(self, session, project, requests):
        self.session, self.project, self.requests = session, project, requests

    def of(self, attempt, step):
        return [json.dumps(body) for body in self.requests if asked(body) == (attempt, step)]


@pytest.fixture(scope="module")
def course(module_desk, image, tmp_path_factory):
    """Rejected once, then approved and accepted; the server is gone afterwards."""
    folder = tmp_path_factory.mktemp("model") / "free"
    with ScriptedMessagesServer(scripted) as server:
        session = module_desk.terminal(
            "start", FREE_FORM, folder, *options(server), cwd=folder.parent, ANTHROPIC_API_KEY=KEY
        )
        session.wait_for("[Enter skips]: ")
        session.type(REVIEWERS_FORECAST)
        session.decide("reject", REASON)
        session.wait_for("[Enter skips]: ")
        session.type("")
        session.decide("approve")
        session.accept()
        session.code = session.end()
    return Course(session, folder, server.requests)


pytestmark = pytest.mark.docker


def test_a_free_form_proposal_comes_to_its_report(course, module_desk):
    assert course.session.code == 0, course.session.screen
    before = ["ideas", "critique", "plan", "prediction", "preflight", "approval"]
    after = ["run", "result", "check", "conclusion", "monitoring", "acceptance", "report"]
    assert module_desk.placed(course.project) == [
        (1, "proposal"), *((1, kind) for kind in before), *((2, kind) for kind in before + after),
    ]  # fmt: skip
    module_desk.require_sound(course.project)
    report = (course.project / "cycles/01/report.md").read_text()
    assert "A shift of about one shows" in report
    assert REASON in report


def test_each_step_is_asked_once_and_the_reason_goes_into_the_next_request(course):
    assert [asked(body) for body in course.requests] == [
        (1, "ideate"), (1, "critique"), (1, "plan"), (1, "predict"),
        (2, "ideate"), (2, "critique"), (2, "plan"), (2, "predict"), (2, "conclude"), (2, "writeup"),
    ]  # fmt: skip
    assert all(REASON in text for step in ("ideate", "critique", "plan") for text in course.of(2, step))
    assert not any(REASON in text for step in ("ideate", "critique", "plan") for text in course.of(1, step))


def test_no_forecast_reaches_a_step_that_could_steer_by_it(course):
    early = [text for n in (1, 2) for step in ("ideate", "critique", "plan") for text in course.of(n, step)]
    assert len(early) == 6
    assert not [trace for trace in FORECAST_TRACES for text in early if trace in text]
    assert "canary of the forecast" in course.of(2, "conclude")[0], "afterwards it may be seen"


def test_every_exchange_is_committed_with_its_record(course, module_desk):
    for row in module_desk.log(course.project):
        files = module_desk.git(
            "diff-tree", "-r", "--root", "--name-only", "--no-commit-id", row["commit"], cwd=course.project
        ).split()
        exchanges = [name for name in files if "/exchanges/" in name]
        message = module_desk.git("log", "-1", "--format=%B", row["commit"], cwd=course.project)
        if row["kind"] not in ("ideas", "critique", "plan", "prediction", "conclusion", "report"):
            assert exchanges == []
            continue
        assert exchanges == [f"cycles/01/attempt-{row['attempt']}/exchanges/{row['step']}.json"]
        exchange = json.loads((course.project / exchanges[0]).read_text())
        tokens = exchange["tokens"]
        assert tokens["input"] > 0
        assert tokens["output"] > 0
        assert "Model: scripted\n" in message
        assert f"Tokens: {tokens['input']}/{tokens['cached']}/{tokens['output']}\n" in message
        assert "Cost-USD: unknown" in message
        assert asked(exchange["calls"][0]["request"]) == (row["attempt"], row["step"])


def test_the_address_is_a_setting_and_the_key_is_nowhere(course, module_desk):
    assert 'base_url = "http://127.0.0.1:' in (course.project / "autoresearch.toml").read_text()
    assert KEY not in course.session.screen
    objects = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch"],
        cwd=course.project,
        capture_output=True,
        check=True,
    ).stdout
    assert b"canary of the forecast" in objects, "the search does see what is committed"
    assert KEY.encode() not in objects
    files = [path for path in course.project.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert not list((course.project / ".git/autoresearch/journal").glob("reply-*")), "committed, so dropped"


def test_it_is_replayed_offline_without_server_or_key(course, module_desk):
    head = module_desk.git("rev-parse", "HEAD", cwd=course.project).strip()
    done = module_desk.run("replay", cwd=course.project, unset=("ANTHROPIC_API_KEY",))
    assert done.code == 0, done.out + done.err
    assert done.out.splitlines()[-1].endswith(f"each equal to the recorded one; head {head}")


def test_it_is_replayed_in_a_clone(course, module_desk, tmp_path):
    clone = tmp_path / "clone"
    module_desk.git("clone", "-q", course.project, clone, cwd=tmp_path)
    assert module_desk.run("verify", cwd=clone).code == 0
    assert module_desk.run("replay", cwd=clone).code == 0


# ------------------------------------------------------------------ when it fails


def test_without_a_key_nothing_is_made(desk, tmp_path):
    with ScriptedMessagesServer(scripted) as server:
        done = desk.run("start", FREE_FORM, "p", *options(server), cwd=tmp_path)
    assert done.code == 4, done.err
    assert "ANTHROPIC_API_KEY" in done.err
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []
    assert server.requests == []


def test_run_looks_for_the_key_and_the_steps_names_before_anything_else(desk, tmp_path):
    project = tmp_path / "p"
    with ScriptedMessagesServer(scripted) as server:
        made = desk.run("start", FREE_FORM, project, *options(server), cwd=tmp_path, ANTHROPIC_API_KEY=KEY)
        asked_then = len(server.requests)
        before = desk.kinds(project)
        done = desk.run("run", cwd=project)
    assert made.code == 3, made.err
    assert "author (ideate, plan, conclude) and critic (critique) are one model" in made.err
    assert done.code == 4, done.err
    assert "no credential for anthropic:scripted" in done.err
    assert len(server.requests) == asked_then
    assert desk.kinds(project) == before
    assert desk.run("status", cwd=project).code == 0, "who only reads needs no key"
    settings = project / "autoresearch.toml"
    written = settings.read_text()
    settings.write_text(
        written.replace("[budget.project]", '[model.critic]\nuse = "none"\n\n[budget.project]')
    )
    line = settings.read_text().splitlines().index("[model.critic]") + 1
    done = desk.run("run", cwd=project, ANTHROPIC_API_KEY=KEY)
    assert done.code == 1
    assert f"autoresearch.toml:{line}: [model.critic] is no step of this project's workflow" in done.err
    assert "did you mean critique" in done.err


def test_a_credential_in_the_proposal_stops_start(desk, tmp_path):
    idea, key = tmp_path / "idea.md", "AKIA" + "ABCDEFGH12345678"
    idea.write_text(f"{FREE_FORM.read_text()}\n\nMy key is {key}.\n")
    with ScriptedMessagesServer(scripted) as server:
        done = desk.run("start", idea, "p", *options(server), cwd=tmp_path, ANTHROPIC_API_KEY=KEY)
    assert done.code == 1, done.err
    assert "what looks like an AWS access key" in done.err
    assert key not in done.err
    assert not (tmp_path / "p").exists()
    assert server.requests == []


def test_a_command_writes_the_steps(desk, tmp_path):
    """From `start` to the gate, with a program of twenty lines for a model."""
    client = tmp_path / "client.py"
    client.write_text(
        "import json, re, sys\n"
        f"replies = json.load(open({str(DATA / 'scripted_replies.json')!r}))\n"
        "print(json.dumps(replies[re.search(r'step (\\w+)\\.\\s*$', sys.stdin.read())[1]]))\n"
    )
    project = tmp_path / "p"
    done = desk.run(
        "start", FREE_FORM, project, "--model", f"command:{sys.executable} {client}", cwd=tmp_path
    )
    assert done.code == 3, done.err
    assert desk.kinds(project)[1:] == ["ideas", "critique", "plan", "prediction", "preflight"]
    desk.require_sound(project)
    assert desk.run("replay", cwd=project).code == 0


def test_a_command_that_is_not_there_is_exit_4(desk, tmp_path):
    done = desk.run("start", FREE_FORM, "p", "--model", "command:no-such-client", cwd=tmp_path)
    assert done.code == 4
    assert "no-such-client" in done.err
    assert list(tmp_path.iterdir()) == []


def test_without_a_model_both_ways_out_are_named(desk, tmp_path):
    done = desk.run("start", FREE_FORM, "p", cwd=tmp_path)
    assert done.code == 1
    assert "template" in done.err
    assert "--model anthropic:" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "garbage",
    [
        ScriptedReply(body=b"<html>not a reply</html>"),
        ScriptedReply(text="no JSON at all, twice"),
        ScriptedReply(text='{"question": "cut', stop_reason="max_tokens"),
    ],
    ids=["html", "prose", "cut off"],
)
def test_garbage_records_nothing_and_the_next_run_goes_on(desk, tmp_path, garbage):
    good = threading.Event()

    def script(body):
        if good.is_set():
            return scripted(body)
        # a repair may force a tool, whose input has to be JSON
        return ScriptedReply(text='{"no": "such field"}') if "tools" in body else garbage

    with ScriptedMessagesServer(script) as server:
        project = tmp_path / "p"
        done = desk.run("start", FREE_FORM, project, *options(server), cwd=tmp_path, ANTHROPIC_API_KEY=KEY)
        assert done.code == 1, done.err
        assert "nothing was recorded" in done.err
        assert "Traceback" not in done.err
        assert desk.kinds(project) == ["proposal"]
        good.set()
        done = desk.run("run", cwd=project, ANTHROPIC_API_KEY=KEY)
    assert done.code == 3, done.err
    assert desk.kinds(project)[1:] == ["ideas", "critique", "plan", "prediction", "preflight"]
    assert KEY not in done.err


def test_killed_with_a_reply_in_the_journal_it_is_not_asked_for_again(desk, tmp_path):
    """SIGKILL as soon as the journal holds the reply; the commit takes longer than the look."""
    project = tmp_path / "p"
    reply = project / ".git/autoresearch/journal/reply-1-1-plan"
    with ScriptedMessagesServer(scripted) as server:
        for _ in range(5):
            session = desk.terminal(
                "start", FREE_FORM, project, *options(server), cwd=tmp_path, ANTHROPIC_API_KEY=KEY
            )
            give_up = time.monotonic() + 30
            while not reply.exists():
                assert time.monotonic() < give_up
            session.kill()
            if "plan" not in desk.kinds(project):
                break
            shutil.rmtree(project)  # the commit was faster: once more
            server.requests.clear()
        else:
            pytest.fail("the commit was faster than the kill, five times")
        assert reply.exists()
        done = desk.run("run", cwd=project, ANTHROPIC_API_KEY=KEY)
    assert done.code == 3, done.err
    assert [asked(body) for body in server.requests].count((1, "plan")) == 1
    desk.require_sound(project)
    assert not reply.exists(), "dropped with its commit"
