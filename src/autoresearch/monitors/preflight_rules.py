"""Rules on plan, predictions and code, before a person is asked to approve them."""

import ast
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from autoresearch import experiment_code
from autoresearch.analysis.inference import detectable_sd
from autoresearch.experiment_code import CodeProblem
from autoresearch.forecasting.belief import SEPARATES, separation
from autoresearch.forecasting.reference import NATURAL_RANGE
from autoresearch.hedging import hedges
from autoresearch.monitors import code_lint
from autoresearch.monitors.rule import Note, Rule, run_rules
from autoresearch.monitors.wording import addressed_to_a_reviewer, qualified, says_nothing
from autoresearch.records import (
    COMMAND_SKIPS,
    OUTCOMES,
    Critique,
    Finding,
    Hypothesis,
    Plan,
    PlanDraft,
    Prediction,
    count,
)

FEW_TRIALS = 5
"""Below this an interval rests on too little to be worth much; a starting value."""

_SEQUENTIAL = re.compile(
    r"\b(?:until|as soon as|once (?:the (?:interval|effect|difference|result)|significan\w+|it|we|p)"
    r"|stop(?:s|ped|ping)? (?:when|if|early|once)|early[- ]stop\w*|(?:reach|becom|turn|is|are|be)\w* significan\w+"
    r"|add(?:s|ed|ing)? (?:\w+ )?(?:seeds?|trials?|runs?|samples?)|more (?:seeds?|trials?|runs?) (?:if|when|until)"
    r"|continue (?:while|if|until)|keep (?:running|adding|going)|peek\w*|interim|look(?:s|ing)? at (?:the )?(?:data|results?))\b",
    re.IGNORECASE,
)
_HARMLESS_STOP = re.compile(
    r"\b(?:until|once|as soon as) (?:all|every|each|the|\d+)(?: \w+){0,3}? (?:trials?|runs?|seeds?|limits?)\b"
    r"|\bstop\w* (?:if|when|early if) [^.;,]*\b(?:crash|fail|error|time|memory|limit)\w*",
    re.IGNORECASE,
)
"""`until all trials have run`, `stop if a trial fails`."""


@dataclass(frozen=True)
class PreflightInputs:
    plan: PlanDraft
    prediction: Prediction
    critique: Critique
    files: Mapping[str, bytes]
    """`experiment/…` → source."""

    @cached_property
    def parsed(self) -> dict[str, ast.Module | CodeProblem]:
        """Tree, or what is wrong, of each Python file."""
        return {p: experiment_code.parse(data) for p, data in self.files.items() if p.endswith(".py")}

    @cached_property
    def trees(self) -> dict[str, ast.Module]:
        return {path: tree for path, tree in self.parsed.items() if isinstance(tree, ast.Module)}


# ----------------------------------------------------------------------- plan


def _metric_reported(given: PreflightInputs) -> Iterator[Note]:
    """The metric is a number that the code states of itself."""
    if given.plan.metric.formula == "reported":
        yield Note(
            "warn",
            f"metric {given.plan.metric.name} is self-reported: nothing outside can recompute it, "
            "and no claim may be graded above E1",
        )


def _command(given: PreflightInputs) -> Iterator[Note]:
    """The experiment is a program, so the checks that read or call Python do not apply."""
    if given.plan.command:
        unread = sorted(path for path in given.files if path not in given.parsed)
        read = (
            f"no rule reads {', '.join(unread)}" if unread else "the rules read its Python files one by one"
        )
        yield Note(
            "warn",
            f"the experiment is a command: {read}, and neither the call of run_trial nor its seeding can be "
            "checked; no claim may be graded above E1",
            f"command: {given.plan.command}\nnot possible: {', '.join(COMMAND_SKIPS)}",
        )


def _metric_range(given: PreflightInputs) -> Iterator[Note]:
    """The metric's range is unstated or unlike its formula's."""
    metric = given.plan.metric
    natural = NATURAL_RANGE.get(metric.formula)
    if natural is None:
        return
    low, high = natural
    if metric.low is None or metric.high is None:
        yield Note("warn", f"{metric.formula} lies within [{low:g}, {high:g}]: state low and high")
    elif metric.low < low or metric.high > high:
        said = f"{metric.formula} lies within [{low:g}, {high:g}], the plan says [{metric.low:g}, {metric.high:g}]"
        yield Note("warn", said)


def _metric_how_gamed(given: PreflightInputs) -> Iterator[Note]:
    """The metric card does not say how its number could be gamed."""
    if says_nothing(given.plan.metric.how_gamed):
        name = given.plan.metric.name
        yield Note(
            "warn", f"how_gamed of {name} says nothing: name one way to raise it without the thing itself"
        )


