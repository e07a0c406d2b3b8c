"""Departures from the plan, found by comparing records, never by asking who made them.

Two kinds. The run may not be what the plan says: other trials, other seeds, rows left out.
And the plan may have been changed after a result of the same cycle was seen: then what
was changed was not fixed in advance, and the study explores.
"""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import NamedTuple

from autoresearch import experiment_code
from autoresearch.analysis.worker import TrialValue
from autoresearch.door import issue_trials
from autoresearch.experiment_code import CodeProblem
from autoresearch.records import (
    Approval,
    Deviation,
    Kind,
    MadeData,
    Plan,
    Result,
    Run,
    Severity,
    TrialSpec,
    clip,
    count,
    digest_of,
)

UNEQUAL_COMPUTE = 2.0
"""Times that one arm of the contrast takes as long as the other; a starting value."""
UNEQUAL_SECONDS = 1.0
"""A trial, of the clock or of a CPU; differences below this are the machine's."""
_RUN = "when the trials were read, after the run"


@dataclass(frozen=True)
class Earlier:
    """An attempt of the cycle whose result was on record before this plan was fixed."""

    attempt: int
    plan: Plan
    files: Mapping[str, bytes]
    """Path → bytes of its experiment."""
    data: MadeData | None = None
    """What `make_data` made there, by the check of its result."""


@dataclass(frozen=True)
class Unfinished:
    """A run of the cycle that was issued and ended without a result."""

    attempt: int
    status: str
    trials: int


@dataclass(frozen=True)
class Elsewhere:
    """A result that the project which this one was forked from had when it was forked."""

    place: str
    same: bool
    """Of the same comparison."""
    changed: bool
    """The plan was made after the fork, and is not the one that had this result."""


@dataclass(frozen=True)
class DeviationInputs:
    plan: Plan
    plan_digest: str
    files: Mapping[str, bytes]
    run: Run
    approval: Approval
    result: Result
    trials: Sequence[TrialValue]
    earlier: Sequence[Earlier] = ()
    """Oldest first."""
    unfinished: Sequence[Unfinished] = ()
    elsewhere: Sequence[Elsewhere] = ()

    @cached_property
    def seen(self) -> Earlier | None:
        """The latest attempt with a result that the plan's author could have seen."""
        return self.earlier[-1] if self.earlier else None

    @cached_property
    def by_seed(self) -> dict[int, list[tuple[str, TrialValue]]]:
        """Seed → (arm, trial) of each that ended."""
        values = {trial.index: trial for trial in self.trials if trial.value is not None}
        found: dict[int, list[tuple[str, TrialValue]]] = {}
        for spec in self.run.trials:
            if spec.index in values:
                found.setdefault(spec.seed, []).append((spec.arm, values[spec.index]))
        return found


class Departure(NamedTuple):
    """What a rule's function says; the rule adds its name."""

    severity: Severity
    explanation: str
    evidence: str = ""
    exploratory: bool = False
    known: str = _RUN


def _after(seen: Earlier, what: str, evidence: str = "") -> Departure:
    """The plan was changed once a result had been seen."""
    return Departure(
        "warn",
        f"{what} changed after the result of attempt {seen.attempt} had been seen: what rests on it is exploratory",
        evidence,
        exploratory=True,
        known=f"when the plan was compared with that of attempt {seen.attempt}",
    )


# ------------------------------------------------------------------------ rules


def _metric_set(given: DeviationInputs) -> Iterator[Departure]:
    """Trials that return different names, and a metric chosen after a result."""
    names = {trial.names for trial in given.trials if trial.value is not None}
    if len(names) > 1:
        common = set.intersection(*map(set, names))
        odd = sorted(set.union(*map(set, names)) - common)
        said = f"trials do not all return the same names: {clip(', '.join(odd), 200)} is missing from some"
        yield Departure("block", said)
    if given.seen and given.plan.metric != given.seen.plan.metric:
        before, now = given.seen.plan.metric, given.plan.metric
        yield _after(given.seen, "the metric", f"before: {before.model_dump()}\nnow: {now.model_dump()}")


def _trials(given: DeviationInputs) -> Iterator[Departure]:
    """Trials that are not the planned ones, or are too few or too many."""
    planned = given.plan.trials_per_arm * len(given.plan.arms)
    ended = sum(trial.value is not None for trial in given.trials)
    if ended != planned or len(given.run.trials) != planned:
        yield Departure(
            "block", f"the plan has {planned} trials, {len(given.run.trials)} were issued, {ended} ended well"
        )


def _seeds(given: DeviationInputs) -> Iterator[Departure]:
    """Seeds that do not follow from the nonce and the plan."""
    issued = issue_trials(given.approval, given.plan_digest, given.plan)
    differing = [spec for spec, due in zip(given.run.trials, issued, strict=False) if spec.seed != due.seed]
    if differing:
        said = (
            f"{count(len(differing), 'trial')} with a seed that does not follow from the nonce and the plan"
        )
        yield Departure("block", f"{said}, e.g. {differing[0].arm} seed {differing[0].seed}")


