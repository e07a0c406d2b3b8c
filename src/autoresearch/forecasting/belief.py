"""How much a result may move a belief, and how much of that reaches the target.

E is the outcome of the primary contrast, H the hypothesis. All of it is Bayes'
rule on two probabilities; the judgement lies in `likelihoods`.
"""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from autoresearch.records import LEAST_REACH, OUTCOMES, Hypothesis, Outcome, ProxyCard

MAX_LOG_RATIO = math.log(10)
"""|L| of one design: more seeds of it do not make its blind spots smaller. Only a replication
by another design adds to it."""

Update = Literal["ok", "over", "under", "wrong-way"]


def likelihoods(outcome: Outcome, hypothesis: Hypothesis) -> tuple[float, float]:
    """(P(E|H), P(E|¬H)): .75 and .25 if H expects the outcome, .25 and .75 if it refutes H.

    A judgement, not an estimate: a design of this size is taken to be right three times
    in four, so that one run moves even odds to 3 : 1. An outcome that H says nothing
    about, or names on both sides, is even (.5, .5) and moves nothing.
    """
    expected, refuting = outcome in hypothesis.expects, outcome in hypothesis.refuted_by
    if expected == refuting:
        return 0.5, 0.5
    return (0.75, 0.25) if expected else (0.25, 0.75)


SEPARATES = 2.0
"""A likelihood ratio from which an outcome tells two hypotheses apart."""


def separation(one: Hypothesis, other: Hypothesis) -> float:
    """The largest likelihood ratio between the two that some outcome would give, either way.

    3 where one expects what refutes the other; 1 where they predict the same.
    """
    pairs = [(likelihoods(o, one)[0], likelihoods(o, other)[0]) for o in OUTCOMES]
    return max(max(p / q, q / p) for p, q in pairs)


def log_ratio(p_given: float, p_given_not: float) -> float:
    """L = ln(P(E|H) / P(E|¬H)), held within ± ln 10. Zero if both are zero."""
    if p_given == p_given_not:
        return 0.0
    if p_given == 0 or p_given_not == 0:
        return -MAX_LOG_RATIO if p_given == 0 else MAX_LOG_RATIO
    return max(-MAX_LOG_RATIO, min(MAX_LOG_RATIO, math.log(p_given / p_given_not)))


def moved(prior: float, ratio: float) -> float:
    """Belief after evidence of log likelihood ratio `ratio`, by Bayes' rule. 0 and 1 do not move."""
    return prior if ratio == 0 else _bayes(prior, math.exp(ratio))


def design_step(earlier: Sequence[float], now: float) -> float:
    """What the newest run of a design adds to belief, in L, given what its earlier runs were worth.

    All runs of one design count as one piece of evidence, their mean: the same outcome again adds
    nothing, and the opposite outcome takes back.
    """
    before = fmean(earlier) if earlier else 0.0
    return fmean([*earlier, now]) - before


def step_check(before: float, after: float, ratio: float) -> Update:
    """Whether the step from `before` to `after` fits evidence of L = `ratio`.

    With Δ = logit(after) − logit(before): `wrong-way` if Δ and L have opposite signs and
    |Δ| > .2; `over` if |Δ| > 1.5|L| + .2; `under` if |Δ| < .5|L| − .2; else `ok`. The
    tolerances are starting values.
    """
    delta = 0.0 if before == after else _logit(after) - _logit(before)
    if delta * ratio < 0 and abs(delta) > 0.2:
        return "wrong-way"
    if abs(delta) > 1.5 * abs(ratio) + 0.2:
        return "over"
    return "under" if abs(delta) < 0.5 * abs(ratio) - 0.2 else "ok"


def target_ratio(card: ProxyCard, p_given: float, p_given_not: float) -> float:
    """Likelihood ratio that the proxy's result carries about the target's claim T.

    H is the effect in the proxy, a = P(H|T), b = P(H|¬T), and E bears on T through H alone:
    LR_T = [a·P(E|H) + (1 − a)·P(E|¬H)] / [b·P(E|H) + (1 − b)·P(E|¬H)].
    It stays within `ratio_bounds`, however many seeds are run; a = b gives 1.
    """
    if p_given == p_given_not:
        return 1.0
    a, b = card.p_given_target, card.p_given_not
    return (a * p_given + (1 - a) * p_given_not) / (b * p_given + (1 - b) * p_given_not)


def ratio_bounds(card: ProxyCard) -> tuple[float, float]:
    """(least, largest) ratio that any data from this proxy can carry about its target.

    a/b if the effect is certain to be there, (1 − a)/(1 − b) if it is certain not to be.
    `card.ceiling` looks at the first only: a proxy can say more by its absence.
    """
    a, b = card.p_given_target, card.p_given_not
    ends = a / b, (1 - a) / (1 - b)
    return min(ends), max(ends)


def target_log_ratio(card: ProxyCard, ratio: float) -> float:
    """L about the target, for evidence of L = `ratio` about the effect in the proxy."""
    if ratio == 0:
        return 0.0
    p = _bayes(0.5, math.exp(ratio))
    return math.log(target_ratio(card, p, 1 - p))


def tells_nothing(card: ProxyCard) -> bool:
    """Whether no outcome of the proxy, its absence included, can shift the target's odds by `LEAST_REACH`."""
    least, largest = ratio_bounds(card)
    return max(largest, 1 / least) < LEAST_REACH


def _bayes(prior: float, ratio: float) -> float:
    return prior * ratio / (prior * ratio + (1 - prior))


def _logit(p: float) -> float:
    if p in (0, 1):
        return math.inf if p else -math.inf
    return math.log(p / (1 - p))