def _no_control(given: PreflightInputs) -> Iterator[Note]:
    """A positive or negative control is missing."""
    for role, meaning in (("positive", "the effect must appear"), ("negative", "it must not appear")):
        text = getattr(given.plan.controls, role)
        if says_nothing(text) or re.match(r"none\b", text.strip(), re.IGNORECASE):
            yield Note("warn", f"no {role} control: name a case where {meaning}", text)


def _control_not_run(given: PreflightInputs) -> Iterator[Note]:
    """A control is described and nothing in the run shows it."""
    shown = {check.role for check in given.plan.controls.checks}
    missing = [role for role in ("positive", "negative") if role not in shown]
    if missing:
        yield Note(
            "warn",
            f"no trial shows the {' and the '.join(missing)} control: under controls.checks, name an arm (or arrays) "
            "and where its mean has to lie, e.g. {role: negative, arm: shuffled, low: 0.45, high: 0.55}",
        )


def _registration_incomplete(given: PreflightInputs) -> Iterator[Note]:
    """The preregistration leaves a field empty."""
    said = given.plan.registration.model_dump()
    empty = [name for name, text in said.items() if not text.strip()]
    if empty:
        yield Note("info", f"the preregistration does not say, under registration: {', '.join(empty)}")


def _rivals_inseparable(given: PreflightInputs) -> Iterator[Note]:
    """No outcome tells any two of the hypotheses apart."""
    hypotheses = given.plan.hypotheses
    pairs = [(one, other) for n, one in enumerate(hypotheses) for other in hypotheses[n + 1 :]]
    if not any(separation(one, other) >= SEPARATES for one, other in pairs):
        what = "it has no rival" if len(hypotheses) == 1 else "they predict the same"
        named = ", ".join(hypothesis.id for hypothesis in hypotheses)
        yield Note(
            "block",
            f"no outcome separates {named} from a rival with a likelihood ratio of {SEPARATES:g} or more: {what}; "
            "give a rival that is refuted by what another one expects",
        )


def _priors_exceed_one(given: PreflightInputs) -> Iterator[Note]:
    """Beliefs in hypotheses that exclude each other add up to more than 1."""
    heaviest: dict[frozenset[str], list[Hypothesis]] = {frozenset(): []}
    for one in given.plan.hypotheses:
        expected = frozenset(one.expects)
        for used, chosen in list(heaviest.items()) if expected else ():
            before = heaviest.get(used | expected, [])
            if not used & expected and _belief(chosen) + one.prior > _belief(before):
                heaviest[used | expected] = [*chosen, one]
    worst = max(heaviest.values(), key=_belief)
    if _belief(worst) > 1.0001:
        named = ", ".join(f"{h.id} {h.prior:g}" for h in worst)
        yield Note(
            "warn",
            f"no outcome is expected by two of them, and their priors add up to {_belief(worst):.3g}: {named}; "
            "at most one can be true, so at most 1",
        )


def _belief(hypotheses: Sequence[Hypothesis]) -> float:
    return sum(hypothesis.prior for hypothesis in hypotheses)


def _underpowered(given: PreflightInputs) -> Iterator[Note]:
    """So few trials would mostly miss the smallest effect of interest."""
    plan = given.plan
    in_sd = detectable_sd(plan.contrast.form, plan.trials_per_arm)
    if plan.expected_sd is None or in_sd is None:
        return
    least, wanted = in_sd * plan.expected_sd, plan.contrast.smallest_effect
    if least > wanted:
        needed = math.ceil(plan.trials_per_arm * (least / wanted) ** 2)
        yield Note(
            "warn",
            f"{plan.trials_per_arm} trials an arm see an effect of {least:.3g} with 80 % power, and the smallest that "
            f"matters is {wanted:g}: it would mostly be missed; about {needed} trials an arm see it",
            f"expected_sd {plan.expected_sd:g}, {in_sd:.3g} standard deviations",
        )


def _sequential_stopping(given: PreflightInputs) -> Iterator[Note]:
    """The stopping rule looks at results before it stops."""
    rule = given.plan.stopping_rule
    for clause in re.split(r"[.;,]\s+", _HARMLESS_STOP.sub("", rule)):
        match = _SEQUENTIAL.search(clause)
        # "not … until" postpones the stop and is as sequential as "until"
        if match and (match[0].lower() in ("until", "as soon as") or not qualified(clause[: match.start()])):
            why = "the interval holds for a number fixed beforehand: set trials_per_arm, run all of them"
            yield Note("block", f"the stopping rule looks sequential (`{match[0]}`): {why}", rule)
            return


