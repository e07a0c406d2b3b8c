"""The sections of a proposal, one reader each: a section in, records out.

Every reader raises InvalidInput with `source:LINE: section: why` for what it cannot read.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator

from autoresearch import experiment_code, yaml_lines
from autoresearch.errors import InvalidInput
from autoresearch.layout import LOCK_FILE
from autoresearch.markdown_sections import Fence, Section
from autoresearch.records import (
    OUTCOMES,
    Arm,
    Assumption,
    BaseRate,
    Contrast,
    Controls,
    Decision,
    Forecast,
    Frozen,
    Hypothesis,
    Line,
    MetricCard,
    Name,
    Outcome,
    Probability,
    ProxyCard,
    Registration,
    ResourceLimits,
    SecondaryContrast,
    Text,
    clip,
    file_ref,
    first_problem,
    plain_conclusion,
    require_unique,
)

IMAGE = re.compile(r"sha256:[0-9a-f]{64}")


class ProxyTexts(Frozen):
    """The section `Target and proxy`, with or without its two figures."""

    target: Line
    proxy: Line
    dynamic: Line
    disanalogies: list[Line] = Field(default_factory=list)
    p_given_target: Annotated[float, Field(gt=0, lt=1)] | None = None
    p_given_not: Annotated[float, Field(gt=0, lt=1)] | None = None
    prior: Probability = 0.5
    reference_class: Line = "none named"

    @model_validator(mode="after")
    def _both_or_neither(self) -> "ProxyTexts":
        if (self.p_given_target is None) != (self.p_given_not is None):
            raise ValueError("give both p_given_target and p_given_not, or neither")
        return self

    def card(self) -> ProxyCard | None:
        """None without the figures: then nothing bounds what the proxy says about the target."""
        return None if self.p_given_target is None else ProxyCard(**self.model_dump())


class PlanTexts(Frozen):
    """The keys of the section `Plan`; the rest of a plan stands in sections of its own."""

    arms: Annotated[list[Arm], Field(min_length=2, max_length=50)]
    metric: MetricCard
    contrast: Contrast
    trials_per_arm: Annotated[int, Field(ge=1, le=100_000)]
    stopping_rule: Line
    exclusions: Line
    controls: Controls
    secondary: Annotated[list[SecondaryContrast], Field(max_length=20)] = Field(default_factory=list)
    expected_sd: Annotated[float, Field(gt=0)] | None = None
    registration: Registration = Registration()
    config: dict[str, JsonValue] = Field(default_factory=dict)
    limits: ResourceLimits = ResourceLimits()


class InputTexts(Frozen):
    """One item of `inputs`: data of the person's that the experiment may read."""

    name: Name
    path: Line
    """A file or directory, from the proposal's own directory or absolute."""


class ExperimentTexts(Frozen):
    """The optional yaml block of the section `Experiment`."""

    command: Annotated[list[Line], Field(max_length=100)] = Field(default_factory=list)
    environment: Line | None = None
    inputs: Annotated[list[InputTexts], Field(max_length=100)] = Field(default_factory=list)

    @field_validator("environment")
    @classmethod
    def _known(cls, environment: str | None) -> str | None:
        if environment is not None and environment != LOCK_FILE and not IMAGE.fullmatch(environment):
            raise ValueError(
                f"must be {LOCK_FILE}, a file beside the proposal, or an image's full ID: "
                "sha256: and 64 hex digits, as `docker image inspect -f '{{.Id}}' NAME` prints it"
            )
        return environment

    @model_validator(mode="after")
    def _names(self) -> "ExperimentTexts":
        require_unique([item.name for item in self.inputs], "input names")
        return self


class _Expectation(Frozen):
    """One item of the section `Predictions`."""

    about: Line
    p: Probability | None = None
    quantiles: tuple[float, float, float] | None = None
    categories: dict[Outcome, Probability] | None = None
    primary: bool = False
    best_guess: Annotated[str, Field(max_length=500, pattern=r"^[^\r\n]*$")] = ""
    base_rate: BaseRate | None = None
    reasoning: Text = ""


