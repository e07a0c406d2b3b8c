"""Rules on the conclusion: what it may say, given what was planned, predicted and computed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from autoresearch.forecasting import belief
from autoresearch.monitors import numbers
from autoresearch.monitors.rule import Note, Rule, run_rules
from autoresearch.monitors.wording import (
    addressed_to_a_reviewer,
    clauses,
    overclaims,
    qualified,
    says_nothing,
    sizes,
)
from autoresearch.records import (
    Approval,
    Check,
    Claim,
    Conclusion,
    Critique,
    Finding,
    Forecast,
    Grade,
    Hypothesis,
    Plan,
    Prediction,
)

# Words for a direction of the metric's number …
_UP = r"increas(?:e[sd]?|ing)|rais(?:e[sd]?|ing)|higher|larger|greater|rises?|rose|grows?|grew"
_DOWN = (
    r"reduc(?:e[sd]?|ing)|decreas(?:e[sd]?|ing)|lower(?:s|ed|ing)?|smaller|fewer|falls?|fell|shrinks?|drops?"
)
# … and for a direction of its worth.
_BETTER = r"improv(?:e[sd]?|ing|ements?)|outperform(?:s|ed|ing)?|beats?|better|gains?|helps?|superior"
_WORSE = r"worsen(?:s|ed|ing)?|underperform(?:s|ed|ing)?|worse|hurts?|harm(?:s|ed|ing)?|degrad(?:e[sd]?|ing)|inferior"
_CAUSE = r"caus(?:e[sd]?|ing)|leads? to|affect(?:s|ed|ing)?|has an effect|drives?"
_DIRECTION = re.compile(
    rf"\b(?:(?P<up>{_UP})|(?P<down>{_DOWN})|(?P<better>{_BETTER})|(?P<worse>{_WORSE})|(?P<cause>{_CAUSE}))\b",
    re.IGNORECASE,
)
_ABSENCE = re.compile(
    r"\b(?:no (?:\w+ )?(?:effect|difference|change|influence|impact)|makes? no difference|(?:are|is|were|was) the same"
    r"|equally (?:good|well|often|likely)|indistinguishable|do(?:es)? not (?:affect|change|matter|influence))\b",
    re.IGNORECASE,
)
_GRADES: tuple[Grade, ...] = ("E0", "E1", "E2", "E3", "E4")


@dataclass(frozen=True)
class ConclusionInputs:
    conclusion: Conclusion
    check: Check
    plan: Plan
    critique: Critique
    prediction: Prediction
    approval: Approval

    @cached_property
    def forecasts(self) -> list[Forecast]:
        """The author's and the reviewer's."""
        return [*self.prediction.forecasts, *self.approval.forecasts]

    @cached_property
    def hypotheses(self) -> dict[str, Hypothesis]:
        return {h.id: h for h in self.plan.hypotheses}

    @cached_property
    def names(self) -> set[str]:
        """Identifiers that stand in prose and may hold digits."""
        plan = self.plan
        named = {arm.name for arm in plan.arms} | set(self.hypotheses) | {plan.metric.name}
        named |= {claim.id for claim in self.conclusion.claims} | {f.id for f in self.forecasts}
        named |= {a.id for a in self.critique.assumptions} | {o.id for o in self.critique.objections}
        return named | set(plan.metric.arrays.values())

    @cached_property
    def computed(self) -> list[float]:
        """What a claim may cite: summaries of arms, the contrast, and the plan's own settings."""
        check, plan = self.check, self.plan
        sources = [
            [arm.model_dump(include={"n", "mean", "sd"}) for arm in check.arms],
            check.contrast.model_dump(exclude={"per_seed"}),
            plan.contrast.model_dump(),
            plan.metric.model_dump(),
            [arm.x for arm in plan.arms],
            plan.config,
            [plan.trials_per_arm, len(plan.arms), len(plan.arms) * plan.trials_per_arm],
        ]
        return list(numbers.numbers_of(sources))

    @cached_property
    def stated(self) -> list[float]:
        """What prose may cite besides: single trials, forecasts and their scores, beliefs, the proxy."""
        sources = [
            self.check.model_dump(include={"arms", "contrast", "scores", "surprise", "rechecks"}),
            [forecast.model_dump() for forecast in self.forecasts],
            [hypothesis.prior for hypothesis in self.plan.hypotheses],
            [claim.model_dump(include={"p_before", "p_after"}) for claim in self.conclusion.claims],
            self.plan.limits.model_dump(),
            [self.critique.proxy.model_dump(), self.critique.proxy.ceiling] if self.critique.proxy else [],
            [len(self.plan.hypotheses), len(self.forecasts), len(self.conclusion.claims)],
        ]
        return [*self.computed, *numbers.numbers_of(sources)]

    @cached_property
    def texts(self) -> list[tuple[str, str]]:
        """Every text of the conclusion, with the place it stands in."""
        conclusion = self.conclusion
        found = [("takeaway", conclusion.takeaway), ("prose", conclusion.prose)]
        found += [("surprise_explained", conclusion.surprise_explained)]
        found += [("does_not_show", line) for line in conclusion.does_not_show]
        for claim in conclusion.claims:
            found += [(claim.id, claim.statement), (f"{claim.id}, scope", claim.scope)]
            found += [(f"{claim.id}, change_our_mind", claim.change_our_mind)]
        return [(place, text) for place, text in found if text]


