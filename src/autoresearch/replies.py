"""What a model fills in, step by step, and the record body each reply becomes.

The types hold no mapping with free keys (structured output cannot describe one),
so pairs stand as lists. A reply that would not make a valid body is itself
invalid, with a message the model can act on: the one repair sees it.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, JsonValue, TypeAdapter, ValidationError, model_validator
from pydantic.json_schema import models_json_schema

from autoresearch import experiment_code
from autoresearch.errors import InvalidInput
from autoresearch.records import (
    OUTCOMES,
    Arm,
    Assumption,
    BaseRate,
    Claim,
    ClaimDraft,
    Conclusion,
    Contrast,
    Controls,
    Critique,
    Decision,
    Finding,
    Forecast,
    Formula,
    Frozen,
    Hypothesis,
    Idea,
    Ideas,
    Kind,
    Line,
    MetricCard,
    Name,
    Objection,
    PlanDraft,
    Probability,
    ProxyCard,
    Registration,
    ResourceLimits,
    SecondaryContrast,
    Text,
    file_ref,
    require_unique,
)

FORECASTER = "agent"

Code = Annotated[str, Field(min_length=1, max_length=200_000)]
"""A source file: larger than `Text`, still bounded."""


def explain(error: ValidationError, limit: int = 10) -> str:
    """Every problem (at most `limit`) as `field.path: what is wrong`, one a line, for a model or a person."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False)[:limit]:
        path = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{path}: {message}" if path else message)
    left = error.error_count() - len(lines)
    return "\n".join([*lines, f"and {left} more"] if left > 0 else lines)


class StepReply(Frozen):
    """A reply that knows the body it becomes, and is valid only if that body is."""

    def to_body(self) -> object:
        """Raises InvalidInput naming the field and what it must be."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _makes_a_body(self) -> "StepReply":
        try:
            self.to_body()
        except (InvalidInput, ValidationError) as error:
            raise ValueError(explain(error) if isinstance(error, ValidationError) else str(error)) from error
        return self


# --------------------------------------------------------------------- ideate


class WhyNot(Frozen):
    id: Name
    why: Text


class IdeasReply(StepReply):
    question: Line
    candidates: Annotated[list[Idea], Field(min_length=3, max_length=20)]
    chosen: Name
    why: Text
    why_not: list[WhyNot]

    def to_body(self) -> Ideas:
        candidates = [idea.id for idea in self.candidates]
        ids = [item.id for item in self.why_not]
        refuse_twice(candidates, "candidate ids")
        refuse_twice(ids, "why_not ids")
        unknown = set(ids) - set(candidates)
        if unknown:
            raise InvalidInput(f"why_not names {', '.join(sorted(unknown))}, which is no candidate")
        return Ideas(
            question=self.question,
            candidates=self.candidates,
            chosen=self.chosen,
            why=self.why,
            why_not={item.id: item.why for item in self.why_not},
        )


# ------------------------------------------------------------------- critique


class CritiqueReply(StepReply):
    assumptions: Annotated[list[Assumption], Field(min_length=1, max_length=100)]
    objections: Annotated[list[Objection], Field(min_length=1, max_length=100)]
    proxy: ProxyCard | None

    def to_body(self, findings: Sequence[Finding] = ()) -> Critique:
        """`findings` are the rules', made from this body's other fields."""
        refuse_twice([item.id for item in self.assumptions], "assumption ids")
        refuse_twice([item.id for item in self.objections], "objection ids")
        return Critique(
            assumptions=self.assumptions,
            objections=self.objections,
            proxy=self.proxy,
            findings=list(findings),
        )


# ----------------------------------------------------------------------- plan


class RoleOfArray(Frozen):
    role: Name
    array: Name
    """Its name in what `run_trial` returns."""


class MetricReply(Frozen):
    name: Name
    formula: Formula
    arrays: Annotated[list[RoleOfArray], Field(min_length=1, max_length=4)]
    q: float | None
    unit: Line
    low: float | None
    high: float | None
    better: Literal["higher", "lower", "neither"]
    how_gamed: Line

    def to_card(self) -> MetricCard:
        refuse_twice([item.role for item in self.arrays], "metric roles")
        arrays = {item.role: item.array for item in self.arrays}
        return MetricCard.model_validate({**self.model_dump(), "arrays": arrays})


class ControlCheckReply(Frozen):
    """A control that the run itself shows; `arrays` empty: the measure's own."""

    role: Literal["positive", "negative"]
    arm: Name
    minus: Name | None
    arrays: Annotated[list[RoleOfArray], Field(max_length=4)]
    low: float | None
    high: float | None


