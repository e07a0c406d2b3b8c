"""Rules on ideas and critique: hypotheses, rivals, assumptions, proxy."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from autoresearch.monitors.rule import Note, Rule, run_rules
from autoresearch.monitors.wording import says_nothing
from autoresearch.records import OUTCOMES, Critique, Finding, Hypothesis, Ideas, Outcome, Severity

WEAK_CEILING = 1.2
"""A likelihood ratio below this is not worth an experiment; a starting value."""

_SIGNED = (
    r"(improve|increase|raise|boost|enhance|help|reduce|decrease|lower|worsen|harm|hurt|delay|prevent"
    r"|mitigate|outperform|beat|strengthen|weaken|accelerate|slow|suppress)"
)
_PRESUMES = re.compile(
    rf"\b(?:do|does|did|can|will|would|could)\b[^?]*?\b{_SIGNED}\b"
    r"|\b(?:is|are|was|were)\b[^?]*?\b(better|worse|higher|lower|more|fewer|less|faster|slower|safer)\b[^?]*?\bthan\b",
    re.IGNORECASE,
)
_LEAVES_OPEN = re.compile(
    r"\b(?:change|affect|depend|vary|influence|relate|differ|compare)s?\b|\bor\b[^?]*\b(?:reduce|decrease|lower"
    r"|worse|worsen|harm|hurt|increase|raise|improve|not|neither|less|fewer|weaken|slow|higher|better|more)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class CritiqueInputs:
    ideas: Ideas
    critique: Critique
    """Its findings are not read."""
    hypotheses: Sequence[Hypothesis]
    """As the author states them, rivals included."""
    missing_sections: Sequence[str]
    """Keys of the optional sections that a written proposal lacks."""

    @property
    def everyone(self) -> list[Hypothesis]:
        """Hypotheses and candidates, each id once."""
        by_id: dict[str, Hypothesis] = {h.id: h for h in self.ideas.candidates}
        return list((by_id | {h.id: h for h in self.hypotheses}).values())

    @property
    def chosen(self) -> Hypothesis:
        return next(h for h in self.everyone if h.id == self.ideas.chosen)


def _section_missing(given: CritiqueInputs) -> Iterator[Note]:
    """An optional section of the proposal is absent."""
    for key in given.missing_sections:
        name = key.replace("-", " ").capitalize()
        yield Note("info", f"the proposal has no section `## {name}`")


def _question_presumes_sign(given: CritiqueInputs) -> Iterator[Note]:
    """The question presumes the sign of its answer."""
    match = _PRESUMES.search(given.ideas.question)
    if match and not _LEAVES_OPEN.search(given.ideas.question):
        word = next(group for group in match.groups() if group)
        yield Note(
            "warn",
            f"the question presumes a sign (`{word}`): ask how the outcome changes, so that either sign answers it",
            given.ideas.question,
        )


def _unrefutable(given: CritiqueInputs) -> Iterator[Note]:
    """No outcome could refute a hypothesis."""
    for h in given.everyone:
        if not h.refuted_by:
            severity: Severity = "block" if h.id == given.ideas.chosen else "warn"
            why = "no outcome could refute it: name at least one in refuted_by"
            yield Note(severity, f"{h.id}: {why}", h.statement)


def _expects_everything(given: CritiqueInputs) -> Iterator[Note]:
    """A hypothesis expects every outcome that decides anything."""
    deciding: set[Outcome] = set(OUTCOMES) - {"inconclusive"}
    for h in given.everyone:
        if deciding <= set(h.expects):
            yield Note("warn", f"{h.id} expects {_list(h.expects)}: it predicts nothing", h.statement)


def _expects_nothing(given: CritiqueInputs) -> Iterator[Note]:
    """A hypothesis expects no outcome."""
    for h in given.everyone:
        if not h.expects:
            yield Note("warn", f"{h.id} expects no outcome, so no result can support it", h.statement)


def _expects_its_refutation(given: CritiqueInputs) -> Iterator[Note]:
    """A hypothesis expects an outcome that would refute it."""
    for h in given.everyone:
        both = [outcome for outcome in h.expects if outcome in h.refuted_by]
        if both:
            yield Note("block", f"{h.id} both expects and is refuted by {_list(both)}: keep one", h.statement)


def _certain(given: CritiqueInputs) -> Iterator[Note]:
    """A prior of 0 or 1, which no evidence moves."""
    for h in given.everyone:
        if h.prior in (0, 1):
            yield Note("warn", f"{h.id} has prior {h.prior:g}, which no evidence can move", h.statement)


def _no_rival(given: CritiqueInputs) -> Iterator[Note]:
    """The author states no rival to the chosen hypothesis."""
    if all(h.id == given.ideas.chosen for h in given.hypotheses):
        yield Note("warn", f"nothing rivals {given.ideas.chosen}: state what else could explain its outcome")


def _rival_predicts_the_same(given: CritiqueInputs) -> Iterator[Note]:
    """A rival expects the same outcomes as the chosen hypothesis."""
    chosen = given.chosen
    for h in given.everyone:
        if h.id != chosen.id and h.expects and set(h.expects) == set(chosen.expects):
            said = f"{h.id} expects {_list(h.expects)}, as {chosen.id} does: this experiment cannot tell them apart"
            yield Note("warn", said, h.statement)


def _no_assumption(given: CritiqueInputs) -> Iterator[Note]:
    """No assumption is stated."""
    if not given.critique.assumptions:
        yield Note("warn", "no assumption is stated: say what has to be true for the answer to count")


def _assumption_unbreakable(given: CritiqueInputs) -> Iterator[Note]:
    """An assumption does not say what would break it."""
    for a in given.critique.assumptions:
        if says_nothing(a.breaks_if) or _same(a.breaks_if, a.statement):
            yield Note("warn", f"{a.id} does not say what would break it: name an observation", a.statement)


def _assumption_open(given: CritiqueInputs) -> Iterator[Note]:
    """An assumption is neither tested nor accepted."""
    for a in given.critique.assumptions:
        if a.status == "open":
            yield Note("warn", f"{a.id} is open: test it, or accept it knowingly", a.statement)


def _objection_unanswered(given: CritiqueInputs) -> Iterator[Note]:
    """An objection has no answer."""
    for o in given.critique.objections:
        if not o.answer.strip():
            yield Note("info", f"objection {o.id} has no answer", o.objection)


def _proxy_unstated(given: CritiqueInputs) -> Iterator[Note]:
    """No proxy card, so the gap to the target is unstated."""
    if given.critique.proxy is None:
        yield Note(
            "warn",
            "the gap between experiment and target is unstated: without p_given_target and p_given_not "
            "no claim may reach beyond the proxy",
        )


def _proxy_without_disanalogy(given: CritiqueInputs) -> Iterator[Note]:
    """The proxy card names no difference between proxy and target."""
    card = given.critique.proxy
    if card and all(says_nothing(line) for line in card.disanalogies):
        yield Note(
            "warn", "the proxy card names no disanalogy: say where proxy and target differ", card.proxy
        )


def _proxy_is_target(given: CritiqueInputs) -> Iterator[Note]:
    """Proxy and target are described in the same words."""
    card = given.critique.proxy
    if card and _same(card.proxy, card.target):
        said = "proxy and target are the same words: describe what is measured, and what it stands for"
        yield Note("warn", said, card.target)


def _proxy_ceiling(given: CritiqueInputs) -> Iterator[Note]:
    """No amount of data from the proxy can say much about the target."""
    card = given.critique.proxy
    if card and card.ceiling < WEAK_CEILING:
        yield Note(
            "warn",
            f"the proxy's ceiling is {card.ceiling:.2f}: however many trials run, an effect changes the odds "
            f"of the claim about the target by at most this factor (below {WEAK_CEILING}, consider not running it)",
            f"a = {card.p_given_target}, b = {card.p_given_not}",
        )


def _proxy_backwards(given: CritiqueInputs) -> Iterator[Note]:
    """The proxy is said to show the effect more often when the target's claim is false."""
    card = given.critique.proxy
    if card and card.p_given_target < card.p_given_not:
        said = (
            "p_given_target is below p_given_not: finding the effect would speak against the target's claim"
        )
        yield Note("warn", f"{said}; is that meant?", f"a = {card.p_given_target}, b = {card.p_given_not}")


