"""A model's whole course in one process: the real SDK over HTTP to a scripted server, a fake sandbox."""

import json
import random
import re
from pathlib import Path

import pytest

from autoresearch.adapters.anthropic_model import AnthropicModel
from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.errors import InvalidInput, ModelFailed, Pending
from autoresearch.proposal import parse_proposal
from autoresearch.records import Settings
from autoresearch.testing import FakeSandbox
from autoresearch.testing_http import ScriptedMessagesServer, ScriptedReply, prompt_of
from autoresearch.testing_project import STILL, drive, make_project
from autoresearch.verify import verify

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

    def __init__(self, root, server):
        self.server = server
        self.ledger = make_project(root, FREE_FORM, settings=Settings(model="anthropic:scripted"))

    def go(self, decisions, ledger=None, **doubles):
        doubles = {"sandbox": FakeSandbox(trial), "model_for": self.model_for} | doubles
        return drive(ledger or self.ledger, decisions, **doubles)

    def model_for(self, spec):
        assert spec == "anthropic:scripted"
        return AnthropicModel(
            "scripted",
            base_url=self.server.base_url,
            environ={"ANTHROPIC_API_KEY": "k"},
            clock=STILL,
            sleep=lambda _: None,
            jitter=lambda: 0.5,
        )

    def asked(self):
        return [asked(body) for body in self.server.requests]

    def prompts(self, *place):
        return [prompt_of(body) for body in self.server.requests if asked(body) == place]


@pytest.fixture
def study(tmp_path):
    studies = []

    def make(script=scripted):
        server = ScriptedMessagesServer(script)
        server.__enter__()
        studies.append(Study(tmp_path / "project", server))
        return studies[-1]

    yield make
    for each in studies:
        each.ledger.close()
        each.server.__exit__(None, None, None)


def test_to_the_report(study):
    course = study()
    assert course.go(["approve", "accept"]).standing == "accepted"
    assert [step for _, _, step in course.asked()] == [
        "ideate",
        "critique",
        "plan",
        "predict",
        "conclude",
        "writeup",
    ]
    authors = {
        e.record.kind: e.record.made_by.model for e in course.ledger.entries() if e.record.made_by.exchanges
    }
    assert authors == dict.fromkeys(
        ("ideas", "critique", "plan", "prediction", "conclusion", "report"), "scripted"
    )
    assert verify(course.ledger).sound


def test_the_proposal_is_free_form():
    with pytest.raises(InvalidInput, match="template"):
        parse_proposal(FREE_FORM)


@pytest.mark.parametrize(
    ("decision", "first_step", "kept"),
    [("reject", "ideate", []), ("revise", "plan", ["ideate", "critique"])],
)
def test_a_refusals_reason_goes_into_the_next_request(study, decision, first_step, kept):
    course = study()
    with pytest.raises(Pending):
        course.go([(decision, "fifty is too few")])
    steps = [step for _, attempt, step in course.asked() if attempt == 2]
    assert steps[0] == first_step
    assert not set(kept) & set(steps)
    assert "fifty is too few" in course.prompts(1, 2, first_step)[0]


def test_a_crash_goes_back_to_the_plan_with_the_log_and_the_code(study):
    course = study()
    with pytest.raises(Pending):
        course.go(["approve"], sandbox=FakeSandbox(trial, ending="crashed", trials_before_end=3))
    (prompt,) = course.prompts(1, 2, "plan")
    assert "RuntimeError: as scripted" in prompt
    assert "def run_trial" in prompt
    assert "Crashed" in prompt


def test_revise_at_accept_asks_for_the_conclusion_alone(study):
    course = study()
    course.go(["approve", ("revise", "say less"), "accept"])
    assert [step for _, attempt, step in course.asked() if attempt == 2] == ["conclude", "writeup"]
    assert "say less" in course.prompts(1, 2, "conclude")[0]


def test_a_follow_up_starts_the_next_cycle_from_its_reason(study):
    course = study()
    with pytest.raises(Pending):
        course.go(["approve", ("follow-up", "now with heavy tails")])
    assert "now with heavy tails" in course.prompts(2, 1, "ideate")[0]


class DiesBefore(GitLedger):
    """A process killed between the reply, which the journal holds, and the commit."""

    kind = ""

    def append(self, record, files, **more):
        if record.kind == self.kind:
            raise InvalidInput("killed")
        return super().append(record, files, **more)


@pytest.mark.parametrize("kind", ["ideas", "plan", "prediction"])
def test_a_reply_in_the_journal_is_used_and_then_dropped(study, kind):
    course = study()
    dying = DiesBefore(course.ledger.root, STILL)
    dying.kind = kind
    with pytest.raises(InvalidInput, match="killed"):
        course.go([], dying)
    dying.close()
    journal = course.ledger.root / ".git" / "autoresearch" / "journal"
    assert sorted(path.name[:5] for path in journal.iterdir()) == ["reply", "spend"]
    before = course.asked()
    with pytest.raises(Pending):
        course.go([])
    assert course.asked()[: len(before)] == before
    assert len(set(course.asked())) == len(course.asked()) == 4
    assert list(journal.iterdir()) == []


@pytest.mark.parametrize("broken", [b"", b"{", b'{"schema": 1}', None])
def test_a_journal_that_holds_no_answer_to_this_question_is_asked_again(study, broken):
    """None: the answer to another question, as left by a change of the settings or the tool."""
    course = study()
    if broken is None:
        dying = DiesBefore(course.ledger.root, STILL)
        dying.kind = "critique"
        with pytest.raises(InvalidInput, match="killed"):
            course.go([], dying)
        dying.close()
        stored = course.ledger.noted("reply-1-1-critique")
        broken = stored.replace(b"This is cycle 1", b"This was cycle 1")
        assert broken != stored
    course.ledger.note("reply-1-1-critique", broken)
    before = len(course.prompts(1, 1, "critique"))
    with pytest.raises(Pending):
        course.go([])
    assert len(course.prompts(1, 1, "critique")) == before + 1


@pytest.mark.parametrize(
    "reply", [ScriptedReply(body=b"\xff"), ScriptedReply(text='{"no": 1}'), ScriptedReply(status=400)]
)
def test_garbage_leaves_no_record_and_no_note(study, reply):
    course = study(lambda body: reply)
    with pytest.raises(ModelFailed, match="nothing was recorded"):
        course.go([])
    assert [entry.record.kind for entry in course.ledger.entries()] == ["proposal"]
    assert course.ledger.noted("reply-1-1-ideate") is None