def _few_trials(given: PreflightInputs) -> Iterator[Note]:
    """Too few trials for an interval."""
    n = given.plan.trials_per_arm
    if n < 2:
        yield Note("block", "one trial an arm gives no interval: set trials_per_arm to 2 or more")
    elif n < FEW_TRIALS:
        yield Note("warn", f"{count(n, 'trial')} an arm: the interval will be wide and rest on few values")


def _decision_incomplete(given: PreflightInputs) -> Iterator[Note]:
    """The decision table leaves an outcome open."""
    covered = {row.outcome for row in given.plan.decision_table}
    missing = [outcome for outcome in OUTCOMES if outcome not in covered]
    if missing:
        yield Note("block", f"the decision table does not say what follows from: {', '.join(missing)}")


def _decision_toothless(given: PreflightInputs) -> Iterator[Note]:
    """No outcome in the decision table refutes anything."""
    if not any(row.refutes for row in given.plan.decision_table):
        yield Note(
            "block", "no row of the decision table refutes a hypothesis: the run could not prove anyone wrong"
        )


def _decision_against_hypothesis(given: PreflightInputs) -> Iterator[Note]:
    """A row supports a hypothesis with an outcome that would refute it, or the reverse."""
    by_id = {h.id: h for h in given.plan.hypotheses}
    for row in given.plan.decision_table:
        wrong = [f"supports {h}" for h in row.supports if row.outcome in by_id[h].refuted_by]
        wrong += [f"refutes {h}" for h in row.refutes if row.outcome in by_id[h].expects]
        wrong += [f"both supports and refutes {h}" for h in row.supports if h in row.refutes]
        for what in wrong:
            yield Note(
                "block", f"the decision table {what} on {row.outcome}, against what the hypothesis says"
            )


def _effect_too_large(given: PreflightInputs) -> Iterator[Note]:
    """The smallest effect of interest is larger than the contrast can be."""
    most = largest_contrast(given.plan)
    contrast = given.plan.contrast
    if most is not None and contrast.smallest_effect > most + abs(contrast.null):
        said = f"smallest_effect {contrast.smallest_effect:g} is more than this contrast can reach ({most:g})"
        yield Note("block", f"{said}: every result would be negligible")


def _limits_implausible(given: PreflightInputs) -> Iterator[Note]:
    """Time or memory limits that look like slips."""
    plan, limits = given.plan, given.plan.limits
    trials = plan.trials_per_arm * len(plan.arms)
    each = limits.seconds * limits.cpus / trials
    if each < 0.05:
        yield Note(
            "info", f"{limits.seconds} s for {trials} trials leaves {1000 * each:.0f} ms of CPU a trial"
        )
    if limits.seconds > 24 * 3600:
        yield Note("info", f"the run may take {limits.seconds / 3600:.0f} hours")
    if limits.memory_mb < 128:
        yield Note(
            "info", f"{limits.memory_mb} MB is little for Python with numpy (about 100 MB to start with)"
        )
    if limits.memory_mb > 64_000:
        yield Note("info", f"the run may take {limits.memory_mb / 1000:.0f} GB of memory")


def _plan_addressed(given: PreflightInputs) -> Iterator[Note]:
    """The plan speaks to whoever reviews it."""
    plan = given.plan
    texts = [plan.stopping_rule, plan.exclusions, plan.metric.how_gamed, plan.controls.positive]
    texts += [*plan.registration.model_dump().values()]
    texts += [plan.controls.negative, *(arm.description for arm in plan.arms)]
    texts += [row.conclusion for row in plan.decision_table]
    texts += [forecast.reasoning for forecast in given.prediction.forecasts]
    for text in texts:
        for phrase in addressed_to_a_reviewer(text):
            yield Note(
                "block", f"text addressed to a reviewer (`{phrase}`): a plan describes the study", text
            )


def largest_contrast(plan: PlanDraft) -> float | None:
    """The largest |contrast| that the metric's range allows; None where nothing bounds it."""
    low, high = plan.metric.low, plan.metric.high
    natural = NATURAL_RANGE.get(plan.metric.formula)
    if natural:  # the formula bounds the metric whatever the card says
        low, high = natural
    if low is None or high is None or plan.contrast.form == "ratio":
        return None
    if plan.contrast.form != "slope":
        return high - low
    xs = [arm.x for arm in plan.arms if arm.x is not None]
    centre = sum(xs) / len(xs)
    spread = sum((x - centre) ** 2 for x in xs)
    # least squares: largest when y is `high` right of the centre and `low` left of it
    return (high - low) * sum(x - centre for x in xs if x > centre) / spread if spread else None


