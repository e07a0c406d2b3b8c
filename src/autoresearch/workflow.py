"""Parse `workflow.yaml` and refuse one that lets work get round a person.

Order is data; what a step does is code. A workflow names steps, the kind of record
each produces, its prompt and where to go next. Two rules are not data: a step that
can start a container is unreachable without an approval gate, and `writeup` is
unreachable without an acceptance gate.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from autoresearch.errors import InvalidInput
from autoresearch.records import Frozen, Line, ModelChoice, Name, first_problem

StepKind = Literal[
    "ideas", "critique", "plan", "prediction", "preflight", "approval",
    "result", "check", "conclusion", "monitoring", "acceptance", "report",
]  # fmt: skip

END = "end"
ROUTES: dict[StepKind, tuple[str, ...]] = {
    "approval": ("approve", "reject", "revise", "edit", "terminate"),
    "acceptance": ("accept", "revise", "redo", "reject", "follow-up"),
    "result": ("completed", "failed", "lost"),
}
"""Kinds whose record decides where to go; every other step has one successor."""
PASSES: dict[StepKind, frozenset[str]] = {
    "approval": frozenset({"approve"}),
    "acceptance": frozenset({"accept", "reject", "follow-up"}),
}
"""Decisions that open a gate. A rejected conclusion is written up too, as rejected."""
GATED: dict[StepKind, StepKind] = {"result": "approval", "check": "approval", "report": "acceptance"}
"""Steps that nothing may reach but through a gate: the first two can start a container."""
NEEDS: dict[StepKind, tuple[StepKind, ...]] = {
    "critique": ("ideas",),
    "plan": ("critique",),
    "prediction": ("plan",),
    "preflight": ("prediction",),
    "approval": ("preflight",),
    "check": ("result",),
    "conclusion": ("check",),
    "monitoring": ("conclusion",),
    "acceptance": ("monitoring",),
}
"""Records that must exist before a step of this kind."""
ONCE: frozenset[StepKind] = frozenset(
    {"plan", "prediction", "preflight", "result", "check", "conclusion", "report"}
)
"""Kinds that later steps look up by kind alone, so a workflow has exactly one step of each."""


class Step(Frozen):
    kind: StepKind
    """The record the step produces; this also chooses the code that runs."""
    prompt: Annotated[str, Field(max_length=200, pattern=r"^prompts/[a-z0-9-]+\.md$")] | None = None
    """Relative to the workflow's directory; for the steps a model can write."""
    model: Line | None = None
    """Instead of the project's default; the project's own table for the step comes before it."""
    next: Name | dict[str, Name]
    """The step that follows, or one for each decision; `end` ends the cycle."""

    @model_validator(mode="after")
    def _routes(self) -> "Step":
        decisions = ROUTES.get(self.kind)
        if decisions is None:
            if not isinstance(self.next, str):
                raise ValueError(f"{_a(self.kind)} step has one next step")
        elif not isinstance(self.next, dict) or set(self.next) != set(decisions):
            raise ValueError(f"next of {_a(self.kind)} step names a step for each of {', '.join(decisions)}")
        return self

    def successors(self) -> dict[str, str]:
        """Decision (empty where there is none) → step."""
        return dict(self.next) if isinstance(self.next, dict) else {"": self.next}


