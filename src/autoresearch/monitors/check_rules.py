"""Rules on the numbers of a run, once they are computed and some trials were run again."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from autoresearch.monitors.rule import Note, Rule, run_rules
from autoresearch.records import ArmSummary, ControlResult, Finding, PlanDraft, RecheckTrial, Surprise, count

FRESH_P = 0.001
"""Of a fresh seed lying where it does, shared out over the trials that are looked at; a starting value."""
TOO_GOOD_RESULTS = 5
TOO_GOOD_P = 0.01
"""Of so many results all lying so near to what was forecast; a starting value."""


@dataclass(frozen=True)
class CheckInputs:
    plan: PlanDraft
    arms: Sequence[ArmSummary]
    controls: Sequence[ControlResult]
    rechecks: Sequence[RecheckTrial]
    surprises: Sequence[Surprise]
    """Of every result of the project so far, this one last."""


def _out_of_range(given: CheckInputs) -> Iterator[Note]:
    """A value lies where the metric card says that none can."""
    low, high = given.plan.metric.low, given.plan.metric.high
    for arm in given.arms:
        beyond = [
            value
            for value in arm.values
            if (low is not None and value < low - _slack(low))
            or (high is not None and value > high + _slack(high))
        ]
        if beyond:
            worst = max(beyond, key=lambda value: abs(value - _nearest(value, low, high)))
            yield Note(
                "block",
                f"{count(len(beyond), 'trial')} of arm {arm.arm} outside the declared range of "
                f"{given.plan.metric.name} ({_range(low, high)}), e.g. {worst:.6g}: card or code is wrong",
            )


def _slack(bound: float) -> float:
    """What rounding may do to a value at the bound."""
    return 1e-9 * max(1.0, abs(bound))


def _nearest(value: float, low: float | None, high: float | None) -> float:
    return max(low if low is not None else -math.inf, min(high if high is not None else math.inf, value))


def _range(low: float | None, high: float | None) -> str:
    return f"{'-∞' if low is None else f'{low:g}'} to {'∞' if high is None else f'{high:g}'}"


def _control_failed(given: CheckInputs) -> Iterator[Note]:
    """A control that was run did not show what it must."""
    meaning = {
        "positive": "the apparatus does not show an effect that must be there",
        "negative": "the apparatus shows an effect where none can be",
    }
    for result in given.controls:
        if not result.passed:
            control = result.control
            yield Note(
                "block",
                f"{control.role} control failed: {control.of} averages {result.mean:.4g} over "
                f"{count(result.n, 'trial')}, not {control.expected}: {meaning[control.role]}",
            )


def _recheck_differs(given: CheckInputs) -> Iterator[Note]:
    """A trial that was run again gave other values."""
    differing = [r.trial for r in given.rechecks if r.same_bytes is False and r.value is not None]
    if differing:
        named = ", ".join(f"{spec.arm} seed {spec.seed}" for spec in differing)
        said = f"run again with the same seed, {named} gave other raw values: the code is not deterministic"
        yield Note("block", said)
    others = [r.trial for r in given.rechecks if r.same_data is False]
    if others:
        named = ", ".join(f"{spec.arm} seed {spec.seed}" for spec in others)
        yield Note("block", f"run again with the same seed, {named} was given other data by make_data")


def _recheck_failed(given: CheckInputs) -> Iterator[Note]:
    """A trial that was run again did not end well."""
    unfinished = [r.trial for r in given.rechecks if r.value is None]
    if unfinished:
        named = ", ".join(f"{spec.arm} seed {spec.seed}" for spec in unfinished)
        yield Note("block", f"run again, {named} did not end well")


def _fresh_seed_outlier(given: CheckInputs) -> Iterator[Note]:
    """A fresh seed lies where the run's own seeds say that it hardly can."""
    fresh = [r for r in given.rechecks if r.fresh and r.value is not None]
    by_arm = {arm.arm: arm for arm in given.arms}
    for recheck in fresh:
        arm = by_arm.get(recheck.trial.arm)
        if arm is None or arm.sd is None or recheck.value is None:
            continue
        p = _fresh_p(recheck.value, arm)
        if p < FRESH_P / len(fresh):
            yield Note(
                "warn",
                f"arm {arm.arm} with a fresh seed gave {recheck.value:.4g}; its {arm.n} seeds of the run average "
                f"{arm.mean:.4g} with a standard deviation of {arm.sd:.2g} (p {p:.1g}): are they alike?",
            )


def _fresh_p(value: float, arm: ArmSummary) -> float:
    """Two-sided, of one more value of the same distribution."""
    assert arm.sd is not None
    if arm.sd == 0:
        return 1.0 if value == arm.mean else 0.0
    from scipy.special import stdtr

    t = abs(value - arm.mean) / (arm.sd * math.sqrt(1 + 1 / arm.n))
    return 2 * float(stdtr(arm.n - 1, -t))


def _too_good(given: CheckInputs) -> Iterator[Note]:
    """The project's results all lie implausibly near to what was forecast."""
    distances = [abs(s.z) for s in given.surprises if s.z is not None]
    if len(distances) < TOO_GOOD_RESULTS:
        return
    farthest = max(distances)
    chance = math.erf(farthest / math.sqrt(2)) ** len(distances)
    if chance < TOO_GOOD_P:
        yield Note(
            "warn",
            f"all {len(distances)} results lie within {farthest:.2g} standard deviations of their forecasts; of a "
            f"calibrated forecaster one would see that with p {chance:.1g}: were the results known, or made to fit?",
        )


RULES: tuple[Rule[CheckInputs], ...] = (
    Rule("check.out-of-range", "result", _out_of_range),
    Rule("check.control-failed", "result", _control_failed),
    Rule("check.recheck-differs", "result", _recheck_differs),
    Rule("check.recheck-failed", "result", _recheck_failed),
    Rule("check.fresh-seed-outlier", "result", _fresh_seed_outlier),
    Rule("check.too-good", "prediction", _too_good),
)


def check_findings(
    plan: PlanDraft,
    arms: Sequence[ArmSummary],
    controls: Sequence[ControlResult],
    rechecks: Sequence[RecheckTrial],
    surprises: Sequence[Surprise],
) -> list[Finding]:
    """What the rules find, in the order of `RULES`."""
    return run_rules(RULES, CheckInputs(plan, arms, controls, rechecks, surprises))