def refusal(source: str, line: int, message: str) -> InvalidInput:
    return InvalidInput(f"{source}:{line}: {message}")


def read_yaml(section: Section, source: str, kind: Any) -> Any:
    """The section's one yaml block as `kind`."""
    return yaml_lines.typed(_located(section, source), kind, section.name)


def _located(section: Section, source: str) -> yaml_lines.Located:
    return _one_block(section, source, _blocks(section, source, "yaml", "yml"))


def _one_block(section: Section, source: str, blocks: Sequence[Fence]) -> yaml_lines.Located:
    if len(blocks) > 1:
        raise refusal(source, blocks[1].line, f"{section.name}: a second yaml block: put all of it into one")
    return yaml_lines.load(blocks[0].text, source, blocks[0].line + 1)


def _blocks(section: Section, source: str, *languages: str) -> list[Fence]:
    """The section's blocks in a language; at least one."""
    blocks = [fence for fence in section.fences if fence.language in languages]
    if not blocks:
        wanted = languages[0]
        other = next(iter(section.fences), None)
        line = other.line if other else section.line
        hint = f"mark this block ```{wanted}" if other else f"open it with ```{wanted}"
        raise refusal(source, line, f"{section.name}: needs a fenced {wanted} block: {hint}")
    return blocks


# ----------------------------------------------------------------- the question


def read_question(section: Section, source: str) -> str:
    """The first paragraph, on one line."""
    words: list[str] = []
    start = section.line
    for number, line in section.prose:
        if not line.strip() and words:
            break
        start = start if words or not line.strip() else number
        words += line.split()
    question = " ".join(words)
    if not question:
        raise refusal(source, section.line, f"{section.name}: is empty: ask it in one paragraph")
    if len(question) > 500:
        said = f"the first paragraph has {len(question)} characters: ask it in at most 500, and go on in a second"
        raise refusal(source, start, f"{section.name}: {said}")
    return question


# ------------------------------------------------------------ ids, across blocks


def check_ids(
    section: Section, source: str, items: Sequence[Assumption | Hypothesis], taken: Sequence[str] = ()
) -> None:
    """Refuse an id that stands twice, or in `taken` already."""
    seen = set(taken)
    for index, item in enumerate(items):
        if item.id in seen:
            said = f"{section.name}: the id `{item.id}` stands twice"
            raise InvalidInput(_located(section, source).problem((index, "id"), said))
        seen.add(item.id)


def check_arms_named(section: Section, source: str, plan: PlanTexts) -> None:
    """Refuse a contrast or a control with an arm that the plan does not have."""
    arms = [arm.name for arm in plan.arms]
    places: list[tuple[tuple[str | int, ...], str | None]] = [
        (("contrast", role), getattr(plan.contrast, role)) for role in ("treatment", "control")
    ]
    for index, contrast in enumerate(plan.secondary):
        places += [(("secondary", index, role), getattr(contrast, role)) for role in ("treatment", "control")]
    for index, check in enumerate(plan.controls.checks):
        places += [(("controls", "checks", index, role), getattr(check, role)) for role in ("arm", "minus")]
    for place, name in places:
        if name is not None and name not in arms:
            said = f"{section.name}: {place[-1]} is `{name}`, which is not an arm{yaml_lines.nearest(name, arms)}"
            raise InvalidInput(_located(section, source).problem(place, said))


def read_decisions(section: Section, source: str, hypotheses: Sequence[Hypothesis]) -> list[Decision]:
    located = _located(section, source)
    rows: list[Decision] = yaml_lines.typed(located, list[Decision], section.name)
    known = [h.id for h in hypotheses]
    for row, decision in enumerate(rows):
        for key in ("supports", "refutes"):
            for place, name in enumerate(getattr(decision, key)):
                if name not in known:
                    said = f"{section.name}: `{name}` is no hypothesis{yaml_lines.nearest(name, known)}"
                    raise InvalidInput(located.problem((row, key, place), said))
    return rows