# --------------------------------------------------------------------- numbers


def _number_unresolved(given: ConclusionInputs) -> Iterator[Note]:
    """A number in a claim or in the prose that nothing computed or planned stands behind."""
    mend = "write it as the check computed it, or leave it out"
    for claim in given.conclusion.claims:
        for number in numbers.unresolved(claim.statement, given.computed, given.names):
            yield Note("block", f"{claim.id}: no computed number reads {number}: {mend}", claim.statement)
        for number in numbers.unresolved(claim.scope, given.stated, given.names):
            yield Note(
                "warn", f"{claim.id}, scope: no number of plan or check reads {number}: {mend}", claim.scope
            )
    for place in ("prose", "surprise_explained"):
        text = getattr(given.conclusion, place)
        for number in numbers.unresolved(text, given.stated, given.names):
            yield Note("warn", f"{place}: no number of plan or check reads {number}: {mend}", text)


def _target_number(given: ConclusionInputs) -> Iterator[Note]:
    """A number in the takeaway or in a claim about the target."""
    about_target = [(c.id, c.statement) for c in given.conclusion.claims if c.about == "target"]
    for place, text in [("takeaway", given.conclusion.takeaway), *about_target]:
        found = list(dict.fromkeys(sizes(_without_names(text, given.names))))
        if found:
            said = (
                f"{place} gives a size ({', '.join(found)}): a proxy carries a sign or an order to its target"
            )
            yield Note("block", f"{said}, never a number", text)


# --------------------------------------------------------------------- wording


def _interval_wording(given: ConclusionInputs) -> Iterator[Note]:
    """A claim asserts a direction or an effect that the interval does not show."""
    contrast = given.check.contrast
    shown = f"[{contrast.low:.3g}, {contrast.high:.3g}] is {contrast.outcome}"
    observed = {"positive": 1, "negative": -1}.get(contrast.outcome)
    for claim, text in _claims_and_takeaway(given):
        for clause in clauses(text):
            found = [] if qualified(clause) else list(_DIRECTION.finditer(clause))
            signs = [_asserted_sign(match, clause, given.plan) for match in found]
            if not found or observed in signs:
                continue
            if observed is None:
                said = f"{claim} says `{found[0][0]}`, but the interval {shown}: it shows no direction"
                yield Note("block", said, clause)
            elif -observed in signs:
                word = found[signs.index(-observed)][0]
                said = f"{claim} says `{word}`, but the interval {shown}: that is the other direction"
                yield Note("block", said, clause)


