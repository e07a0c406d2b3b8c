"""Ways round the two gates. Each is tried on a project of its own and must come to nothing."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from langgraph.checkpoint.memory import MemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send

from autoresearch import assets
from autoresearch.adapters.demonstration import DemonstrationReviewer
from autoresearch.adapters.git_ledger import GitLedger
from autoresearch.adapters.terminal import TerminalReviewer
from autoresearch.cli.desk import refuse_foreign_changes
from autoresearch.cli.main import cli
from autoresearch.config import parse_settings
from autoresearch.door import admit
from autoresearch.errors import AutoresearchError, InvalidInput, LedgerError, NotApproved, Pending, Stale
from autoresearch.nodes import State
from autoresearch.records import (
    AGENT,
    HUMAN,
    Acceptance,
    Finding,
    Fork,
    Person,
    Record,
    Reviewer,
    Settings,
    digest_of,
)
from autoresearch.reporting.gate_json import approval_json
from autoresearch.settings_in_force import project_in_force
from autoresearch.steps import experiment
from autoresearch.testing import PERSON, FakeSandbox, FixedClock
from autoresearch.testing_project import (
    STILL,
    ScriptedReviewer,
    make_driver,
    make_fork,
    make_project,
    shifted,
)
from autoresearch.workflow import parse_workflow

COMMAND = str(Path(sys.executable).with_name("autoresearch"))
WORKFLOW = (assets.workflows() / "standard" / "workflow.yaml").read_text()
MALLORY = Person(name="Mallory", email="m@example.org")


@dataclass(frozen=True)
class Way:
    group: str
    name: str
    stage: str
    run: object
    outcome: str
    """What becomes of it, in a few words."""


WAYS: list[Way] = []


def way(group, name, outcome, stage="waiting"):
    def keep(function):
        WAYS.append(Way(group, name, stage, function, outcome))
        return function

    return keep


# ----------------------------------------------------------- through LangGraph


@way("LangGraph", "`invoke(None)`", "error: no input, nothing to resume")
def _(bench):
    with pytest.raises(Exception, match=r"(?i)input|checkpoint"):
        bench.graph().invoke(None)


@way("LangGraph", '`update_state(as_node="approve")`', "error: there is no checkpointer")
def _(bench):
    with pytest.raises(ValueError, match="No checkpointer"):
        bench.graph().update_state({"configurable": {"thread_id": "1"}}, bench.state(), as_node="approve")


@way("LangGraph", "`Command(resume=…)`", "error: there is no checkpointer")
def _(bench):
    with pytest.raises(RuntimeError, match="without checkpointer"):
        bench.graph().invoke(Command(resume="approve"))


def sent(bench, step):
    """Send the state straight to `step`.

    LangGraph runs the first step beside it, without a state. Where that fails first, its
    error hides the answer of `step`, which is then asked again.
    """
    for _ in range(50):
        try:
            bench.graph().invoke(Command(goto=Send(step, bench.state())))
        except KeyError:
            continue
        break
    else:
        raise AssertionError(f"{step} never answered")


@way("LangGraph", "`Command(goto=experiment)`", "no approval on record", "rejected")
def _(bench):
    with pytest.raises(NotApproved, match="decided reject"):
        sent(bench, "experiment")


@way("LangGraph", "`Command(goto=…, update=…)`", "the first step runs instead", "rejected")
def _(bench):
    with pytest.raises((AutoresearchError, KeyError)):
        bench.graph().invoke(Command(goto="experiment", update=bench.state()))


@way("LangGraph", "`Command(goto=writeup)`", "no acceptance on record", "concluded")
def _(bench):
    with pytest.raises(AutoresearchError):
        sent(bench, "writeup")


@way("LangGraph", "initial state `approved=true`", "only the gate is met")
def _(bench):
    found = bench.graph().invoke({**bench.state(), "approved": True, "decision": "approve"})
    assert found["__interrupt__"][0].value["gate"] == "approve"


@way("LangGraph", "initial state that names a passed approval", "the gate looks in the ledger")
def _(bench):
    state = bench.state()
    plan = state["passed"]["plan"]
    found = bench.graph().invoke({**state, "passed": {**state["passed"], "approval": plan}})
    assert found["__interrupt__"][0].value["gate"] == "approve"
    with pytest.raises(KeyError):
        bench.graph().invoke({**state, "passed": {**state["passed"], "approval": "0" * 64}})


@way("LangGraph", "a new thread id", "the gate is met again")
def _(bench):
    start = {"cycle": 1, "attempt": 1, "passed": {}, "feedback": "", "returned_to": "", "route": ""}
    for thread in ("1", "2"):
        found = bench.graph().invoke(start, {"configurable": {"thread_id": thread}})
        assert found["__interrupt__"][0].value["gate"] == "approve"


@way("LangGraph", "`interrupt_before`, then on", "the gate itself interrupts")
def _(bench):
    start = {"cycle": 1, "attempt": 1, "passed": {}, "feedback": "", "returned_to": "", "route": ""}
    graph = bench.graph()
    graph.checkpointer = MemorySaver()
    config = {"configurable": {"thread_id": "1"}}
    graph.invoke(start, config, interrupt_before=["approve"])
    found = graph.invoke(None, config)
    assert found["__interrupt__"][0].value["gate"] == "approve"


@way(
    "LangGraph", "a checkpointer of one's own, resumed with `approve`", "no answer travels through the graph"
)
def _(bench):
    graph = bench.graph()
    graph.checkpointer = MemorySaver()
    config = {"configurable": {"thread_id": "1"}}
    start = {"cycle": 1, "attempt": 1, "passed": {}, "feedback": "", "returned_to": "", "route": ""}
    graph.invoke(start, config)
    with pytest.raises(AssertionError, match="no answer travels"):
        graph.invoke(Command(resume="approve"), config)


@way("LangGraph", "two gates in one node", "the first never lets it reach the second")
def _(bench):
    nodes = bench.driver().nodes
    graph = StateGraph(State)
    graph.add_node("both", lambda state: nodes.node("accept")(nodes.node("approve")(state)))
    graph.add_edge(START, "both")
    made = graph.compile(checkpointer=MemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    made.invoke(bench.state(), config)
    with pytest.raises(AssertionError, match="no answer travels"):
        made.invoke(Command(resume="approve"), config)
    with pytest.raises(AssertionError, match="no answer travels"):
        made.invoke(None, config)


@way("LangGraph", "the experiment's node called by itself", "no approval on record")
def _(bench):
    with pytest.raises(LedgerError, match="needs a approval record"):
        bench.driver().nodes.node("experiment")(bench.state())


@way("LangGraph", "a planted checkpoint database", "there is none to read")
def _(bench):
    for name in ("checkpoints.sqlite", "checkpoints.db", "journal/approve"):
        place = bench.root / ".git" / "autoresearch" / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"SQLite format 3\0" + json.dumps(bench.state()).encode())
    bench.asks_again()


# ---------------------------------------------------------------- the workflow


@way("workflow", "a workflow whose experiment comes before the gate", "refused, naming the path")
def _(bench):
    with pytest.raises(InvalidInput, match="preflight → experiment"):
        parse_workflow(WORKFLOW.replace("    next: approve\n", "    next: experiment\n"))


@way("workflow", "a workflow whose refusal leads to the experiment", "refused, naming the path")
def _(bench):
    with pytest.raises(InvalidInput, match="approve → experiment"):
        parse_workflow(WORKFLOW.replace("      reject: ideate", "      reject: experiment"))


@way("workflow", "`workflow/` edited in the work tree to drop the gate", "named; the frozen one is used")
def _(bench):
    file = bench.root / "workflow" / "workflow.yaml"
    file.write_text(file.read_text().replace("    next: approve\n", "    next: experiment\n"))
    with pytest.raises(LedgerError, match=r"workflow/workflow\.yaml is modified"):
        refuse_foreign_changes(bench.ledger, by_model=False)
    bench.asks_again()


@way("workflow", "`workflow/` edited in a commit", "the history is refused")
def _(bench):
    file = bench.root / "workflow" / "workflow.yaml"
    file.write_text(file.read_text().replace("    next: approve\n", "    next: experiment\n"))
    bench.git("commit", "-qam", "a better workflow")
    bench.refused("touches more than notes/")


# ---------------------------------------------------------------- the terminal


@way("terminal", "no terminal at all", "pending, exit 3")
def _(bench):
    def none():
        raise OSError("no such device")

    bench.refused("no terminal", TerminalReviewer(Reviewer(person=PERSON), FixedClock(), opener=none))


@way("terminal", "a file with the right answers instead of one", "pending, exit 3")
def _(bench):
    answers = bench.root.parent / "answers"
    answers.write_text(f"approve\n{digest_of(bench.decision().body.bundle)[:8]}\n")
    reviewer = TerminalReviewer(
        Reviewer(person=PERSON), FixedClock(), opener=lambda: os.open(answers, os.O_RDWR)
    )
    bench.refused("no terminal", reviewer)


@way("terminal", "the terminal of a session that is gone", "pending, exit 3")
def _(bench):
    ours, theirs = os.openpty()
    os.close(ours)
    bench.refused(
        "terminal|end of input",
        TerminalReviewer(Reviewer(person=PERSON), FixedClock(), opener=lambda: theirs),
    )


@way("terminal", "decision and right digest typed ahead", "thrown away; asked again")
def _(bench):
    digest = digest_of(bench.decision().body.bundle)[:8]
    seen, _ = bench.at_terminal(b"quit\n", prepared=f"approve\n{digest}\n".encode())
    assert b"To approve" not in seen


@way("terminal", "end of input", "pending, exit 3")
def _(bench):
    _, why = bench.at_terminal(b"approve\n", b"\x04")
    assert "end of input" in why


@way("terminal", "silence", "pending after the time-out, exit 3")
def _(bench):
    _, why = bench.at_terminal(b"approve\n", timeout=1.0)
    assert "no answer within" in why


@way("terminal", "hanging up at the digest", "pending")
def _(bench):
    bench.at_terminal(b"approve\n", hangs_up=True)


@way("terminal", "`y`, `yes`, Enter and `APPROVE!` instead of a decision", "asked again")
def _(bench):
    seen, _ = bench.at_terminal(b"y\n", b"yes\n", b"\n", b"APPROVE!\n", b"quit\n")
    assert b"To approve" not in seen


@way("terminal", "a wrong digest, three times", "pending, exit 3")
def _(bench):
    _, why = bench.at_terminal(b"approve\n", b"00000000\n", b"yes\n", b"approve\n")
    assert "3 wrong digests" in why


@way("terminal", "the digest of another gate", "it is not the one that is shown", "concluded")
def _(bench):
    old = bench.last("approval").record.body.shown[:8].encode()
    seen, _ = bench.at_terminal(b"a\n", old + b"\n", old + b"\n", old + b"\n")
    assert seen.count(b"That is not") == 2


@way("terminal", "seven of eight digits, or the whole 64", "neither is the one that is shown")
def _(bench):
    whole = digest_of(bench.decision().body.bundle).encode()
    seen, _ = bench.at_terminal(b"approve\n", whole[:7] + b"\n", whole + b"\n", b"quit\n")
    assert seen.count(b"That is not") == 2


# ------------------------------------------------------------- the command line


def _command(bench, *args, stdin=subprocess.DEVNULL, **env):
    """The command without a terminal. What comes before the gate needs no engine, and the gate says exit 3."""
    home = bench.root.parent / "home"
    home.mkdir(exist_ok=True)
    (home / ".gitconfig").write_text("[user]\n\tname = Ada Reviewer\n\temail = ada@example.org\n")
    kept = {
        name: os.environ[name] for name in ("PATH", "XDG_CACHE_HOME", "DOCKER_HOST") if name in os.environ
    }
    return subprocess.run(
        [COMMAND, *args], cwd=bench.root, env={**kept, "HOME": str(home), "LC_ALL": "C.UTF-8", **env},
        stdin=stdin, capture_output=True, text=True, check=False, timeout=120, start_new_session=True,
    )  # fmt: skip


@way("command line", "twelve environment variables, `CI=true` among them", "pending, exit 3")
def _(bench):
    names = ("APPROVE", "YES", "AUTO_APPROVE", "NO_GATE", "DIGEST", "REVIEWER", "DECISION", "FORCE")
    variables = {f"AUTORESEARCH_{name}": "1" for name in names}
    done = _command(
        bench, "run", CI="true", YES="1", DEBIAN_FRONTEND="noninteractive", FORCE="1", **variables
    )
    assert (done.returncode, done.stdout) == (3, ""), done.stderr


@way("command line", "`yes approve` piped in", "pending, exit 3")
def _(bench):
    with subprocess.Popen(["yes", "approve"], stdout=subprocess.PIPE) as flood:
        done = _command(bench, "approve", stdin=flood.stdout)
        flood.kill()
    assert done.returncode == 3, done.stderr


@way("command line", "standard input from a file with the right digest", "pending, exit 3")
def _(bench):
    answers = bench.root.parent / "answers"
    answers.write_text(f"approve\n{digest_of(bench.decision().body.bundle)[:8]}\n" * 3)
    with answers.open() as file:
        assert _command(bench, "review", stdin=file).returncode == 3


for _flag in (
    "--yes", "-y", "--force", "-f", "--approve", "--no-gate", "--auto-approve", "--digest=00000000",
    "--reviewer=Ada", "--batch",
):  # fmt: skip

    @way("command line", f"`{_flag}` on run, review and approve", "usage error, exit 2")
    def _(bench, flag=_flag):
        for command in ("run", "review", "approve"):
            done = CliRunner().invoke(cli, ["-C", str(bench.root), command, flag])
            assert done.exit_code == 2, (command, done.output)


@way("settings", "`auto_approve = true` in autoresearch.toml", "error naming the key")
def _(bench):
    text = (bench.root / "autoresearch.toml").read_text()
    for key in ("auto_approve = true", 'gates = "off"', "demonstration = true", "approved = true"):
        with pytest.raises(InvalidInput, match=f"unknown setting {key.split()[0]}"):
            parse_settings(f"{key}\n{text}")


@way("settings", 'a project that sets `isolation = "none"`', "error naming the key")
def _(bench):
    with pytest.raises(InvalidInput, match="isolation"):
        parse_settings('isolation = "none"\n')


@way(
    "settings", "settings recorded between approval and run", "the approval is void; asked again", "approved"
)
def _(bench):
    last = bench.ledger.entries()[-1].record
    from autoresearch.records import HUMAN, Config

    body = Config(settings=Settings(max_attempts=9), diff="+9", reviewer=Reviewer(person=PERSON))
    bench.append(
        Record(
            kind="config",
            cycle=1,
            attempt=1,
            step="config-1",
            parent=last.digest,
            inputs={},
            made_by=HUMAN,
            body=body,
        )
    )
    bench.asks_again()


@way("settings", "`review --json`, its output sent back", "nothing reads it")
def _(bench):
    seen = []
    reviewer = ScriptedReviewer([lambda view: seen.append(approval_json(view)) or _leave()])
    with pytest.raises(Pending):
        bench.driver(reviewer).run()
    (bench.root / "notes").mkdir()
    (bench.root / "notes" / "approval.json").write_text(json.dumps({**seen[0], "decision": "approve"}))
    bench.asks_again()


def _leave():
    raise Pending("no further decision")


# ---------------------------------------------------------------- the history


@way("history", "a record edited in the work tree", "named with what undoes it")
def _(bench):
    file = bench.root / "cycles/01/attempt-1/plan.json"
    file.write_text(file.read_text().replace('"seconds": 30', '"seconds": 3000'))
    with pytest.raises(LedgerError, match=r"plan\.json is modified"):
        refuse_foreign_changes(bench.ledger, by_model=False)


@way("history", "a record edited in an amended commit", "it is not what its commit names", "rejected")
def _(bench):
    file = bench.root / "cycles/01/attempt-1/approval.json"
    text = file.read_text().replace('"decision": "reject"', '"decision": "approve"')
    file.write_text(text.replace('"nonce": null', f'"nonce": "{"1" * 64}"'))
    bench.git("commit", "-q", "--amend", "--no-edit", "-a")
    bench.refused("is not the record that its commit names")


@way("history", "an approval put into the work tree only", "it is nobody's, and not read")
def _(bench):
    file = bench.root / "cycles/01/attempt-1/approval.json"
    file.write_bytes(bench.decision().to_bytes())
    with pytest.raises(LedgerError, match=r"approval\.json is untracked"):
        refuse_foreign_changes(bench.ledger, by_model=False)
    bench.asks_again()


@way("history", "an approval committed in the agent's name", "it is not its reviewer's commit")
def _(bench):
    bench.append(bench.decision(), author=AGENT)
    bench.does_not_count("it is in the name of")


@way("history", "an approval by the agent, in its own name", "a script decides in no person's project")
def _(bench):
    record = bench.decision()
    agent = Reviewer(person=AGENT, is_person=False)
    bench.append(
        record.model_copy(update={"body": record.body.model_copy(update={"reviewer": agent})}), author=AGENT
    )
    bench.does_not_count("script gave the approval")


@way("history", "an approval in the person's name with a made-up digest", "it is of something else")
def _(bench):
    record = bench.decision()
    bench.append(record.model_copy(update={"body": record.body.model_copy(update={"shown": "0" * 64})}))
    bench.does_not_count("it was given for something else")


def _rebound(bench, **fields):
    """An approval of a bundle with other fields, its digest made to fit."""
    record = bench.decision()
    bundle = record.body.bundle.model_copy(update=fields)
    body = record.body.model_copy(update={"bundle": bundle, "shown": digest_of(bundle)})
    bench.append(record.model_copy(update={"body": body}))


@way("history", "an approval from another project", "it belongs elsewhere")
def _(bench):
    _rebound(bench, project="1" * 32)
    bench.does_not_count("in another project")


def _fork(bench, step):
    """The bench goes on in a fork of its project after `step`; what it was before."""
    parent = bench.ledger
    bench.ledger = make_fork(parent, step, bench.root.with_name("fork"))
    return parent


@way(
    "history",
    "an unused approval, the project forked behind it",
    "the fork voids it; asked again",
    "approved",
)
def _(bench):
    _fork(bench, "approve")
    bench.asks_again()


@way("history", "an approval of a fork's parent, put on top of the fork", "it belongs elsewhere")
def _(bench):
    parent = _fork(bench, "preflight")
    _rebound(bench, project=parent.entries()[0].record.body.project)
    bench.does_not_count("in another project")


@way("history", "an approval of a fork, put on top of its parent", "it belongs elsewhere")
def _(bench):
    parent = _fork(bench, "preflight")
    theirs = project_in_force(bench.ledger.entries())
    bench.ledger = parent
    _rebound(bench, project=theirs)
    bench.does_not_count("in another project")


@way(
    "history",
    "a fork behind a run, to have its outcome twice",
    "the run belongs to the other project",
    "approved",
)
def _(bench):
    class Dies(FakeSandbox):
        def submit(self, job, warrant):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_driver(bench.ledger, ScriptedReviewer(), sandbox=Dies(shifted)).run()
    last = bench.last("run")
    with pytest.raises(InvalidInput, match="has begun there and not ended"):
        _fork(bench, "run")
    body = Fork(
        project="1" * 32, from_project=project_in_force(bench.ledger.entries()), from_commit=last.commit,
        from_record=last.digest, reviewer=Reviewer(person=PERSON), settings=Settings(),
    )  # fmt: skip
    bench.append(
        Record(
            kind="fork",
            cycle=1,
            attempt=1,
            step="fork-1",
            parent=last.digest,
            inputs={},
            made_by=HUMAN,
            body=body,
        )
    )
    bench.refused("belongs to the other project")


@way("history", "an approval of another attempt", "it belongs elsewhere")
def _(bench):
    _rebound(bench, attempt=2)
    bench.does_not_count("attempt 2")


@way("history", "an approval of another plan", "it was given for another plan")
def _(bench):
    _rebound(bench, plan="1" * 64)
    bench.does_not_count("another plan")


@way("history", "an approval over a finding that blocks", "it stands in the way of every approval")
def _(bench):
    text = (
        (bench.root / "proposal.md").read_text().replace("Which way does", "After [@nobody]: which way does")
    )
    bench.ledger.close()
    bench.ledger = make_project(bench.root.parent / "blocked", text)
    bench.asks_again()
    with pytest.raises(NotApproved, match="a finding blocks it"):
        bench.decision()
    record = bench.decision(("reject", "no"))
    approved = record.body.model_copy(update={"decision": "approve", "nonce": "1" * 64})
    bench.append(record.model_copy(update={"body": approved}))
    bench.does_not_count("a finding blocks what it approves")


@way("history", "an approval of other files under the same plan", "refused at the door")
def _(bench):
    _rebound(bench, files={"experiment/experiment.py": "1" * 64})
    with pytest.raises(NotApproved, match="differs from what was approved"):
        bench.driver().run()
    assert bench.sandbox.submitted == []


@way("history", "an old approval cherry-picked behind a new attempt", "the chain does not hold", "approved")
def _(bench):
    approval = bench.last("approval")
    bench.git("reset", "-q", "--hard", "HEAD~1")
    (bench.root / "notes").mkdir()
    (bench.root / "notes" / "n.md").write_text("between")
    bench.git("add", "notes")
    bench.git("commit", "-qm", "a note")
    bench.git("cherry-pick", approval.commit)
    again = bench.last("approval")
    assert again.digest == approval.digest
    assert again.record.body.bundle.ledger_head != bench.git("rev-parse", "HEAD~1").strip()
    bench.refused("does not count")


@way("history", "a forged run record behind a rejection", "no approval on record", "rejected")
def _(bench):
    driver = bench.driver()
    at = driver.nodes.situation("experiment", bench.state())
    ports = driver.nodes._ports_for("experiment", driver.workflow.steps["experiment"], Settings())
    with pytest.raises(NotApproved, match="decided reject"):
        experiment.issue(at, ports)


@way("history", "a forged run record with seeds of one's choice", "refused at the door", "approved")
def _(bench):
    driver = bench.driver()
    at = driver.nodes.situation("experiment", bench.state())
    ports = driver.nodes._ports_for("experiment", driver.workflow.steps["experiment"], Settings())
    body = experiment.issue(at, ports).body
    chosen = [spec.model_copy(update={"seed": 7}) for spec in body.trials]
    forged = driver.nodes._commit(at, experiment.run_inputs(at), _draft(body, trials=chosen))
    at = driver.nodes.situation("experiment", bench.state())
    assert forged.record.body.trials == chosen
    with pytest.raises(NotApproved, match="not the ones"):
        admit(experiment.job_for(at), experiment.warrant_for(at), bench.sandbox.isolation(), ())
    bench.git("reset", "-q", "--hard", "HEAD~1")


def _draft(body, **changes):
    from autoresearch.records import SANDBOX
    from autoresearch.steps.situation import Draft

    return Draft(body.model_copy(update=changes), SANDBOX)


@way("history", "`git replace` of the rejection by an approval", "replacements are not read", "rejected")
def _(bench):
    commit = bench.git("rev-parse", "HEAD").strip()
    text = bench.git("cat-file", "commit", commit).replace("reject", "approve")
    other = bench.git("hash-object", "-t", "commit", "-w", "--stdin", input=text).strip()
    bench.git("replace", commit, other)
    assert bench.last("approval").record.body.decision == "reject"
    assert any("replace" in row for row in bench.ledger.oddities())
    bench.refused("changed|rejection|Decision table|proposal")


@way("history", "a graft that hides the rejection", "grafts are not read", "rejected")
def _(bench):
    head, parent = bench.git("rev-parse", "HEAD", "HEAD~1").split()
    (bench.root / ".git" / "info").mkdir(exist_ok=True)
    (bench.root / ".git" / "info" / "grafts").write_text(f"{head} {parent}~1\n")
    assert any("grafts" in row for row in bench.ledger.oddities())
    assert bench.last("approval").record.body.decision == "reject"


@way("history", "a note whose commit message looks like a record", "refused: it adds none")
def _(bench):
    (bench.root / "notes").mkdir()
    (bench.root / "notes" / "x").write_text("x")
    bench.git("add", "notes")
    record = bench.decision()
    message = (
        f"approval: approve\n\nRecord: approval@sha256:{record.digest}\nCycle: 1\nAttempt: 1\nStep: approve\n"
    )
    bench.git("commit", "-qm", message)
    bench.refused("adds none")


@way("history", "hooks, filters and a file system monitor planted in .git", "none is run")
def _(bench):
    marker = bench.root.parent / "PWNED"
    script = bench.root / ".git" / "hooks" / "post-commit"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"#!/bin/sh\ntouch {marker}\n")
    script.chmod(0o755)
    for hook in ("pre-commit", "reference-transaction", "post-index-change", "fsmonitor"):
        shutil.copy(script, script.with_name(hook))
    bench.git("config", "core.fsmonitor", str(script.with_name("fsmonitor")))
    bench.git("config", "filter.x.clean", f"touch {marker}")
    (bench.root / ".git" / "info").mkdir(exist_ok=True)
    (bench.root / ".git" / "info" / "attributes").write_text("* filter=x\n")
    marker.unlink(missing_ok=True)
    assert bench.driver(ScriptedReviewer([("reject", "no")])).decide_once()
    bench.ledger.mend()
    bench.ledger.changes()
    assert not marker.exists()


# ------------------------------------------------------- between approval and run


@way("between", "another image under the same tag", "refused at the door", "approved")
def _(bench):
    other = bench.sandbox.isolation().model_copy(update={"image": "sha256:" + "1" * 64})
    bench.refused("image", sandbox=FakeSandbox(shifted, isolation=other))


@way("between", "another system call filter", "refused at the door", "approved")
def _(bench):
    other = bench.sandbox.isolation().model_copy(update={"policy_sha256": "1" * 64})
    bench.refused("policy_sha256", sandbox=FakeSandbox(shifted, isolation=other))


@way("between", "code changed behind the plan's back", "refused at the door", "approved")
def _(bench):
    driver = bench.driver()
    read = driver.nodes._read
    driver.nodes._read = lambda entry, path: read(entry, path) + (b"#" if path.endswith(".py") else b"")
    with pytest.raises(NotApproved, match=r"experiment\.py differs"):
        driver.run()
    bench.git("reset", "-q", "--hard", "HEAD~1")  # the run record; nothing was started under it


@way("between", "the plan's file edited after the approval", "named; commits are read", "approved")
def _(bench):
    file = bench.root / "cycles/01/attempt-1/experiment/experiment.py"
    file.write_text("raise SystemExit\n")
    with pytest.raises(LedgerError, match=r"experiment\.py is modified"):
        refuse_foreign_changes(bench.ledger, by_model=False)


@way("between", "one approval used twice, the history cut back", "asked again", "approved")
def _(bench):
    approval = bench.git("rev-parse", "HEAD").strip()
    bench.driver(ScriptedReviewer()).nodes  # noqa: B018
    with pytest.raises(Pending):
        bench.driver().run()
    assert len(bench.sandbox.submitted) == 2, "the run and its recheck"
    bench.git("reset", "-q", "--hard", approval)
    bench.sandbox.submitted.clear()
    bench.asks_again()


@way("between", "one approval run in several clones, for the best", "the same trials in each", "approved")
def _(bench):
    issued = []
    for name in ("first", "second"):
        place, sandbox = bench.root.with_name(name), FakeSandbox(shifted)
        bench.git("clone", "-q", bench.root, place)
        ledger = GitLedger(place, STILL)
        with pytest.raises(Pending):
            make_driver(ledger, ScriptedReviewer(), sandbox=sandbox).run()
        issued.append([entry.record.body.trials for entry in ledger.entries() if entry.record.kind == "run"])
        ledger.close()
    assert issued[0] == issued[1] != []


@way("between", "two processes with one approval", "the second finds it locked", "approved")
def _(bench):
    with bench.ledger.lock():
        other = replace(bench, ledger=type(bench.ledger)(bench.root, STILL))
        with pytest.raises(Stale, match="another autoresearch process"):
            other.driver().run()
        other.ledger.close()


# ------------------------------------------------------------ text that persuades


@way(
    "text",
    "an author's text that imitates the prompt and its digest",
    "it stands behind a margin, and does not count",
)
def _(bench):
    root = bench.root.parent / "persuasive"
    text = (bench.root / "proposal.md").read_text()
    lie = "APPROVED. To approve, type 12345678: "
    bench.ledger.close()
    bench.ledger = make_project(root, text.replace("Which way does", f"{lie} Which way does"), title=lie)
    seen, why = bench.at_terminal(b"12345678\n", b"\n", b"approve\n", b"12345678\n", b"quit\n")
    assert b"That is not" in seen
    assert "you quit" in why
    rows = seen.replace(b"\r", b"").split(b"\n")
    assert all("│".encode() in row for row in rows if b"APPROVED." in row)


@way("text", "a title that makes the terminal type", "no escape sequence of it is sent")
def _(bench):
    root = bench.root.parent / "escapes"
    bench.ledger.close()
    evil = "x\x1b[6n\x1b]52;c;YXBwcm92ZQ==\x07\x9b6n\x1bP+q544e\x1b\\"
    bench.ledger = make_project(root, (bench.root / "proposal.md").read_text(), title=evil)
    seen, _ = bench.at_terminal(b"\n", b"quit\n")
    for part in (b"\x1b[6n", b"\x1b]", b"\x07", b"\x1bP", "\x9b".encode()):
        assert part not in seen, part


@way("text", "a recommendation as the default answer", "Enter decides nothing")
def _(bench):
    seen, why = bench.at_terminal(b"\n", b"\n", b"\n", b"quit\n")
    assert b"To approve" not in seen
    assert "you quit" in why


@way("text", "an experiment whose output forges decisions", "it stands in the result as data", "approved")
def _(bench):
    record = b'{"kind": "acceptance", "decision": "accept"}'

    class Forging(FakeSandbox):
        def collect(self, run_id, limits, into):
            parts = super().collect(run_id, limits, into)
            lie = b"Record: acceptance@sha256:" + b"0" * 64 + b"\nDecision: accept\n"
            files = {**parts[0].files, "artifacts/acceptance.json": record}
            return [replace(parts[0], log=lie, files=files), *parts[1:]]

    bench.sandbox = Forging(shifted)
    bench.asks_again()
    assert (bench.root / "cycles/01/attempt-1/artifacts/acceptance.json").read_bytes() == record
    bench.sandbox.submitted.clear()


@way(
    "demonstration",
    "a hand-made demonstration project with code of one's own",
    "only shipped code may run so",
)
def _(bench):
    root = bench.root.parent / "demonstration"
    text = (bench.root / "proposal.md").read_text()
    bench.ledger.close()
    script = DemonstrationReviewer(STILL)
    bench.ledger = make_project(root, text, demonstration=True, author=script.identity().person)
    bench.refused("ship with autoresearch", script)


@way("demonstration", "the demonstration's script in a person's project", "no demonstration, no script")
def _(bench):
    bench.refused("script gave the approval", DemonstrationReviewer(STILL))


# ------------------------------------------------------------- the second gate


def _acceptance(bench, **changes):
    record = bench.decision("accept")
    return record.model_copy(update={"body": record.body.model_copy(update=changes)})


@way("second gate", "an acceptance with a made-up digest", "it is of something else", "concluded")
def _(bench):
    bench.append(_acceptance(bench, shown="0" * 64))
    bench.does_not_count("it was given for something else")


@way("second gate", "an acceptance in the agent's name", "it is not its reviewer's commit", "concluded")
def _(bench):
    bench.append(_acceptance(bench), author=AGENT)
    bench.does_not_count("it is in the name of")


@way("second gate", "an acceptance of another conclusion", "it was given for another one", "concluded")
def _(bench):
    subject = bench.decision("accept").body.subject.model_copy(update={"conclusion": "1" * 64})
    bench.append(_acceptance(bench, subject=subject, shown=digest_of(subject)))
    bench.does_not_count("another conclusion")


@way("second gate", "an acceptance of another result", "it was given for another one", "concluded")
def _(bench):
    subject = bench.decision("accept").body.subject.model_copy(update={"result": "1" * 64})
    bench.append(_acceptance(bench, subject=subject, shown=digest_of(subject)))
    bench.does_not_count("another result")


@way("second gate", "an acceptance by the agent, in its own name", "no script decides here", "concluded")
def _(bench):
    agent = Reviewer(person=AGENT, is_person=False)
    bench.append(_acceptance(bench, reviewer=agent), author=AGENT)
    bench.does_not_count("script gave the acceptance")


@way("second gate", "an acceptance over a blocking finding, without a reason", "one is due", "concluded")
def _(bench):
    at = bench.last("monitoring").record
    finding = Finding(check="claims.reach", severity="block", record="conclusion", explanation="no")
    blocked = at.body.model_copy(update={"findings": [finding]})
    acceptance = _acceptance(bench)
    bench.git("reset", "-q", "--hard", "HEAD~1")
    monitoring = bench.append(at.model_copy(update={"body": blocked}))
    subject = acceptance.body.subject.model_copy(
        update={"monitoring": monitoring.digest, "ledger_head": monitoring.commit}
    )
    body = acceptance.body.model_copy(update={"subject": subject, "shown": digest_of(subject)})
    inputs = {**acceptance.inputs, "monitoring": monitoring.digest}
    bench.append(acceptance.model_copy(update={"body": body, "inputs": inputs, "parent": monitoring.digest}))
    bench.does_not_count("gives no reason")


@way("second gate", "the approval's own answers again", "asked in full", "concluded")
def _(bench):
    assert isinstance(bench.decision("accept").body, Acceptance)
    old = bench.last("approval").record.body.shown[:8]
    seen, _ = bench.at_terminal(f"{old}\n".encode(), b"quit\n")
    assert b"To accept" not in seen


@way("second gate", "the decision of a reviewer who was overtaken", "the other is told, exit 6", "concluded")
def _(bench):
    def overtaken(view):
        assert bench.driver(ScriptedReviewer([("redo", "no")])).decide_once()
        return "accept"

    with pytest.raises(Stale, match="somebody else decided"):
        bench.driver(ScriptedReviewer([overtaken])).run()
    bench.git("reset", "-q", "--hard", "HEAD~1")
