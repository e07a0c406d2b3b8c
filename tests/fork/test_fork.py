"""A fork shares history up to a record and goes on apart, and no approval counts on both sides."""

from dataclasses import replace

import pytest

from autoresearch import assets
from autoresearch.budget import spent_in
from autoresearch.errors import AuthorNeeded, AutoresearchError, InvalidInput, Pending
from autoresearch.forecasting.track import scored_in
from autoresearch.fork import fork_at, known_results, refuse_workflow
from autoresearch.records import Approval, MadeBy, Proposal, Reviewer, Settings, Spend, file_ref
from autoresearch.reporting.report import markdown
from autoresearch.settings_in_force import project_in_force
from autoresearch.testing import PERSON, FakeSandbox
from autoresearch.testing_project import ScriptedReviewer, TextDesk, drive, make_driver, shifted
from autoresearch.verify import verify
from autoresearch.vouched import reader
from autoresearch.workflow import parse_workflow

AGAIN = ["approve", ("accept", "a second look, and called one")]
"""Of a comparison whose result was known: the look blocks, so that accepting takes a reason."""
STEPS = [
    "start", "ideate", "critique", "plan", "predict", "preflight", "approve", "experiment", "check", "conclude",
    "monitor", "accept", "writeup",
]  # fmt: skip
AFTER = {
    "ideate": ["1.2 critique", "1.2 plan", "1.2 prediction", "1.2 preflight"],
    "predict": ["1.2 preflight"],
    "preflight": [],
    "approve": [],
}
LATE = {
    "experiment": ["1.2 check", "1.2 conclusion", "1.2 monitoring"],
    "monitor": [],
}


@pytest.mark.parametrize("step", STEPS)
def test_a_fork_shares_the_commits_up_to_its_step_and_is_sound(accepted, fork, sound, step):
    forked = fork(accepted, step)
    theirs, ours = accepted.entries(), forked.entries()
    assert [e.commit for e in ours[:-1]] == [e.commit for e in theirs[: len(ours) - 1]]
    assert ours[-2].record.step == step
    body = ours[-1].record.body
    assert (body.from_commit, body.from_record) == (ours[-2].commit, ours[-2].digest)
    assert (body.from_project, project_in_force(ours)) == (project_in_force(theirs), body.project)
    assert forked.changes() == [], "the work tree is the commit's"
    sound(forked)


@pytest.mark.parametrize("step", ["ideate", "predict", "preflight", "approve", "experiment", "monitor"])
def test_what_follows_a_fork_is_its_next_attempt(accepted, fork, sound, replayed, places, step):
    forked = fork(accepted, step)
    shared = len(forked.entries())
    with pytest.raises(Pending):
        drive(forked, [])
    assert places(forked)[shared:] == {**AFTER, **LATE}[step]
    if step in AFTER:
        drive(forked, AGAIN)
        gate = ["1.2 approval", "1.2 run", "1.2 result", "1.2 check", "1.2 conclusion", "1.2 monitoring"]
        assert places(forked)[shared:] == [*AFTER[step], *gate, "1.2 acceptance", "1.2 report"]
    else:
        drive(forked, ["accept"])
        assert places(forked)[shared:] == [*LATE[step], "1.2 acceptance", "1.2 report"]
    sound(forked)
    assert replayed(forked)[0] == forked.head()


def test_a_fork_of_an_accepted_conclusion_writes_its_own_report(accepted, fork, sound, replayed):
    forked = fork(accepted, "accept")
    drive(forked, [])
    assert forked.entries()[-1].record.kind == "report"
    sound(forked)
    assert replayed(forked)[0] == forked.head()


def test_a_fork_of_a_report_opens_the_next_cycle(accepted, fork, sound, replayed, text, places):
    forked = fork(accepted, "writeup")
    with pytest.raises(Pending, match="cycle 2 starts from a changed proposal"):
        drive(forked, [])
    changed = text.replace("Which way does the mean", "In which direction does the mean")
    drive(forked, AGAIN, desk=TextDesk(forked, [changed]))
    assert places(forked)[-1] == "2.1 report"
    sound(forked)
    assert replayed(forked)[0] == forked.head()


def test_the_project_that_was_forked_is_not_touched(accepted, fork):
    before = (accepted.head(), accepted.changes())
    fork(accepted, "plan")
    assert (accepted.head(), accepted.changes()) == before


def test_a_pending_approval_is_void_in_the_fork(project, fork, tmp_path):
    class Asked(FakeSandbox):
        def probe(self):
            raise KeyboardInterrupt  # the approval stands, and its run has not begun

    parent = project()
    with pytest.raises(KeyboardInterrupt):
        drive(parent, ["approve"], sandbox=Asked(shifted))
    assert isinstance(parent.entries()[-1].record.body, Approval)
    forked, sandbox = fork(parent, "approve"), FakeSandbox(shifted)
    with pytest.raises(Pending):
        drive(forked, [], sandbox=sandbox)
    assert sandbox.submitted == []
    drive(parent, ["accept"])
    assert parent.entries()[-1].record.kind == "report", "it still counts where it was given"