def _absence_claimed(given: ConclusionInputs) -> Iterator[Note]:
    """A claim asserts that there is no effect, which only a negligible interval shows."""
    contrast = given.check.contrast
    if contrast.outcome == "negligible":
        return
    for claim, text in _claims_and_takeaway(given):
        match = _ABSENCE.search(text)
        if match:
            said = f"{claim} says `{match[0]}`, but [{contrast.low:.3g}, {contrast.high:.3g}] is {contrast.outcome}"
            yield Note("block", f"{said}: absence of evidence is not evidence of absence", text)


def _over_claim(given: ConclusionInputs) -> Iterator[Note]:
    """Words that no experiment can carry."""
    for place, text in given.texts:
        for word in dict.fromkeys(overclaims(text)):
            yield Note("warn", f"{place} says `{word}`: say what was seen, and where", text)


def _addressed(given: ConclusionInputs) -> Iterator[Note]:
    """The conclusion speaks to whoever reviews it."""
    for place, text in given.texts:
        for phrase in addressed_to_a_reviewer(text):
            yield Note(
                "block",
                f"{place}: text addressed to a reviewer (`{phrase}`): a conclusion is about the study",
                text,
            )


def _claims_and_takeaway(given: ConclusionInputs) -> list[tuple[str, str]]:
    claims = [(claim.id, claim.statement) for claim in given.conclusion.claims]
    return [*claims, ("takeaway", given.conclusion.takeaway)]


def _asserted_sign(match: re.Match[str], clause: str, plan: Plan) -> int:
    """Sign of the contrast that the clause asserts; 0 if it names none.

    The contrast is treatment against control, so a clause whose subject is the control
    asserts the opposite sign.
    """
    better = {"higher": 1, "lower": -1, "neither": 0}[plan.metric.better]
    by_word = {"up": 1, "down": -1, "better": better, "worse": -better, "cause": 0}
    sign = by_word[match.lastgroup or "cause"]
    contrast = plan.contrast
    subject = clause[: match.start()]
    if contrast.control and contrast.treatment:
        control, treatment = (_names(name, subject) for name in (contrast.control, contrast.treatment))
        return -sign if control and not treatment else sign
    return sign


def _names(name: str, text: str) -> bool:
    return bool(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text, re.IGNORECASE))


def _without_names(text: str, names: set[str]) -> str:
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", " ", text)
    return text


# -------------------------------------------------------------------- evidence


def _target_without_proxy(given: ConclusionInputs) -> Iterator[Note]:
    """A claim about the target although no proxy figures were stated."""
    for claim in given.conclusion.claims:
        if claim.about == "target" and given.critique.proxy is None:
            said = f"{claim.id} is about the target, but no proxy figures were stated: claim it of the proxy only"
            yield Note("block", said, claim.statement)


def _grade_too_high(given: ConclusionInputs) -> Iterator[Note]:
    """A claim is graded above what the plan's evidence can carry."""
    highest = given.plan.highest_grade
    reported = given.plan.metric.formula == "reported"
    why = "a self-reported metric" if reported else "an experiment that stands in for its target"
    if given.plan.command:
        why = "a command, which few rules can read,"
    for claim in given.conclusion.claims:
        if _GRADES.index(claim.grade) > _GRADES.index(highest):
            yield Note(
                "block",
                f"{claim.id} is graded {claim.grade}; {why} carries at most {highest}",
                claim.statement,
            )


