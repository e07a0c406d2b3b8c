"""Compile a workflow to a LangGraph graph, and walk it once.

LangGraph holds no state between walks: there is no checkpointer and no resume. The
ledger is the only memory, so nothing can disagree with it.
"""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

# LangGraph uploads its state to a tracing service if the user's shell asks for it.
for _variable in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"):
    os.environ[_variable] = "false"

from langgraph.graph import END, START, StateGraph  # noqa: E402 - after tracing is off
from langgraph.graph.state import CompiledStateGraph  # noqa: E402

from autoresearch.nodes import Nodes, State  # noqa: E402
from autoresearch.workflow import END as WORKFLOW_END  # noqa: E402
from autoresearch.workflow import Workflow  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Hashable

    from langgraph.graph.state import CompiledStateGraph

STEPS_PER_ATTEMPT = 40
"""LangGraph's recursion limit has to cover every attempt of a cycle, walked in one go."""


@dataclass(frozen=True)
class OpenGate:
    """A gate without a record: a person has to decide."""

    step: str
    state: State


@dataclass(frozen=True)
class CycleEnded:
    state: State


def compile_graph(workflow: Workflow, nodes: Nodes) -> "CompiledStateGraph[State]":
    graph = StateGraph(State)
    for name, step in workflow.steps.items():
        graph.add_node(name, nodes.node(name))
        routes: dict[Hashable, str] = {decision: _target(to) for decision, to in step.successors().items()}
        if isinstance(step.next, str):
            graph.add_edge(name, _target(step.next))
        else:
            graph.add_conditional_edges(name, _route, routes)
    graph.add_edge(START, workflow.start)
    return graph.compile()


def walk(workflow: Workflow, nodes: Nodes, cycle: int, max_attempts: int) -> OpenGate | CycleEnded:
    """One pass over a cycle from its start: to an open gate, or to its end."""
    start: State = {
        "cycle": cycle,
        "attempt": 1,
        "passed": {},
        "feedback": "",
        "returned_to": "",
        "route": "",
    }
    limit = STEPS_PER_ATTEMPT * (max_attempts + 1) * max(1, len(workflow.steps) // 12)
    state = compile_graph(workflow, nodes).invoke(start, {"recursion_limit": limit})
    interrupts = state.pop("__interrupt__", ())
    if interrupts:
        payload = interrupts[0].value
        return OpenGate(payload["gate"], payload["state"])
    return CycleEnded(cast("State", state))


def _route(state: State) -> str:
    return state["route"]


def _target(name: str) -> str:
    return END if name == WORKFLOW_END else name