def _list(outcomes: Sequence[str]) -> str:
    return ", ".join(outcomes)


def _same(one: str, other: str) -> bool:
    """Equal but for case, spaces and punctuation."""
    return re.findall(r"\w+", one.lower()) == re.findall(r"\w+", other.lower())


RULES: tuple[Rule[CritiqueInputs], ...] = (
    Rule("ideas.question-presumes-sign", "ideas", _question_presumes_sign),
    Rule("ideas.unrefutable", "ideas", _unrefutable),
    Rule("ideas.expects-everything", "ideas", _expects_everything),
    Rule("ideas.expects-nothing", "ideas", _expects_nothing),
    Rule("ideas.expects-its-refutation", "ideas", _expects_its_refutation),
    Rule("ideas.certain", "ideas", _certain),
    Rule("ideas.no-rival", "ideas", _no_rival),
    Rule("ideas.rival-predicts-the-same", "ideas", _rival_predicts_the_same),
    Rule("critique.no-assumption", "critique", _no_assumption),
    Rule("critique.assumption-unbreakable", "critique", _assumption_unbreakable),
    Rule("critique.assumption-open", "critique", _assumption_open),
    Rule("critique.objection-unanswered", "critique", _objection_unanswered),
    Rule("critique.proxy-unstated", "critique", _proxy_unstated),
    Rule("critique.proxy-without-disanalogy", "critique", _proxy_without_disanalogy),
    Rule("critique.proxy-is-target", "critique", _proxy_is_target),
    Rule("critique.proxy-ceiling", "critique", _proxy_ceiling),
    Rule("critique.proxy-backwards", "critique", _proxy_backwards),
    Rule("proposal.section-missing", "proposal", _section_missing),
)


def critique_findings(
    ideas: Ideas, critique: Critique, hypotheses: Sequence[Hypothesis], missing_sections: Sequence[str]
) -> list[Finding]:
    """What the rules find, in the order of `RULES`. `critique` is the record without findings."""
    return run_rules(RULES, CritiqueInputs(ideas, critique, hypotheses, missing_sections))