def derived_decisions(hypotheses: Sequence[Hypothesis]) -> list[Decision]:
    """One row an outcome: supports those who expect it, refutes those whom it refutes."""
    rows = []
    for outcome in OUTCOMES:
        supports = [h.id for h in hypotheses if outcome in h.expects]
        refutes = [h.id for h in hypotheses if outcome in h.refuted_by]
        conclusion = plain_conclusion(supports, refutes)
        rows.append(Decision(outcome=outcome, conclusion=conclusion, supports=supports, refutes=refutes))
    return rows


# ------------------------------------------------------------------ predictions

_COMPARISON = re.compile(r"contrast\s*[<>]\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\Z", re.ASCII)


def read_predictions(
    section: Section, source: str, forecaster: str, arms: Sequence[str] | None
) -> list[Forecast]:
    """The forecasts P1, P2 …, exactly one of them primary.

    `arms` is None if the plan could not be read: then metrics of any arm pass.
    """
    located = _located(section, source)
    items: list[_Expectation] = yaml_lines.typed(located, list[_Expectation], section.name)
    if not 1 <= len(items) <= 50:
        raise refusal(source, located.line, f"{section.name}: give 1 to 50 predictions, not {len(items)}")
    primary = _primary(items)
    if len(primary) > 1:
        said = f"{section.name}: two are primary: mark only the one that drives the surprise check"
        raise InvalidInput(located.problem((primary[1], "primary"), said))
    forecasts = []
    for index, item in enumerate(items):
        try:
            forecasts.append(_forecast(item, index, arms, forecaster, primary=index in primary))
        except ValueError as error:  # pydantic's ValidationError is one
            said = first_problem(error).removeprefix("document: ")
            raise InvalidInput(
                located.problem((index,), f"{section.name}, item {index + 1}: {said}")
            ) from error
    return forecasts


def _primary(items: Sequence[_Expectation]) -> list[int]:
    """Indices marked primary; by default the first quantiles of the contrast, else the first item."""
    marked = [index for index, item in enumerate(items) if item.primary]
    default = [i for i, item in enumerate(items) if item.about == "contrast" and item.quantiles]
    return marked or default[:1] or [0]


def _forecast(
    item: _Expectation, index: int, arms: Sequence[str] | None, forecaster: str, *, primary: bool
) -> Forecast:
    """Raises ValueError if shape and subject do not go together."""
    given = {"binary": item.p, "quantile": item.quantiles, "categorical": item.categories}
    shapes = [shape for shape, value in given.items() if value is not None]
    if len(shapes) != 1:
        raise ValueError("give exactly one of quantiles, p and categories")
    _check_subject(item.about, shapes[0], arms)
    header = {"id": f"P{index + 1}", "forecaster": forecaster, "shape": shapes[0], "primary": primary}
    return Forecast.model_validate({**item.model_dump(), **header})


def _check_subject(about: str, shape: str, arms: Sequence[str] | None) -> None:
    if shape == "binary":
        if not _COMPARISON.match(about):
            raise ValueError(
                f"p is about `contrast > NUMBER` or `contrast < NUMBER`, not `{clip(about, 60)}`"
            )
    elif shape == "categorical":
        if about != "outcome":
            raise ValueError(f"categories are about `outcome`, not `{clip(about, 60)}`")
    elif about.startswith("metric:"):
        arm = about.removeprefix("metric:")
        if arms is not None and arm not in arms:
            raise ValueError(f"`{clip(arm, 60)}` is not an arm{yaml_lines.nearest(arm, list(arms))}")
    elif about != "contrast":
        raise ValueError(f"quantiles are about `contrast` or `metric:<arm>`, not `{clip(about, 60)}`")


