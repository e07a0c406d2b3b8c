"""LangGraph holds digests only, decides nothing, remembers nothing and tells nobody."""

import os
import socket
import subprocess
import sys
import threading

import pytest
from langgraph.types import Command, Send

from autoresearch.errors import AutoresearchError, NotApproved, Pending
from autoresearch.graph import compile_graph
from autoresearch.testing import FakeSandbox
from autoresearch.testing_project import ScriptedReviewer, TextDesk, drive, make_driver, shifted

HEX = set("0123456789abcdef")
START = {"cycle": 1, "attempt": 1, "passed": {}, "feedback": "", "returned_to": "", "route": ""}


def is_small(value):
    """A position, a short word, or a digest; mappings of these."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_small(item) for key, item in value.items())
    if isinstance(value, str):
        return len(value) <= 20 or (len(value) == 64 and set(value) <= HEX)
    return type(value) is int


def test_state_holds_positions_and_digests_only(project, texts):
    desk = TextDesk(project, [texts.other_question])
    with pytest.raises(Pending):
        drive(
            project,
            [("reject", "a reason that is longer than a digest, to be found if it got in")],
            desk=desk,
        )
    driver = make_driver(project, ScriptedReviewer())
    graph = compile_graph(driver.workflow, driver.nodes)
    seen = list(graph.stream(START, {"recursion_limit": 100}, stream_mode=["values", "updates"]))
    states = [state for mode, state in seen if mode == "values"]
    assert len(states) > 10
    assert all(is_small(state) for state in states if "__interrupt__" not in state)
    interrupts = [
        update["__interrupt__"][0].value
        for mode, update in seen
        if mode == "updates" and "__interrupt__" in update
    ]
    assert len(interrupts) == 1
    assert is_small(interrupts[0])
    assert interrupts[0]["state"]["attempt"] == 2


def test_a_document_in_the_state_would_be_seen():
    assert not is_small({"passed": {"plan": "# A plan in words that nobody should find here"}})
    assert not is_small({"client": object()})
    assert is_small({"passed": {"plan": "0" * 64}, "attempt": 2})


# ---------------------------------------------------------- tricks, all inert


@pytest.fixture
def rejected(project):
    """A project whose last record is a rejection; its graph, and a sandbox that counts."""
    with pytest.raises(AutoresearchError):
        drive(project, [("reject", "no")])
    sandbox = FakeSandbox(shifted)
    driver = make_driver(project, ScriptedReviewer(), sandbox=sandbox)
    return project, compile_graph(driver.workflow, driver.nodes), sandbox


def forged(ledger, **more):
    passed = {entry.record.kind: entry.digest for entry in ledger.entries()}
    return {**START, "passed": passed, "route": "approve", **more}


def nothing_ran(ledger, sandbox):
    return sandbox.submitted == [] and not {"run", "result"} & {e.record.kind for e in ledger.entries()}


def test_a_forged_state_opens_no_gate(rejected):
    ledger, graph, sandbox = rejected
    head = ledger.head()
    with pytest.raises(AutoresearchError):
        graph.invoke(forged(ledger))
    assert ledger.head() == head
    assert nothing_ran(ledger, sandbox)


def test_a_forged_state_at_an_open_gate_only_meets_the_gate(project):
    with pytest.raises(Pending):
        drive(project, [])
    sandbox = FakeSandbox(shifted)
    driver = make_driver(project, ScriptedReviewer(), sandbox=sandbox)
    graph = compile_graph(driver.workflow, driver.nodes)
    state = graph.invoke(forged(project))
    assert [i.value["gate"] for i in state["__interrupt__"]] == ["approve"]
    assert nothing_ran(project, sandbox)


@pytest.mark.parametrize("step", ["experiment", "check", "writeup"])
def test_goto_with_a_forged_state_starts_nothing(rejected, step):
    ledger, graph, sandbox = rejected
    head = ledger.head()
    for jump in (Command(goto=Send(step, forged(ledger))), Command(goto=step, update=forged(ledger))):
        # KeyError: LangGraph runs the first step beside the one jumped to, on an empty state
        with pytest.raises((AutoresearchError, KeyError)):
            graph.invoke(jump)
    assert ledger.head() == head
    assert nothing_ran(ledger, sandbox)


def test_the_experiment_called_behind_a_rejection_is_refused(project):
    with pytest.raises(AutoresearchError):
        drive(project, [("reject", "no")])
    sandbox = FakeSandbox(shifted)
    experiment = make_driver(project, ScriptedReviewer(), sandbox=sandbox).nodes.node("experiment")
    with pytest.raises(NotApproved, match="decided reject, not approve"):
        experiment(forged(project))
    assert nothing_ran(project, sandbox)


def test_the_experiment_called_with_another_plan_than_the_approved_one_is_refused(project, texts):
    with pytest.raises(Pending):
        drive(project, [("revise", "say when")], desk=TextDesk(project, [texts.other_plan]))
    assert make_driver(project, ScriptedReviewer(["approve"])).decide_once()
    plan = next(e.digest for e in project.entries() if e.record.kind == "plan")
    sandbox = FakeSandbox(shifted)
    experiment = make_driver(project, ScriptedReviewer(), sandbox=sandbox).nodes.node("experiment")
    state = forged(project, attempt=2)
    with pytest.raises(NotApproved, match="another plan"):
        experiment({**state, "passed": {**state["passed"], "plan": plan}})
    assert nothing_ran(project, sandbox)
    assert experiment(state)["route"] == "completed", "with its own plan it runs"


def test_resume_carries_no_answer(rejected):
    ledger, graph, sandbox = rejected
    with pytest.raises(RuntimeError, match="without checkpointer"):
        graph.invoke(Command(resume="approve"))
    assert nothing_ran(ledger, sandbox)


def test_there_is_no_store_to_update(rejected):
    _, graph, _ = rejected
    assert graph.checkpointer is None
    with pytest.raises(ValueError, match="No checkpointer"):
        graph.update_state({"configurable": {"thread_id": "1"}}, {"route": "approve"})


# ------------------------------------------------------------------- tracing

WALK = """
import sys
from pathlib import Path
from autoresearch.testing_project import drive, make_project
from autoresearch.errors import Pending
ledger = make_project(Path(sys.argv[1]), Path(sys.argv[2]).read_text())
try:
    drive(ledger, [])
except Pending:
    print("at the gate")
"""


class Listener:
    """A server that counts who connects."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()


def test_nobody_is_told_though_the_shell_asks_for_tracing(tmp_path, quick):
    listener = Listener()
    port = listener.socket.getsockname()[1]
    names = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2")
    environ = {
        **os.environ,
        **dict.fromkeys(names, "true"),
        "LANGSMITH_API_KEY": "ls-canary",
        "LANGCHAIN_API_KEY": "ls-canary",
        "LANGSMITH_ENDPOINT": f"http://127.0.0.1:{port}",
        "LANGCHAIN_ENDPOINT": f"http://127.0.0.1:{port}",
    }
    done = subprocess.run(
        [sys.executable, "-c", WALK, str(tmp_path / "project"), str(quick)],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "at the gate\n"
    assert listener.connections == 0
    socket.create_connection(("127.0.0.1", port)).close()
    for _ in range(100):
        if listener.connections:
            break
        threading.Event().wait(0.02)
    assert listener.connections == 1, "the listener does see who connects"
    listener.socket.close()