# ----------------------------------------------------------------- predictions


def _no_primary_forecast(given: PreflightInputs) -> Iterator[Note]:
    """No forecast is about the primary contrast."""
    if not any(f.about.startswith("contrast") or f.about == "outcome" for f in given.prediction.forecasts):
        yield Note("block", "no forecast is about the primary contrast: add one with about: contrast")


def _forecast_impossible(given: PreflightInputs) -> Iterator[Note]:
    """A forecast lies outside what the metric can be."""
    metric, most = given.plan.metric, largest_contrast(given.plan)
    low, high = NATURAL_RANGE.get(metric.formula, (metric.low, metric.high))
    for f in given.prediction.forecasts:
        least, greatest = (low, high) if f.about.startswith("metric:") else (most and -most, most)
        if f.quantiles is None:
            continue
        below = least is not None and f.quantiles[0] < least
        above = greatest is not None and f.quantiles[2] > greatest
        if below or above:
            bound = f"below {least:g}" if below else f"above {greatest:g}"
            yield Note("warn", f"{f.id} reaches {bound}, where {f.about} cannot be", str(f.quantiles))


# ------------------------------------------------------------------------ code


def _code_broken(given: PreflightInputs) -> Iterator[Note]:
    """The code does not parse."""
    for path, parsed in given.parsed.items():
        if isinstance(parsed, CodeProblem):
            yield Note("block", f"{path}:{parsed.line}: {parsed.message}")


def _code_contract(given: PreflightInputs) -> Iterator[Note]:
    """`run_trial` is missing or takes other arguments."""
    if given.plan.command:
        return  # a program is no module: nobody calls into it
    if experiment_code.MAIN not in given.files:
        yield Note("block", f"{experiment_code.MAIN} is missing")
    tree = given.trees.get(experiment_code.MAIN)
    for problem in experiment_code.contract_problems(tree) if tree else ():
        yield Note("block", f"{experiment_code.MAIN}:{problem.line}: {problem.message}")


def _linted(
    check: Callable[[ast.Module], Iterator[code_lint.Spot]], why: str
) -> Callable[[PreflightInputs], Iterator[Note]]:
    """A rule that warns of every place that `check` finds."""

    def notes(given: PreflightInputs) -> Iterator[Note]:
        for path, tree in given.trees.items():
            for spot in sorted(set(check(tree))):
                yield Note("warn", f"{path}:{spot.line}: {spot.text}: {why}")

    notes.__doc__ = check.__doc__
    return notes


def _not_installed(given: PreflightInputs) -> Iterator[Note]:
    """An import that the sandbox's own image does not have."""
    if isinstance(given.plan, Plan) and given.plan.environment is not None:
        return
    own = {part.removesuffix(".py") for path in given.files for part in path.split("/")[1:]}
    for path, tree in given.trees.items():
        for spot in sorted(set(code_lint.not_installed(tree, own))):
            why = "the sandbox's own image does not have it: bring a lock under `environment`, or do without"
            yield Note("warn", f"{path}:{spot.line}: {spot.text}: {why}")


def _code_addressed(given: PreflightInputs) -> Iterator[Note]:
    """A comment or string in the code speaks to whoever reviews it."""
    for path, tree in given.trees.items():
        for spot in sorted(set(code_lint.addressed_text(given.files[path].decode("utf-8", "replace"), tree))):
            yield Note(
                "block", f"{path}:{spot.line}: text addressed to a reviewer (`{spot.text}`): remove it"
            )


def _arm_unnamed(given: PreflightInputs) -> Iterator[Note]:
    """An arm of the plan never appears in the code, nor in its configuration."""
    if given.plan.command:
        return  # its words may stand in another language
    words = code_lint.words(list(given.trees.values())) | _words_of(given.plan.config)
    unnamed = [arm.name for arm in given.plan.arms if arm.name not in words]
    # code that reads arms generically (by x, by position) names none of them; that is no slip
    if given.trees and unnamed and len(unnamed) < len(given.plan.arms):
        yield Note("warn", f"the code never names the arm {', '.join(unnamed)}: is it a misspelling?")
    elif given.trees and unnamed and all(arm.x is None for arm in given.plan.arms):
        yield Note("warn", f"the code names none of the arms ({', '.join(unnamed)}): do they differ at all?")


def _array_unnamed(given: PreflightInputs) -> Iterator[Note]:
    """The metric reads an array that the code never names."""
    if given.plan.command:
        return
    words = code_lint.words(list(given.trees.values()))
    missing = sorted(set(given.plan.metric.arrays.values()) - words)
    if given.trees and missing:
        yield Note("warn", f"the metric reads {', '.join(missing)}, which the code never names")