def test_nothing_that_was_approved_before_the_fork_is_run_again(accepted, fork):
    """The rechecks that the parent's approval lists are the parent's, too."""
    forked, sandbox = fork(accepted, "experiment"), FakeSandbox(shifted)
    with pytest.raises(Pending):
        drive(forked, [], sandbox=sandbox)
    assert sandbox.submitted == []
    check = next(e.record.body for e in forked.entries() if e.record.kind == "check")
    assert check.rechecks == []
    assert "approved in the project that this one was forked from" in check.findings[0].evidence


def test_a_changed_proposal_is_taken_in_before_anything_else(accepted, fork, sound, replayed, places, text):
    """What read the changed section is made again, and only that."""
    forked = fork(accepted, "preflight")
    shared = len(forked.entries())
    changed = text.replace("trials_per_arm: 6", "trials_per_arm: 7")
    drive(forked, AGAIN, desk=TextDesk(forked, [changed]))
    assert places(forked)[shared : shared + 5] == [
        "1.2 proposal", "1.2 plan", "1.2 prediction", "1.2 preflight", "1.2 approval",
    ]  # fmt: skip
    body = forked.entries()[shared].record.body
    assert isinstance(body, Proposal)
    assert body.project == project_in_force(forked.entries())
    sound(forked)
    assert replayed(forked)[0] == forked.head()


def test_a_changed_question_is_asked_from_the_start(accepted, fork, sound, replayed, places, text):
    forked = fork(accepted, "approve")
    shared = len(forked.entries())
    changed = text.replace("Which way does the mean", "In which direction does the mean")
    with pytest.raises(Pending):
        drive(forked, [], desk=TextDesk(forked, [changed]))
    kinds = ["proposal", "ideas", "critique", "plan", "prediction", "preflight"]
    assert places(forked)[shared:] == [f"1.2 {kind}" for kind in kinds]
    sound(forked)
    assert replayed(forked)[0] == forked.head()


def test_what_was_run_cannot_be_changed_by_forking_after_it(accepted, fork, text):
    forked = fork(accepted, "check")
    head = forked.head()
    changed = text.replace("trials_per_arm: 6", "trials_per_arm: 7")
    with pytest.raises(InvalidInput, match="the experiment ran on it as it was"):
        drive(forked, [], desk=TextDesk(forked, [changed]))
    assert forked.head() == head


def test_a_rejection_before_the_fork_still_asks_for_a_change(project, fork, sound, replayed, places, text):
    parent = project(("reject", "too vague"))
    forked = fork(parent, "approve")
    with pytest.raises(AuthorNeeded, match="too vague"):
        drive(forked, [])
    changed = text.replace("Which way does the mean", "In which direction does the mean")
    drive(forked, AGAIN, desk=TextDesk(forked, [changed]))
    assert places(forked)[-1] == "1.2 report"
    sound(forked)
    assert replayed(forked)[0] == forked.head()


def test_a_fork_can_be_forked(accepted, fork, sound, replayed, places):
    first = fork(accepted, "critique")
    with pytest.raises(Pending):
        drive(first, [])
    second = fork(first, "plan", "second")
    third = fork(second, "fork", "third")
    assert [b.record.body.from_project for b in third.entries() if b.record.kind == "fork"] == [
        project_in_force(accepted.entries()), project_in_force(first.entries()), project_in_force(second.entries()),
    ]  # fmt: skip
    drive(third, AGAIN)
    assert places(third)[-1] == "1.3 report"
    sound(third)
    assert replayed(third)[0] == third.head()


def test_attempts_are_bounded_in_a_fork_too(fork, project):
    forked = fork(project(settings=Settings(max_attempts=1)), "plan")
    with pytest.raises(AutoresearchError, match="max_attempts"):
        drive(forked, [])


STANDARD = assets.workflows() / "standard"


def other_workflow(change):
    files = {"workflow.yaml": change((STANDARD / "workflow.yaml").read_text()).encode()}
    prompts = sorted((STANDARD / "prompts").glob("*.md"))
    return files | {f"prompts/{path.name}": path.read_bytes() for path in prompts}


def test_a_fork_may_go_on_with_another_workflow(accepted, fork, sound, replayed, places):
    """Here with a second critique, which the shared history does not have."""
    files = other_workflow(
        lambda text: text.replace("    next: plan\n", "    next: second\n", 1).replace(
            "  plan:\n", "  second:\n    kind: critique\n    next: plan\n  plan:\n", 1
        )
    )
    forked = fork(accepted, "preflight", workflow=files)
    shared = len(forked.entries())
    assert forked.read("workflow/workflow.yaml", forked.head()) == files["workflow.yaml"]
    drive(forked, AGAIN)
    assert [e.record.step for e in forked.entries()[shared:]][:5] == [
        "second", "plan", "predict", "preflight", "approve",
    ]  # fmt: skip
    sound(forked)
    assert replayed(forked)[0] == forked.head()