class Workflow(Frozen):
    """A graph of steps, safe to run: every rule of this module holds."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    name: Name
    start: Name
    steps: Annotated[dict[Name, Step], Field(min_length=1, max_length=60)]

    @model_validator(mode="after")
    def _sound(self) -> "Workflow":
        self._check_names()
        self._check_kinds()
        self._check_order()
        self._check_gates()
        return self

    def _check_names(self) -> None:
        if END in self.steps:
            raise ValueError(f"{END!r} is where a cycle ends and cannot be a step")
        for name in self.steps:
            if name in ModelChoice.model_fields:  # [model.price] in the settings would be read as the price
                raise ValueError(f"{name!r} is a setting of models and cannot be a step")
        known = [*self.steps, END]
        for origin, name in [("start", self.start), *self._edges()]:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ValueError(f"{origin} leads to unknown step {name!r}{hint}")
        unreachable = [name for name in self.steps if not self._path([self.start], name)]
        if unreachable:
            raise ValueError(f"nothing leads to {', '.join(unreachable)}")

    def _check_kinds(self) -> None:
        for kind in sorted(ONCE):
            steps = self._of_kind(kind)
            if len(steps) != 1:
                found = f"{len(steps)} ({', '.join(steps)})" if steps else "none"
                raise ValueError(f"a workflow has exactly one {kind} step, this has {found}")

    def _check_order(self) -> None:
        for name, step in self.steps.items():
            for needed in NEEDS.get(step.kind, ()):
                path = self._path([self.start], name, avoiding=self._of_kind(needed))
                if path:
                    raise ValueError(f"{name} can be reached without {_a(needed)} record: {_arrows(path)}")

    def _check_gates(self) -> None:
        """With the gate's opening decisions gone, the gated step must be out of reach.

        Not only from the start: also from the plan, so that an early gate does not
        stand in for the late one, and from the step itself, so that a second run
        needs a second approval.
        """
        for name, step in self.steps.items():
            gate = GATED.get(step.kind)
            if gate is None:
                continue
            again = [to for to in step.successors().values() if step.kind == "result"]
            planned = [to for plan in self._of_kind("plan") for to in self.steps[plan].successors().values()]
            for starts in ([self.start], planned, again):
                path = self._path(starts, name, closed_gate=gate)
                if path:
                    raise ValueError(
                        f"{name} can be reached without passing {_a(gate)} gate: {_arrows(path)}"
                    )

    def _of_kind(self, kind: StepKind) -> list[str]:
        return [name for name, step in self.steps.items() if step.kind == kind]

    def _edges(self) -> list[tuple[str, str]]:
        return [(name, to) for name, step in self.steps.items() for to in step.successors().values()]

    def _path(
        self,
        starts: Iterable[str],
        target: str,
        *,
        avoiding: Iterable[str] = (),
        closed_gate: StepKind | None = None,
    ) -> list[str]:
        """Shortest path to `target`; empty if there is none."""
        seen = {END, *avoiding}
        paths = [[name] for name in starts if name not in seen]
        for path in paths:
            if path[-1] == target:
                return path
            step = self.steps[path[-1]]
            for decision, to in step.successors().items():
                opens = step.kind == closed_gate and decision in PASSES[step.kind]
                if to not in seen and not opens:
                    seen.add(to)
                    paths.append([*path, to])
        return []

    def from_step(self, name: str) -> set[str]:
        """The step and every one that can follow it in this cycle."""
        return {step for step in self.steps if self._path([name], step)}

    def only(self, kind: StepKind) -> str:
        """The name of the one step of a kind in `ONCE`."""
        return next(name for name, step in self.steps.items() if step.kind == kind)


def parse_workflow(text: str, source: str = "workflow.yaml") -> Workflow:
    """Raises InvalidInput naming the problem, and for a gate the path that avoids it."""
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InvalidInput(f"{source}{line}: not YAML: {getattr(error, 'problem', error)}") from error
    if not isinstance(data, dict):
        raise InvalidInput(f"{source}: a workflow is a mapping with schema, name, start and steps")
    try:
        return Workflow.model_validate(data)
    except ValidationError as error:
        raise InvalidInput(f"{source}: {_with_hint(error)}") from error


def workflow_schema() -> Mapping[str, object]:
    """JSON Schema of workflow.yaml."""
    return Workflow.model_json_schema(by_alias=True)


def _with_hint(error: ValidationError) -> str:
    problem = error.errors()[0]
    message = first_problem(error)
    if problem["type"] == "extra_forbidden":
        known = [*Step.model_fields, "schema", "name", "start", "steps"]
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        where = ".".join(str(part) for part in problem["loc"])
        message = f"{where}: unknown key" + (f"; did you mean {near[0]}?" if near else "")
    return message


def _a(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _arrows(path: list[str]) -> str:
    return " → ".join(path)