def _arms(given: DeviationInputs) -> Iterator[Departure]:
    """Arms that the plan does not have, and a comparison chosen after a result."""
    planned, run = {arm.name for arm in given.plan.arms}, {spec.arm for spec in given.run.trials}
    if planned != run:
        yield Departure("block", f"run and plan differ in the arms {', '.join(sorted(planned ^ run))}")
    if given.seen is None:
        return
    before = given.seen.plan
    if given.plan.arms != before.arms:
        yield _after(given.seen, "the arms")
    if (given.plan.contrast, given.plan.secondary) != (before.contrast, before.secondary):
        yield _after(given.seen, "the comparison, or the smallest effect of interest,")


def _exclusions(given: DeviationInputs) -> Iterator[Departure]:
    """Rows that some arms lack, and exclusions chosen after a result."""
    uneven = [
        (seed, rows)
        for seed, trials in given.by_seed.items()
        if len({trial.rows for _, trial in trials}) > 1
        and (rows := {arm: trial.rows for arm, trial in trials})
    ]
    if uneven:
        none_planned = given.plan.exclusions.strip().lower().startswith(("none", "no "))
        seed, rows = uneven[0]
        named = ", ".join(f"{arm} {n}" for arm, n in rows.items())
        yield Departure(
            "block" if none_planned else "warn",
            f"the arms of {count(len(uneven), 'seed')} differ in how many values the metric rests on, "
            f"e.g. seed {seed}: {named}; the plan excludes: {clip(given.plan.exclusions, 120)}",
        )
    if given.seen and given.plan.exclusions != given.seen.plan.exclusions:
        yield _after(given.seen, "the exclusions", given.seen.plan.exclusions)


def _stopping(given: DeviationInputs) -> Iterator[Departure]:
    """A second look at the same design, and a stopping rule chosen after a result."""
    places = [f"attempt {e.attempt}" for e in given.earlier if e.plan.comparison == given.plan.comparison]
    places += [e.place for e in given.elsewhere if e.same]
    if places:
        looks = len(places) + 1
        chance = 1 - 0.95**looks
        yield Departure(
            "block",
            f"look {looks} at this comparison, and one was planned: {' and '.join(places)} had its result already; where "
            f"there is no effect, one of {looks} looks shows one with a chance of {100 * chance:.0f} %, not 5 %",
            known=f"when the result of {places[-1]} was found on record",
        )
    if given.seen and (given.plan.stopping_rule, given.plan.trials_per_arm) != (
        given.seen.plan.stopping_rule,
        given.seen.plan.trials_per_arm,
    ):
        yield _after(given.seen, "the stopping rule, or the number of trials,")


def _forked(given: DeviationInputs) -> Iterator[Departure]:
    """The plan was changed after a result of the project that this one was forked from."""
    changed = [e.place for e in given.elsewhere if e.changed]
    if changed:
        yield Departure(
            "warn",
            f"the plan changed after the result of {changed[-1]} had been seen: what rests on it is exploratory",
            exploratory=True,
            known="when the fork's record was read",
        )


def _reruns(given: DeviationInputs) -> Iterator[Departure]:
    """Runs that were issued and ended without a result."""
    for other in given.unfinished:
        if other.trials:
            said = f"after {count(other.trials, 'trial')}: their values are on record, and were not used"
        elif other.status == "Lost":
            said = "and left nothing: how far it had come, and who saw that, is not known"
        else:
            said = "before any of its trials had ended"
        yield Departure(
            "warn" if other.status == "Lost" else "info",
            f"attempt {other.attempt} ended {other.status} {said}",
            known=f"when attempt {other.attempt} ended",
        )


def _analysis_code(given: DeviationInputs) -> Iterator[Departure]:
    """Code that does something else than when a result was seen."""
    if given.seen:
        changed = changed_files(given.seen.files, given.files)
        if changed:
            yield _after(given.seen, f"the code ({', '.join(changed)})")