def test_a_workflow_that_does_not_know_the_shared_steps_is_refused(accepted):
    text = (STANDARD / "workflow.yaml").read_text().replace("ideate", "dream")
    with pytest.raises(InvalidInput, match="no ideas step called ideate"):
        refuse_workflow(parse_workflow(text), accepted.entries()[:4])


def test_what_the_parent_spent_after_the_step_counts_in_the_fork(accepted):
    """A budget is not reset by forking: spent is spent."""
    history = accepted.entries()
    taken = Spend(cost_usd="2", calls=2, seconds=7)
    paid = replace(
        history[8],
        record=history[8].record.model_copy(
            update={
                "made_by": MadeBy(
                    author="agent",
                    model="m",
                    cost_usd="1.5",
                    calls=3,
                    exchanges=[file_ref("exchanges/x.json", b"")],
                )
            }
        ),
    )
    body = fork_at(
        [*history[:8], paid, *history[9:]], history[4], project="f" * 32, reviewer=Reviewer(person=PERSON), reason="",
        workflow=None, pending=taken,
    )  # fmt: skip
    assert body.spent == {1: Spend(cost_usd="3.5", calls=5, seconds=7)}
    forked = replace(history[4], record=history[4].record.model_copy(update={"kind": "fork", "body": body}))
    assert spent_in([*history[:5], forked]).cost_usd == "3.5"
    assert spent_in([*history[:5], forked], 2).cost_usd == "0"


def test_what_is_not_the_sharing_of_a_history_is_no_fork(accepted, fork, sound):
    """Each field of the record, made to say something else."""
    wrong = {
        "from_commit": "0" * 40, "from_record": "0" * 64, "from_project": "1" * 32,
        "project": project_in_force(accepted.entries()), "reason": "nothing is wrong with this one",
    }  # fmt: skip
    for field, value in wrong.items():
        forked = fork(accepted, "plan", f"fork-{field}")
        last = forked.entries()[-1]
        right = {
            "project": "e" * 32, "from_project": last.record.body.project, "from_commit": last.commit,
            "from_record": last.digest,
        }  # fmt: skip
        body = last.record.body.model_copy(update={**right, field: value})
        record = last.record.model_copy(update={"step": "fork-2", "parent": last.digest, "body": body})
        forked.append(record, {}, after=forked.head(), author=PERSON)
        if field == "reason":
            sound(forked)
            continue
        (problem,) = [problem for row in verify(forked).rows for problem in row.problems]
        assert problem.startswith("fork in"), field


def looks(ledger):
    check = next(e.record.body for e in reversed(ledger.entries()) if e.record.kind == "check")
    return [d.explanation for d in check.deviations if d.check == "deviation.stopping"], check.exploratory


def test_a_result_that_the_parent_had_is_known_in_the_fork(accepted, fork, sound, replayed):
    """Else one could fork until a run comes out well, and show that one."""
    forked = fork(accepted, "plan")
    theirs = next(e for e in accepted.entries() if e.record.kind == "check")
    (known,) = forked.entries()[-1].record.body.known
    place = f"attempt 1 of project {project_in_force(accepted.entries())[:8]}"
    assert (known.place, known.said, known.completed) == (place, theirs.record.body.headline(), True)
    desk = ScriptedReviewer(list(AGAIN))
    make_driver(forked, desk).run()
    views = desk.views
    assert [view.known for view in views] == [[f"{known.said}, the same comparison; {place}"]] * 2
    assert views[0].before == "Its result is known: see Seen."
    prediction = next(e.record.body for e in reversed(forked.entries()) if e.record.kind == "prediction")
    assert prediction.headline().endswith(f"after seeing the result of {place}")
    assert looks(forked)[0][0].startswith(
        f"look 2 at this comparison, and one was planned: {place} had its result"
    )
    assert {scored.after_results for scored in scored_in(forked.entries())} == {1}
    assert not looks(forked)[1], "the plan is the one that had the result"
    page = markdown(forked.entries(), reader(forked), cycle=1)
    assert f"the same comparison; {place}" in page
    sound(forked)
    assert replayed(forked)[0] == forked.head()


def test_a_plan_that_is_changed_in_the_fork_explores(accepted, fork, text):
    forked = fork(accepted, "preflight")
    changed = text.replace("trials_per_arm: 6", "trials_per_arm: 7")
    drive(forked, AGAIN, desk=TextDesk(forked, [changed]))
    assert looks(forked)[1]


def test_a_fork_of_a_fork_knows_what_the_first_one_knew(accepted, fork):
    first = fork(accepted, "critique")
    second = fork(first, "critique", "second")
    third = fork(first, "fork", "third")
    here = next(e.record.body.known for e in first.entries() if e.record.kind == "fork")
    assert [known_results(ledger.entries(), 1) for ledger in (second, third)] == [here, here]
    assert known_results(second.entries(), 2) == [], "the next cycle asks anew"


def test_what_was_on_record_before_the_fork_is_not_counted_twice(accepted, fork):
    forked = fork(accepted, "monitor")
    assert forked.entries()[-1].record.body.known == []
    drive(forked, ["accept"])
    assert looks(forked) == ([], False)