def _level_too_high(given: ConclusionInputs) -> Iterator[Note]:
    """A claim that its assumptions hold at the target, without evidence from there."""
    still_open = [a.id for a in given.critique.assumptions if a.status == "open"]
    for claim in given.conclusion.claims:
        if claim.level == "L3" and still_open:
            said = f"{claim.id} is of level L3, but {', '.join(still_open)} is still open"
            yield Note("block", f"{said}: lower the level", claim.statement)
        elif claim.level == "L3" and claim.grade in ("E0", "E1", "E2"):
            said = f"{claim.id} is of level L3 on evidence {claim.grade}: nothing here was seen at the target"
            yield Note("block", f"{said}; lower the level", claim.statement)


def _forecast_unscored(given: ConclusionInputs) -> Iterator[Note]:
    """A forecast of author or reviewer was not scored."""
    scored = {(score.forecast, score.forecaster) for score in given.check.scores}
    for f in given.forecasts:
        if (f.id, f.forecaster) not in scored:
            said = f"{f.id} of {f.forecaster} ({f.about}) has no score: every prediction is reported"
            yield Note("block", said, f.reasoning)


def _unknown_hypothesis(given: ConclusionInputs) -> Iterator[Note]:
    """A claim names a hypothesis that the plan does not have."""
    for claim in given.conclusion.claims:
        unknown = [name for name in claim.hypotheses if name not in given.hypotheses]
        if unknown:
            said = f"{claim.id} rests on {', '.join(unknown)}, which the plan does not have"
            yield Note("block", f"{said}: a hypothesis formed after the run is exploratory", claim.statement)


def _surprise_unexplained(given: ConclusionInputs) -> Iterator[Note]:
    """The primary forecast was far off and nobody says why."""
    surprise = given.check.surprise
    if surprise.verdict != "expected" and says_nothing(given.conclusion.surprise_explained):
        said = f"{surprise.forecast} was far from the result ({surprise.verdict}): fill in surprise_explained"
        yield Note("block", f"{said}, an error in the experiment included")


def _surprise_not_rerun(given: ConclusionInputs) -> Iterator[Note]:
    """The result was surprising enough for a fresh seed and none was run."""
    fresh = any(recheck.fresh and recheck.value is not None for recheck in given.check.rechecks)
    if given.check.surprise.verdict == "rerun" and not fresh:
        yield Note("warn", "so surprising a result calls for a fresh seed, and none was run")


def _deviation_unmentioned(given: ConclusionInputs) -> Iterator[Note]:
    """The run departed from its plan and the prose does not say so."""
    deviations = given.check.deviations
    if deviations and "deviat" not in given.conclusion.prose.lower():
        names = ", ".join(sorted({finding.check for finding in deviations}))
        yield Note("warn", f"the prose mentions no deviation from the plan; the check found {names}")


def _exploratory_unlabelled(given: ConclusionInputs) -> Iterator[Note]:
    """What was formed after a result was seen is claimed as if it had been tested."""
    if not given.check.exploratory:
        return
    for claim in given.conclusion.claims:
        if "explor" not in f"{claim.statement} {claim.scope}".lower():
            said = (
                f"{claim.id} rests on a plan formed after a result was seen: call it exploratory in its scope"
            )
            yield Note("block", said, claim.scope)


def _no_threshold(given: ConclusionInputs) -> Iterator[Note]:
    """A claim does not say which observation would change our mind."""
    for claim in given.conclusion.claims:
        text = claim.change_our_mind
        if says_nothing(text):
            yield Note("warn", f"{claim.id} names nothing that would change our mind", text)


# ---------------------------------------------------------------------- belief


def _prior_moved(given: ConclusionInputs) -> Iterator[Note]:
    """The belief before differs from the one frozen with the plan."""
    for claim, hypothesis in _single(given):
        priors = (hypothesis.prior, 1 - hypothesis.prior)
        if claim.about == "proxy" and all(abs(claim.p_before - prior) > 0.005 for prior in priors):
            said = f"{claim.id} starts from {claim.p_before:g}, the plan froze {hypothesis.prior:g} for {hypothesis.id}"
            yield Note("warn", said, claim.statement)