def _words_of(value: object) -> set[str]:
    """Keys and strings anywhere inside a configuration."""
    if isinstance(value, dict):
        return set(value) | {word for inner in value.values() for word in _words_of(inner)}
    if isinstance(value, list):
        return {word for inner in value for word in _words_of(inner)}
    return {value} if isinstance(value, str) else set()


# --------------------------------------------------------------------- critique


def _critique_blocks(given: PreflightInputs) -> Iterator[Note]:
    """A blocking finding of the critique still stands."""
    for finding in given.critique.findings:
        if finding.severity == "block":
            yield Note("block", f"{finding.check}: {finding.explanation}", finding.evidence)


def _hedged_guess(given: PreflightInputs) -> Iterator[Note]:
    """A best guess takes itself back in words, where the numbers are the place for doubt."""
    for forecast in given.prediction.forecasts:
        found = list(dict.fromkeys(hedges(forecast.best_guess)))
        if found:
            said = f"{forecast.id}: the best guess says `{', '.join(found)}`: guess boldly, and put the doubt into the numbers"
            yield Note("info", said, forecast.best_guess)


RULES: tuple[Rule[PreflightInputs], ...] = (
    Rule("plan.metric-reported", "plan", _metric_reported),
    Rule("plan.command", "plan", _command),
    Rule("plan.metric-range", "plan", _metric_range),
    Rule("plan.metric-how-gamed", "plan", _metric_how_gamed),
    Rule("plan.no-control", "plan", _no_control),
    Rule("plan.control-not-run", "plan", _control_not_run),
    Rule("plan.registration-incomplete", "plan", _registration_incomplete),
    Rule("plan.rivals-inseparable", "plan", _rivals_inseparable),
    Rule("plan.priors-exceed-one", "plan", _priors_exceed_one),
    Rule("plan.underpowered", "plan", _underpowered),
    Rule("plan.sequential-stopping", "plan", _sequential_stopping),
    Rule("plan.few-trials", "plan", _few_trials),
    Rule("plan.decision-incomplete", "plan", _decision_incomplete),
    Rule("plan.decision-toothless", "plan", _decision_toothless),
    Rule("plan.decision-against-hypothesis", "plan", _decision_against_hypothesis),
    Rule("plan.effect-too-large", "plan", _effect_too_large),
    Rule("plan.limits-implausible", "plan", _limits_implausible),
    Rule("plan.addressed-text", "plan", _plan_addressed),
    Rule("prediction.none-on-contrast", "prediction", _no_primary_forecast),
    Rule("prediction.impossible", "prediction", _forecast_impossible),
    Rule("prediction.hedged-guess", "prediction", _hedged_guess),
    Rule("code.syntax", "plan", _code_broken),
    Rule("code.contract", "plan", _code_contract),
    Rule("code.clock", "plan", _linted(code_lint.clock_reads, "a result must not depend on the clock")),
    Rule(
        "code.unseeded-random",
        "plan",
        _linted(code_lint.unseeded_randomness, "draw from numpy.random.default_rng(seed)"),
    ),
    Rule(
        "code.outside-world",
        "plan",
        _linted(
            code_lint.outside_world,
            "reaches beyond the trial: the sandbox has no network, and no rule reads what this runs or changes",
        ),
    ),
    Rule(
        "code.swallowed-errors",
        "plan",
        _linted(code_lint.swallowed_errors, "a trial that fails must fail: catch only what you expect"),
    ),
    Rule(
        "code.patched-module",
        "plan",
        _linted(code_lint.patched_modules, "changes a module for everyone who uses it, the harness too"),
    ),
    Rule(
        "code.ignores-seed",
        "plan",
        _linted(
            code_lint.ignores_seed,
            "nothing it does follows from its seed, so all trials of an arm are the same",
        ),
    ),
    Rule("code.not-installed", "plan", _not_installed),
    Rule("code.addressed-text", "plan", _code_addressed),
    Rule("code.arm-unnamed", "plan", _arm_unnamed),
    Rule("code.array-unnamed", "plan", _array_unnamed),
    Rule("critique.block-stands", "critique", _critique_blocks),
)


def preflight_findings(
    plan: PlanDraft, prediction: Prediction, critique: Critique, files: Mapping[str, bytes]
) -> list[Finding]:
    """What the rules find, in the order of `RULES`.

    `files` holds the bytes that would run, by their path in the plan (`experiment/…`).
    """
    return run_rules(RULES, PreflightInputs(plan, prediction, critique, files))