def changed_files(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[str]:
    """Files that do something else, by their syntax trees; `make_data` is left to the rule on data."""
    paths = sorted(before.keys() | after.keys())
    return [path for path in paths if _meaning(before, path) != _meaning(after, path)]


def _meaning(files: Mapping[str, bytes], path: str) -> str | bytes | None:
    data = files.get(path)
    tree = experiment_code.parse(data) if data is not None and path.endswith(".py") else None
    if isinstance(tree, ast.Module):
        return experiment_code.without_words(tree, leave_out="make_data")
    return data  # not Python, or not readable as such: then its bytes


def _data(given: DeviationInputs) -> Iterator[Departure]:
    """Data that differ between the arms of a seed, or from those of which a result was seen."""
    unlike = [
        seed for seed, trials in given.by_seed.items() if len({trial.data_sha256 for _, trial in trials}) > 1
    ]
    if unlike:
        yield Departure(
            "block",
            f"the arms of {count(len(unlike), 'seed')} were given different data, e.g. seed {unlike[0]}: make_data "
            "does not depend on its seed and configuration alone, so the arms are not compared on the same data",
        )
    if given.seen is None:
        return
    before = given.seen.plan
    if _made(given.files) != _made(given.seen.files):
        yield _after(given.seen, "what make_data does")
    if given.plan.inputs != before.inputs:
        yield _after(given.seen, "the data that it reads")
    if _other_rows(given.seen.data, made_data(given.run.trials, given.trials)):
        yield _after(given.seen, "what make_data made, by its digests,")
    if given.plan.config != before.config:
        yield _after(
            given.seen, "the configuration", f"before: {before.config}\nnow: {given.plan.config}"[:20_000]
        )


def made_data(issued: Sequence[TrialSpec], trials: Sequence[TrialValue]) -> MadeData | None:
    """What the trials of a run were given; of arms that differ, the first's. None: nothing was made."""
    values = {trial.index: trial for trial in trials}
    by_seed: dict[int, TrialValue] = {}
    for spec in issued:
        if spec.index in values:
            by_seed.setdefault(spec.seed, values[spec.index])
    digests = [trial.data_sha256 for trial in by_seed.values() if trial.data_sha256]
    notes = [trial.data_note for trial in by_seed.values() if trial.data_note]
    if not digests and not notes:
        return None
    different = sorted(set(digests))
    return MadeData(
        seeds=len(digests),
        different=len(different),
        sha256=digest_of(list(different)),
        note=notes[0] if notes else None,
    )


def _other_rows(before: MadeData | None, now: MadeData | None) -> bool:
    """Data were one set for every seed on both sides, and not the same set.

    Attempts are issued seeds of their own, so data that follow from the seed cannot be compared.
    """
    if before is None or now is None or before.sha256 == now.sha256:
        return False
    return all(made.different == 1 and made.seeds > 1 for made in (before, now))


def _made(files: Mapping[str, bytes]) -> str | None:
    tree: ast.Module | CodeProblem = experiment_code.parse(files.get(experiment_code.MAIN, b""))
    if not isinstance(tree, ast.Module):
        return None
    return experiment_code.without_words(experiment_code.function(tree, "make_data"))


def _arm_compute(given: DeviationInputs) -> Iterator[Departure]:
    """One arm of the comparison takes much more of a CPU than the other, or much longer."""
    contrast = given.plan.contrast
    if contrast.treatment is None or contrast.control is None:
        return
    measures: tuple[tuple[str, Callable[[TrialValue], float | None]], ...] = (
        ("s of CPU", lambda trial: trial.cpu_seconds),
        ("s", lambda trial: trial.seconds),
    )
    for unit, taken in measures:
        means = {}
        for arm in (contrast.treatment, contrast.control):
            each = [
                seconds
                for trials in given.by_seed.values()
                for own, trial in trials
                if own == arm and (seconds := taken(trial)) is not None
            ]
            if not each:
                return
            means[arm] = fmean(each)
        slow, fast = sorted(means, key=lambda arm: -means[arm])
        most, least = means[slow], means[fast]
        if most - least >= UNEQUAL_SECONDS and most >= UNEQUAL_COMPUTE * least:
            yield Departure(
                "warn",
                f"a trial of {slow} takes {most:.3g} {unit} and one of {fast} {least:.3g} {unit}, as the harness "
                "measures it: is the comparison one of equal effort?",
            )
            return


def _hypotheses(given: DeviationInputs) -> Iterator[Departure]:
    """Hypotheses or their meaning changed after a result."""
    if given.seen is None:
        return
    before, now = ({h.id: h for h in plan.hypotheses} for plan in (given.seen.plan, given.plan))
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        yield _after(given.seen, f"the hypotheses ({', '.join(changed)})")
    if given.plan.decision_table != given.seen.plan.decision_table:
        yield _after(given.seen, "the decision table")


@dataclass(frozen=True)
class DeviationRule:
    name: str
    reads: Kind
    departures: Callable[[DeviationInputs], Iterator[Departure]]


RULES = (
    DeviationRule("deviation.metric-set", "result", _metric_set),
    DeviationRule("deviation.trials", "run", _trials),
    DeviationRule("deviation.seeds", "run", _seeds),
    DeviationRule("deviation.arms", "run", _arms),
    DeviationRule("deviation.exclusions", "result", _exclusions),
    DeviationRule("deviation.stopping", "plan", _stopping),
    DeviationRule("deviation.forked", "plan", _forked),
    DeviationRule("deviation.reruns", "result", _reruns),
    DeviationRule("deviation.analysis-code", "plan", _analysis_code),
    DeviationRule("deviation.data", "plan", _data),
    DeviationRule("deviation.arm-compute", "result", _arm_compute),
    DeviationRule("deviation.hypotheses", "plan", _hypotheses),
)


def deviations(given: DeviationInputs) -> list[Deviation]:
    """What the rules find, in the order of `RULES`."""
    return [
        Deviation(
            check=rule.name,
            severity=found.severity,
            record=rule.reads,
            explanation=clip(found.explanation, 500),
            evidence=found.evidence,
            known=found.known,
            exploratory=found.exploratory,
        )
        for rule in RULES
        for found in rule.departures(given)
    ]