class ControlsReply(Frozen):
    positive: Line
    negative: Line
    checks: Annotated[list[ControlCheckReply], Field(max_length=20)] = Field(default_factory=list)

    def to_controls(self) -> Controls:
        for check in self.checks:
            refuse_twice([item.role for item in check.arrays], "control roles")
        checks = [
            {**check.model_dump(), "arrays": {item.role: item.array for item in check.arrays}}
            for check in self.checks
        ]
        return Controls.model_validate({**self.model_dump(), "checks": checks})


class ConfigItem(Frozen):
    """One value passed to every trial."""

    name: Name
    value: bool | int | float | str | list[int | float] | list[str]


class LimitsReply(Frozen):
    seconds: int
    memory_mb: int
    cpus: float
    output_mb: int
    gpus: int


class SourceFile(Frozen):
    path: Line
    """Starts with `experiment/`."""
    content: Code


class PlanReply(StepReply):
    question: Line
    hypotheses: Annotated[list[Hypothesis], Field(min_length=1, max_length=20)]
    arms: Annotated[list[Arm], Field(min_length=2, max_length=50)]
    metric: MetricReply
    contrast: Contrast
    trials_per_arm: int
    stopping_rule: Line
    exclusions: Line
    controls: ControlsReply
    decision_table: list[Decision]
    secondary: Annotated[list[SecondaryContrast], Field(max_length=20)] = Field(default_factory=list)
    expected_sd: float | None = None
    registration: Registration = Registration()
    config: list[ConfigItem]
    limits: LimitsReply
    command: Annotated[list[Line], Field(max_length=100)]
    """Empty: `run_trial` of `experiment/experiment.py` is called."""
    files: Annotated[list[SourceFile], Field(min_length=1, max_length=50)]

    def to_body(self) -> tuple[PlanDraft, dict[str, bytes]]:
        """The plan, and its files by path below the attempt's directory."""
        missing = set(OUTCOMES) - {row.outcome for row in self.decision_table}
        if missing:
            raise InvalidInput(f"the decision table lacks a row for {', '.join(sorted(missing))}")
        refuse_twice([item.name for item in self.config], "config names")
        config: dict[str, JsonValue] = {item.name: item.model_dump()["value"] for item in self.config}
        try:
            draft = PlanDraft(
                question=self.question,
                hypotheses=self.hypotheses,
                arms=self.arms,
                metric=self.metric.to_card(),
                contrast=self.contrast,
                trials_per_arm=self.trials_per_arm,
                stopping_rule=self.stopping_rule,
                exclusions=self.exclusions,
                controls=self.controls.to_controls(),
                decision_table=self.decision_table,
                secondary=self.secondary,
                expected_sd=self.expected_sd,
                registration=self.registration,
                config=config,
                command=self.command,
                limits=ResourceLimits.model_validate(self.limits.model_dump()),
            )
        except ValidationError as error:
            raise InvalidInput(explain(error)) from error
        return draft, experiment_files(self.files, called=not self.command)