def _update_unfounded(given: ConclusionInputs) -> Iterator[Note]:
    """Belief moved further than the outcome carries, or against it."""
    outcome = given.check.contrast.outcome
    for claim, hypothesis in _single(given):
        p, p_not = _likelihoods(claim, hypothesis, given)
        verdicts = [belief.update_check(claim.p_before, claim.p_after, p, p_not)]
        if abs(claim.p_before - (1 - hypothesis.prior)) <= 0.005:  # the claim may deny the hypothesis
            verdicts.append(belief.update_check(claim.p_before, claim.p_after, p_not, p))
        moved = f"{claim.id}: belief went {claim.p_before:.2f} → {claim.p_after:.2f}"
        seen = f"a {outcome} outcome, given what {hypothesis.id} predicts"
        if all(verdict == "wrong-way" for verdict in verdicts):
            yield Note("block", f"{moved}, against {seen}", claim.statement)
        elif all(verdict in ("over", "wrong-way") for verdict in verdicts):
            yield Note("warn", f"{moved}, further than {seen}, carries", claim.statement)


def _single(given: ConclusionInputs) -> Iterator[tuple[Claim, Hypothesis]]:
    """Claims about exactly one hypothesis of the plan, with it."""
    for claim in given.conclusion.claims:
        known = [given.hypotheses[name] for name in claim.hypotheses if name in given.hypotheses]
        if len(known) == 1:
            yield claim, known[0]


def _likelihoods(claim: Claim, hypothesis: Hypothesis, given: ConclusionInputs) -> tuple[float, float]:
    """P(outcome | claim), P(outcome | not the claim), up to a common factor."""
    pair = belief.likelihoods(given.check.contrast.outcome, hypothesis)
    if claim.about == "proxy" or given.critique.proxy is None:
        return pair
    ratio = belief.target_ratio(given.critique.proxy, *pair)
    return ratio / (1 + ratio), 1 / (1 + ratio)


RULES: tuple[Rule[ConclusionInputs], ...] = (
    Rule("conclusion.number-unresolved", "conclusion", _number_unresolved),
    Rule("conclusion.target-number", "conclusion", _target_number),
    Rule("conclusion.interval-wording", "conclusion", _interval_wording),
    Rule("conclusion.absence-claimed", "conclusion", _absence_claimed),
    Rule("conclusion.over-claim", "conclusion", _over_claim),
    Rule("conclusion.addressed-text", "conclusion", _addressed),
    Rule("conclusion.target-without-proxy", "conclusion", _target_without_proxy),
    Rule("conclusion.grade-too-high", "conclusion", _grade_too_high),
    Rule("conclusion.level-too-high", "conclusion", _level_too_high),
    Rule("conclusion.unknown-hypothesis", "conclusion", _unknown_hypothesis),
    Rule("conclusion.surprise-unexplained", "conclusion", _surprise_unexplained),
    Rule("conclusion.deviation-unmentioned", "conclusion", _deviation_unmentioned),
    Rule("conclusion.exploratory-unlabelled", "conclusion", _exploratory_unlabelled),
    Rule("conclusion.no-threshold", "conclusion", _no_threshold),
    Rule("conclusion.prior-moved", "conclusion", _prior_moved),
    Rule("conclusion.update-unfounded", "conclusion", _update_unfounded),
    Rule("check.forecast-unscored", "check", _forecast_unscored),
    Rule("check.surprise-not-rerun", "check", _surprise_not_rerun),
)


def conclusion_findings(  # noqa: PLR0917 - the records that a conclusion answers to
    conclusion: Conclusion,
    check: Check,
    plan: Plan,
    critique: Critique,
    prediction: Prediction,
    approval: Approval,
) -> list[Finding]:
    """What the rules find, in the order of `RULES`. `approval` is the one the run consumed."""
    return run_rules(RULES, ConclusionInputs(conclusion, check, plan, critique, prediction, approval))
