"""Rules on the conclusion: what it may say, given what was planned, predicted and computed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property

from autoresearch.forecasting import belief
from autoresearch.forecasting.evidence import grade_of
from autoresearch.forecasting.standing import Accepted, prior_of, replicated, step_of, target_prior_of
from autoresearch.hedging import hedges
from autoresearch.monitors import numbers
from autoresearch.monitors.rule import Note, Rule, run_rules
from autoresearch.monitors.wording import (
    addressed_to_a_reviewer,
    boilerplate,
    clauses,
    overclaims,
    qualified,
    says_nothing,
    sizes,
    without_names,
)
from autoresearch.records import (
    LEAST_REACH,
    SAME_BELIEF,
    Check,
    Claim,
    Conclusion,
    Critique,
    Finding,
    Forecast,
    Hypothesis,
    Plan,
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


@dataclass(frozen=True)
class ConclusionInputs:
    conclusion: Conclusion
    check: Check
    plan: Plan
    critique: Critique
    forecasts: Sequence[Forecast]
    """The author's and the reviewers'."""
    accepted: Sequence[Accepted] = ()
    """What earlier cycles of the project ended with."""

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
    def by_table(self) -> set[str]:
        """What the decision table alone says of each hypothesis: it asserts nothing beyond the outcome."""
        rows = [
            r for r in self.plan.decision_table if r.outcome == self.check.contrast.outcome and r.unworded
        ]
        return {row.says_of(hypothesis) for row in rows for hypothesis in self.plan.hypotheses}

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
        stated = "" if claim.statement in given.by_table else claim.statement
        for number in numbers.unresolved(stated, given.computed, given.names):
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
        found = list(dict.fromkeys(sizes(without_names(text, given.names))))
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
    claims = [(c.id, c.statement) for c in given.conclusion.claims if c.statement not in given.by_table]
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


# -------------------------------------------------------------------- evidence


def _target_without_proxy(given: ConclusionInputs) -> Iterator[Note]:
    """A claim about the target although no proxy figures were stated."""
    for claim in given.conclusion.claims:
        if claim.about == "target" and given.critique.proxy is None:
            said = f"{claim.id} is about the target, but no proxy figures were stated: claim it of the proxy only"
            yield Note("block", said, claim.statement)


def _beyond_reach(given: ConclusionInputs) -> Iterator[Note]:
    """Belief about the target moved, although the proxy can tell nothing of it."""
    card = given.critique.proxy
    for claim in given.conclusion.claims:
        if (
            card is not None
            and claim.about == "target"
            and claim.verdict != "no update"
            and belief.tells_nothing(card)
        ):
            said = f"{claim.id} updates on the target, but whatever came out the odds shift less than {LEAST_REACH:g}-fold"
            yield Note("block", f"{said}: the verdict is `no update`", claim.statement)


def _grade_differs(given: ConclusionInputs) -> Iterator[Note]:
    """A claim has another grade than plan and check give it."""
    for claim in given.conclusion.claims:
        grade, why = grade_of(claim, given.plan, given.check)
        if claim.grade != grade:
            yield Note(
                "block",
                f"{claim.id} is graded {claim.grade}; its evidence is {grade}: {why}",
                claim.statement,
            )
        again = replicated(claim, given.plan, given.check, given.accepted)
        if claim.replicated != again:
            said = "no other accepted design" if claim.replicated else "another accepted design"
            yield Note(
                "block",
                f"{claim.id} is marked {claim.evidence}, but {said} bore on its hypotheses the same way",
                claim.statement,
            )


def _level_too_high(given: ConclusionInputs) -> Iterator[Note]:
    """A claim that its assumptions hold at the target, without evidence from there."""
    for claim in given.conclusion.claims:
        if claim.level == "L3" and claim.grade in ("E0", "E1", "E2"):
            said = f"{claim.id} is of level L3 on evidence {claim.grade}: nothing here was seen at the target"
            yield Note("block", f"{said}; lower the level", claim.statement)


def _assumption_dropped(given: ConclusionInputs) -> Iterator[Note]:
    """A claim does not carry the assumptions that nobody tested."""
    untested = [a.id for a in given.critique.assumptions if a.status == "open"]
    for claim in given.conclusion.claims:
        missing = [name for name in untested if name not in claim.assumes]
        if missing:
            yield Note(
                "block",
                f"{claim.id} holds only if {', '.join(missing)} does, which is open, and does not say so",
            )


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


def _hedged(given: ConclusionInputs) -> Iterator[Note]:
    """A claim takes itself back in words, where the belief is the place for doubt."""
    for claim in given.conclusion.claims:
        found = list(dict.fromkeys(hedges(claim.statement)))
        if found:
            said = f"{claim.id} says `{', '.join(found)}`: say what would be seen, and put the doubt into p_after"
            yield Note("warn", said, claim.statement)


def _boilerplate(given: ConclusionInputs) -> Iterator[Note]:
    """A limitation that would fit any report, or stood in one on another question."""
    card = given.critique.proxy
    own = [*card.disanalogies, card.target] if card else []
    others = [cycle for cycle in given.accepted if cycle.plan.question != given.plan.question]
    for line in given.conclusion.does_not_show:
        generic = boilerplate(line)
        if generic:
            yield Note(
                "warn",
                f"does_not_show: `{generic}` would fit any report: say what this one leaves open",
                line,
            )
        elif not any(text in line for text in own):
            twin = next(
                (c.cycle for c in others if any(_alike(line, o) for o in c.conclusion.does_not_show)), None
            )
            if twin is not None:
                yield Note("warn", f"does_not_show: cycle {twin} said this of another question", line)


def _alike(first: str, second: str) -> bool:
    """Nine words in ten the same, in order."""
    one, other = (re.findall(r"\w+", text.lower()) for text in (first, second))
    return SequenceMatcher(a=one, b=other, autojunk=False).ratio() >= 0.9


# ---------------------------------------------------------------------- belief


def _prior_moved(given: ConclusionInputs) -> Iterator[Note]:
    """The belief before is neither the one frozen with the plan nor the one accepted since."""
    for claim, hypothesis in _single(given):
        prior = _prior(claim, hypothesis, given)
        if all(abs(claim.p_before - p) > SAME_BELIEF for p in (prior, 1 - prior)):
            said = f"{claim.id} starts from {claim.p_before:g}; {prior:g} was on record for {hypothesis.id} before the run"
            yield Note("block", said, claim.statement)


def _update_unfounded(given: ConclusionInputs) -> Iterator[Note]:
    """Belief moved further than the outcome carries, hardly at all, or against it."""
    outcome = given.check.contrast.outcome
    for claim, hypothesis in _single(given):
        prior, ratio = _prior(claim, hypothesis, given), _ratio(claim, hypothesis, given)
        verdicts = [belief.step_check(claim.p_before, claim.p_after, ratio)]
        if abs(claim.p_before - (1 - prior)) <= SAME_BELIEF:  # the claim may deny the hypothesis
            verdicts.append(belief.step_check(claim.p_before, claim.p_after, -ratio))
        moved = f"{claim.id}: belief went {claim.p_before:.2f} → {claim.p_after:.2f}"
        seen = f"a {outcome} outcome, given what {hypothesis.id} predicts and what was known"
        if all(verdict == "wrong-way" for verdict in verdicts):
            yield Note("block", f"{moved}, against {seen}", claim.statement)
        elif all(verdict in ("over", "wrong-way") for verdict in verdicts):
            yield Note("warn", f"{moved}, further than {seen}, carries", claim.statement)
        elif all(verdict != "ok" for verdict in verdicts):
            yield Note("info", f"{moved}, less than {seen}, would carry", claim.statement)


def _single(given: ConclusionInputs) -> Iterator[tuple[Claim, Hypothesis]]:
    """Claims about exactly one hypothesis of the plan, with it; none that needs figures which are not there."""
    for claim in given.conclusion.claims:
        if claim.about == "target" and given.critique.proxy is None:
            continue
        known = [given.hypotheses[name] for name in claim.hypotheses if name in given.hypotheses]
        if len(known) == 1:
            yield claim, known[0]


def _prior(claim: Claim, hypothesis: Hypothesis, given: ConclusionInputs) -> float:
    card = given.critique.proxy
    if claim.about == "target" and card is not None:
        return target_prior_of(card, given.accepted)
    return prior_of(hypothesis, given.accepted)


def _ratio(claim: Claim, hypothesis: Hypothesis, given: ConclusionInputs) -> float:
    """L of the result about the claim."""
    ratio = step_of(hypothesis, given.plan, given.check, given.accepted)
    card = given.critique.proxy
    return belief.target_log_ratio(card, ratio) if claim.about == "target" and card is not None else ratio


RULES: tuple[Rule[ConclusionInputs], ...] = (
    Rule("conclusion.number-unresolved", "conclusion", _number_unresolved),
    Rule("conclusion.target-number", "conclusion", _target_number),
    Rule("conclusion.interval-wording", "conclusion", _interval_wording),
    Rule("conclusion.absence-claimed", "conclusion", _absence_claimed),
    Rule("conclusion.over-claim", "conclusion", _over_claim),
    Rule("conclusion.addressed-text", "conclusion", _addressed),
    Rule("conclusion.target-without-proxy", "conclusion", _target_without_proxy),
    Rule("conclusion.beyond-reach", "conclusion", _beyond_reach),
    Rule("conclusion.grade-differs", "conclusion", _grade_differs),
    Rule("conclusion.level-too-high", "conclusion", _level_too_high),
    Rule("conclusion.assumption-dropped", "conclusion", _assumption_dropped),
    Rule("conclusion.unknown-hypothesis", "conclusion", _unknown_hypothesis),
    Rule("conclusion.surprise-unexplained", "conclusion", _surprise_unexplained),
    Rule("conclusion.deviation-unmentioned", "conclusion", _deviation_unmentioned),
    Rule("conclusion.exploratory-unlabelled", "conclusion", _exploratory_unlabelled),
    Rule("conclusion.no-threshold", "conclusion", _no_threshold),
    Rule("conclusion.hedged", "conclusion", _hedged),
    Rule("conclusion.boilerplate", "conclusion", _boilerplate),
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
    forecasts: Sequence[Forecast],
    accepted: Sequence[Accepted] = (),
) -> list[Finding]:
    """What the rules find, in the order of `RULES`. `forecasts`: all that were made before the run."""
    return run_rules(RULES, ConclusionInputs(conclusion, check, plan, critique, forecasts, accepted))