def experiment_files(files: Sequence[SourceFile], *, called: bool) -> dict[str, bytes]:
    """Path → bytes. Raises InvalidInput for a bad path and Python that does not parse.

    `called`: the harness calls `run_trial`, so the main file must be there and define it.
    """
    refuse_twice([item.path for item in files], "file paths")
    found: dict[str, bytes] = {}
    for item in files:
        if not item.path.startswith("experiment/"):
            raise InvalidInput(f"file path {item.path!r} must start with experiment/")
        data = item.content.encode()
        try:
            file_ref(item.path, data)
        except ValidationError as error:
            raise InvalidInput(f"file path {item.path!r}: {explain(error)}") from error
        if item.path.endswith(".py"):
            refuse_bad_python(item.path, item.content, called=called)
        found[item.path] = data
    if called and experiment_code.MAIN not in found:
        raise InvalidInput(f"the files lack {experiment_code.MAIN}")
    return found


def refuse_bad_python(path: str, source: str, *, called: bool) -> None:
    """Raises InvalidInput with the line of a syntax error or of a breach of the contract."""
    tree = experiment_code.parse(source)
    if isinstance(tree, experiment_code.CodeProblem):
        raise InvalidInput(f"{path} line {tree.line}: {tree.message}")
    if called and path == experiment_code.MAIN:
        for problem in experiment_code.contract_problems(tree):
            raise InvalidInput(f"{path} line {problem.line}: {problem.message}")


# -------------------------------------------------------------------- predict


Guess = Annotated[str, Field(max_length=500, pattern=r"^[^\r\n]*$")]
"""What will be seen, without a hedge; how sure one is stands in the probabilities. May be empty."""


class QuantileForecast(Frozen):
    shape: Literal["quantile"]
    about: Line
    """`contrast` or `metric:<arm>`."""
    q10: float
    q50: float
    q90: float
    primary: bool
    best_guess: Guess
    reasoning: Text

    def to_forecast(self, ident: str) -> Forecast:
        return Forecast(
            id=ident,
            forecaster=FORECASTER,
            shape="quantile",
            about=self.about,
            quantiles=(self.q10, self.q50, self.q90),
            primary=self.primary,
            best_guess=self.best_guess,
            reasoning=self.reasoning,
        )


class BinaryForecast(Frozen):
    """How likely the primary contrast is to lie above or below a threshold."""

    shape: Literal["binary"]
    relation: Literal["above", "below"]
    threshold: float
    p: Probability
    base_rate: BaseRate | None
    primary: bool
    best_guess: Guess
    reasoning: Text

    def to_forecast(self, ident: str) -> Forecast:
        sign = ">" if self.relation == "above" else "<"
        return Forecast(
            id=ident,
            forecaster=FORECASTER,
            shape="binary",
            about=f"contrast {sign} {self.threshold!r}",
            p=self.p,
            primary=self.primary,
            base_rate=self.base_rate,
            best_guess=self.best_guess,
            reasoning=self.reasoning,
        )


class OutcomeForecast(Frozen):
    """How likely each outcome of the primary contrast is; the four sum to 1."""

    shape: Literal["categorical"]
    positive: Probability
    negative: Probability
    negligible: Probability
    inconclusive: Probability
    primary: bool
    best_guess: Guess
    reasoning: Text

    def to_forecast(self, ident: str) -> Forecast:
        return Forecast(
            id=ident,
            forecaster=FORECASTER,
            shape="categorical",
            about="outcome",
            categories={
                "positive": self.positive,
                "negative": self.negative,
                "negligible": self.negligible,
                "inconclusive": self.inconclusive,
            },
            primary=self.primary,
            best_guess=self.best_guess,
            reasoning=self.reasoning,
        )


AnyForecast = Annotated[QuantileForecast | BinaryForecast | OutcomeForecast, Field(discriminator="shape")]


class PredictionReply(StepReply):
    """`prediction_reply` narrows this to the arms of one plan."""

    arms: ClassVar[tuple[str, ...] | None] = None

    forecasts: Annotated[list[AnyForecast], Field(min_length=1, max_length=50)]

    def to_body(self) -> list[Forecast]:
        """In the order given, with ids `f1`, `f2` …"""
        for item in self.forecasts:
            if isinstance(item, QuantileForecast):
                self._known(item.about)
        made = []
        for number, item in enumerate(self.forecasts, start=1):
            try:
                made.append(item.to_forecast(f"f{number}"))
            except ValidationError as error:
                raise InvalidInput(f"forecasts.{number - 1}: {explain(error)}") from error
        if sum(forecast.primary for forecast in made) != 1:
            raise InvalidInput("exactly one forecast must have primary true")
        return made

    def _known(self, about: str) -> None:
        if about == "contrast":
            return
        arm = about.removeprefix("metric:")
        if arm == about or (self.arms is not None and arm not in self.arms):
            arms = "<arm>" if self.arms is None else " or metric:".join(self.arms)
            raise InvalidInput(f"a quantile forecast is about contrast or metric:{arms}, not {about!r}")


