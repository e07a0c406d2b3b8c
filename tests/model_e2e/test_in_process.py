"""A model's whole course in one process: the real SDK over HTTP to a scripted server, a fake sandbox."""

import itertools
from contextlib import closing
from dataclasses import replace
from decimal import Decimal

import pytest
from scripted_study import FREE_FORM, Study, scripted, trial

from autoresearch import assets
from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.cli.wiring import shared_model
from autoresearch.errors import BudgetSpent, InvalidInput, ModelFailed, Pending
from autoresearch.proposal import parse_proposal
from autoresearch.records import ModelChoice, Price, Settings
from autoresearch.reporting.status import status
from autoresearch.testing import FakeSandbox
from autoresearch.testing_http import ScriptedMessagesServer, ScriptedReply
from autoresearch.testing_project import STILL, TextDesk, make_project
from autoresearch.verify import verify
from autoresearch.workflow import parse_workflow


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


def test_a_crash_between_a_record_and_its_journal_leaves_nothing_behind(study):
    """Killed after the commit and before the note was dropped: the next walk drops it."""

    class Cut(GitLedger):
        def forget(self, key):
            if key.startswith("reply-1-1-conclude"):
                raise KeyboardInterrupt
            super().forget(key)

    course = study()
    journal = course.ledger.root / ".git/autoresearch/journal"
    with (
        closing(GitLedger(course.ledger.root, STILL)) as whole,
        closing(Cut(course.ledger.root, STILL)) as cut,
    ):
        with pytest.raises(KeyboardInterrupt):
            course.go(["approve"], ledger=cut)
        assert whole.entries()[-1].record.kind == "conclusion"
        assert {path.name for path in journal.glob("[rs]*")} == {"reply-1-1-conclude", "spending"}
        assert course.go(["accept"], ledger=whole).standing == "accepted"
    assert not list(journal.glob("[rs]*"))
    assert [step for _, _, step in course.asked()].count("conclude") == 1


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
    assert "From experiment, Crashed:" in prompt
    assert "earlier plan" in prompt


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


# ------------------------------------------------------- author and critic, and what it costs


def test_one_model_for_author_and_critic_is_a_finding(study):
    course = study()
    with pytest.raises(Pending):
        course.go([])
    findings = {f.check: f for f in course.ledger.entries()[2].record.body.findings}
    assert findings["critique.same-model"].severity == "warn"
    assert "scripted" in findings["critique.same-model"].explanation
    course.go(["approve", "accept"])
    said = {
        f.check
        for e in course.ledger.entries()
        if e.record.kind == "monitoring"
        for f in e.record.body.findings
    }
    assert "conclusion.same-model" not in said, "the critique has said it"


def test_two_models_are_none_until_the_critic_concludes(study):
    course = study()

    class Named:
        """Another model than the author's."""

        def __init__(self, model):
            self.model, self.name = model, model.name

        def ask(self, request, account):
            exchange = self.model.ask(request, account)
            critics = ("critique", "conclude")
            return replace(exchange, model="another") if request.step in critics else exchange

    with pytest.raises(Pending):
        course.go(["approve"], model_for=lambda spec: Named(course.model_for(spec)))
    assert "critique.same-model" not in {f.check for f in course.ledger.entries()[2].record.body.findings}
    found = {f.check: f.explanation for f in course.ledger.entries()[-1].record.body.findings}
    assert found["conclusion.same-model"] == "the model that wrote conclusion was the critic, too, another"


def test_start_and_settings_say_who_judges_whom():
    workflow = parse_workflow((assets.workflows() / "standard/workflow.yaml").read_text())
    assert "one model, anthropic:a" in shared_model(workflow, Settings(model={"use": "anthropic:a"}))
    assert (
        shared_model(
            workflow, Settings(model={"use": "anthropic:a"}, models={"critique": {"use": "anthropic:b"}})
        )
        == ""
    )
    assert shared_model(workflow, Settings()) == ""


def test_the_cost_and_its_cap_are_at_the_gate_and_in_status(tmp_path):
    price = Price(input="3", cached="0.3", written="3.75", output="15")
    settings = Settings(
        model=ModelChoice(use="anthropic:scripted", price=price),
        budget={"project": {"usd": "5"}},
    )
    ledger = make_project(tmp_path / "priced", FREE_FORM, settings=settings)
    with ScriptedMessagesServer(scripted) as server:
        course = Study.__new__(Study)
        course.server, course.ledger = server, ledger
        with pytest.raises(Pending):
            course.go([])
    costs = [Decimal(e.record.made_by.cost_usd) for e in ledger.entries()]
    assert all(costs[1:5])
    used = [e.record.made_by.tokens for e in ledger.entries()]
    assert sum(costs) == sum(3 * t.input + 15 * t.output for t in used) / Decimal(10**6)
    assert status(ledger.entries()).cost == f"{sum(costs):.4f}".rstrip("0") + " USD of 5 USD"
    ledger.close()


def test_a_cap_in_usd_without_a_price_refuses_to_start(study):
    course = study()
    desk = TextDesk(
        course.ledger, changed=Settings(model={"use": "anthropic:scripted"}, budget={"project": {"usd": "5"}})
    )
    with pytest.raises(InvalidInput, match="the price of anthropic:scripted is not known"):
        course.go([], desk=desk)
    assert course.server.requests == []


def test_a_budget_that_is_spent_stops_and_raised_goes_on(study):
    course = study()
    at_two = Settings(model={"use": "anthropic:scripted"}, budget={"project": {"calls": 2}})
    with pytest.raises(BudgetSpent, match=r"budget\.project\.calls is 2"):
        course.go([], desk=TextDesk(course.ledger, changed=at_two))
    with pytest.raises(BudgetSpent):
        course.go([], desk=TextDesk(course.ledger, changed=at_two))
    assert len(course.server.requests) == 2
    raised = Settings(model={"use": "anthropic:scripted"}, budget={"project": {"calls": 4}})
    with pytest.raises(Pending):
        course.go([], desk=TextDesk(course.ledger, changed=raised))
    assert [step for _, _, step in course.asked()] == ["ideate", "critique", "plan", "predict"]
    assert verify(course.ledger).sound


def test_a_cycles_requests_begin_with_what_the_last_one_sent(study):
    """What a server can cache grows from step to step and never changes: only each step's own words are new."""
    course = study()
    course.go(["approve", "accept"])
    leading = [_shared(body) for body in course.server.requests]
    assert len(leading) == 6
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(leading))
    assert len({body["system"][0]["text"] for body in course.server.requests}) == 1
    assert all("Your step" not in text for text in leading)
    assert "def run_trial" in leading[-1]


def _shared(body):
    """The proposal, the records and the code."""
    return "".join(block["text"] for block in body["messages"][0]["content"][:-1])