# ------------------------------------------------------------------- experiment


def read_experiment(section: Section, source: str) -> tuple[ExperimentTexts, dict[str, bytes]]:
    """The section's yaml block, and `experiment/…` path → source. Python parses and fits the contract."""
    texts = read_experiment_texts(section, source)
    if texts.command:
        named = _named_files(section, source)
    else:
        named = _named(section, source, _blocks(section, source, *PYTHON))
    problems = [
        problem
        for path, block in named.items()
        for problem in _code_problems(path, block, called=not texts.command)
    ]
    if problems:
        raise InvalidInput("\n".join(f"{source}:{line}: {said}" for line, said in problems))
    return texts, {path: block.text.encode() for path, block in named.items()}


PYTHON = ("python", "py")


def read_experiment_texts(section: Section, source: str) -> ExperimentTexts:
    """What the block without a file name says; everything is optional."""
    settings = [fence for fence in section.fences if fence.language in ("yaml", "yml") and not fence.name]
    if not settings:
        return ExperimentTexts()
    texts: ExperimentTexts = yaml_lines.typed(
        _one_block(section, source, settings), ExperimentTexts, section.name
    )
    return texts


def _named_files(section: Section, source: str) -> dict[str, Fence]:
    """Path → block of a command's files: any language, each under the name after it."""
    blocks = [fence for fence in section.fences if fence.name or fence.language not in ("yaml", "yml")]
    if not blocks:
        said = f"{section.name}: the command has no file: add a block such as ```sh run.sh"
        raise refusal(source, section.line, said)
    named: dict[str, Fence] = {}
    for block in blocks:
        path = f"experiment/{block.name}"
        if not _is_plain_path(path) or not block.name:
            said = f"{section.name}: `{clip(block.name, 80)}` is not a file name: write ```{block.language or 'sh'} NAME"
            raise refusal(source, block.line, said)
        if path in named:
            raise refusal(source, block.line, f"{section.name}: a second block is {path}: rename one")
        named[path] = block
    return named


def _named(section: Section, source: str, blocks: Sequence[Fence]) -> dict[str, Fence]:
    """Path → block. The block without a name, or else the first, is `experiment.py`."""
    unnamed = [block for block in blocks if not block.name]
    if len(unnamed) > 1:
        said = "a second python block without a file name: write ```python helpers.py"
        raise refusal(source, unnamed[1].line, f"{section.name}: {said}")
    called_so = [block for block in blocks if block.name == "experiment.py"]
    main = [*unnamed, *called_so, *blocks][0]
    named: dict[str, Fence] = {}
    for block in blocks:
        path = experiment_code.MAIN if block is main else f"experiment/{block.name}"
        if not _is_module_path(path):
            said = f"{section.name}: `{clip(block.name, 80)}` is not a file name such as helpers.py"
            raise refusal(source, block.line, said)
        if path in named:
            raise refusal(source, block.line, f"{section.name}: a second block is {path}: rename one")
        named[path] = block
    return named


def _is_module_path(path: str) -> bool:
    return _is_plain_path(path) and path.endswith(".py")


def _is_plain_path(path: str) -> bool:
    try:
        file_ref(path, b"")
    except ValidationError:
        return False
    return True


def _code_problems(path: str, block: Fence, *, called: bool) -> list[tuple[int, str]]:
    """Lines of the Markdown file, with what is wrong there. `called`: the harness calls into it."""
    if block.language not in PYTHON:
        return []
    name = path.removeprefix("experiment/")
    parsed = experiment_code.parse(block.text)
    if isinstance(parsed, experiment_code.CodeProblem):
        problems = [parsed]
    elif path == experiment_code.MAIN and called:
        problems = list(experiment_code.contract_problems(parsed))
    else:
        problems = []
    return [(block.line + problem.line, f"{name}: {problem.message}") for problem in problems]