def prediction_reply(arms: Sequence[str]) -> type[PredictionReply]:
    """`PredictionReply` for a plan with these arms: a forecast about any other is invalid."""
    return type("PredictionReply", (PredictionReply,), {"__module__": __name__, "arms": tuple(arms)})


# ------------------------------------------------------------------- conclude


def ungraded(draft: ClaimDraft) -> Claim:
    return Claim(**draft.model_dump(), grade="E0")


class ConclusionReply(StepReply):
    claims: Annotated[list[ClaimDraft], Field(min_length=1, max_length=50)]
    takeaway: Line
    does_not_show: Annotated[list[Line], Field(min_length=1, max_length=50)]
    surprise_explained: Text
    prose: Text

    def to_body(self, complete: Callable[[ClaimDraft], Claim] = ungraded) -> Conclusion:
        """`complete` adds what is not for the author to say."""
        return Conclusion(
            claims=[complete(claim) for claim in self.claims],
            takeaway=self.takeaway,
            does_not_show=self.does_not_show,
            surprise_explained=self.surprise_explained,
            prose=self.prose,
        )


# -------------------------------------------------------------------- writeup


class ReportReply(Frozen):
    """Prose for the report; tables, figures and the list of attempts come from the records."""

    title: Line
    abstract: Annotated[Text, Field(min_length=1)]
    discussion: Annotated[Text, Field(min_length=1)]
    limitations: Annotated[list[Text], Field(min_length=1, max_length=50)]


# ---------------------------------------------------------------------- forms

REPLIES: dict[Kind, type[BaseModel]] = {
    "ideas": IdeasReply,
    "critique": CritiqueReply,
    "plan": PlanReply,
    "prediction": PredictionReply,
    "conclusion": ConclusionReply,
    "report": ReportReply,
}
"""By the kind of record that a reply becomes."""


_COMMON: dict[str, dict[str, object]] = {
    name: TypeAdapter(kind).json_schema() for name, kind in (("Name", Name), ("Line", Line))
}
"""Schemas that stand in nearly every field."""
_LEFT_OUT = ("title", "description", "additionalProperties", "discriminator")


@cache
def forms() -> str:
    """The schemas of all replies as one JSON object, by the kind of record; what they share stands once.

    One text for all steps: it is a part of what their requests have in common.
    """
    places, found = models_json_schema([(reply, "validation") for reply in REPLIES.values()])
    parts = {name: _plain(part) for name, part in found["$defs"].items()}
    own = {
        kind: parts.pop(places[reply, "validation"]["$ref"].rpartition("/")[2])
        for kind, reply in REPLIES.items()
    }
    return json.dumps({**own, "$defs": _COMMON | parts}, ensure_ascii=False, separators=(",", ":"))


def _plain(schema: Any) -> Any:
    """Without titles, descriptions and what holds of every object; names and lines by reference."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    for name, common in _COMMON.items():
        if schema.items() >= common.items() and "default" not in schema:
            return {"$ref": f"#/$defs/{name}"}
    kept = {key: _plain(value) for key, value in schema.items() if key not in (*_LEFT_OUT, "properties")}
    if "properties" in schema:  # by name, and a field may be called title
        kept["properties"] = {name: _plain(part) for name, part in schema["properties"].items()}
    return kept


# -------------------------------------------------------------------- helpers


def refuse_twice(values: list[str], what: str) -> None:
    try:
        require_unique(values, what)
    except ValueError as error:
        raise InvalidInput(str(error)) from error
