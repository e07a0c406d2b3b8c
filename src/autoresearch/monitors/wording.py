"""What words in a proposal, in code and in conclusions give away.

Word lists miss and over-reach: a rule that reads them names the words it saw, so that
a person can judge at a glance.
"""

import re
from collections.abc import Iterable, Iterator


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(alternatives)})\b", re.IGNORECASE)


_NOTHING = re.compile(
    r"(?:n/?a|no|none(?: known)?|nothing|nil|never|unknown|tb[ad]|todo|not (?:applicable|known|possible)"
    r"|(?:it )?(?:can ?not|can't|could not)(?: be gamed| break| fail| happen)?|(?:impossible|hard) to game"
    r"|to be (?:decided|determined|done)|i (?:do not|don't) know)?\Z",
    re.IGNORECASE,
)
_ADDRESSED = _words(
    r"already (?:verified|checked|reviewed|approved|validated)",
    r"(?:ignore|disregard|forget|override) (?:all |any |the |every )*(?:previous|prior|earlier|above)",
    r"(?:ignore|disregard|forget|override) (?:all |any |the |these |your )*(?:instructions?|rules?|checks?|findings?)",
    r"skip (?:all |any |the |this |these )*(?:reviews?|checks?|checking|verification)",
    r"(?:(?:dear|note to(?: the)?|attention|to the) )?(?:reviewer|monitor|approver)s?(?=\s*[:,] )",
    r"(?:please|you should|you must|safe to|ok to|okay to|fine to) (?:approve|accept)",
    r"no (?:further |need for )*(?:review|check|checking|verification)(?: is)? (?:needed|required|necessary)",
    r"no need (?:to|for(?: any| a)?) (?:review|check|verify|verification)",
    r"you are an? (?:reviewer|monitor|language model)",
)
_OVERCLAIM = _words(
    r"prove[sdn]?", "always", "never", r"guarantee[sd]?", "undoubtedly", "undeniably", "certainly",
    "definitely", r"definitive(?:ly)?", r"conclusive(?:ly)?", r"universal(?:ly)?", "invariably",
    "irrefutably", r"without (?:a |any )?doubt", "beyond doubt", "in all cases",
)  # fmt: skip
_BOILERPLATE = re.compile(
    r"\b(?:(?:further|more|future|additional) (?:research|work|studies|experiments?)\b.*\b(?:need|requir|warrant|necess)\w*"
    r"|(?:may|might|could|does|do) not (?:necessarily )?generali[sz]e(?: (?:to|beyond) (?:other|all|every|real|the real)\b.*)?"
    r"|interpreted? with (?:care|caution)|limit(?:ed|ations?) (?:of|by|in) (?:the )?(?:sample|scope|study|design|experiment)"
    r"|(?:is|was) (?:only )?a (?:toy|simplified|small) (?:model|experiment|study|setting)|no causal)",
    re.IGNORECASE,
)
_QUALIFIED = re.compile(
    r"\b(?:no|not|never|neither|nor|none|without|cannot|fail(?:s|ed)? to|unclear|unknown|undecided"
    r"|inconclusive|unresolved|refut\w+|rejected|contradicted|whether|if|may|might|could|would)\b|n['’]t\b",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(
    r"[.;!?]\s+|\b(?:but|although|though|while|whereas|and)\b|,\s+(?=(?:the|a|an|it|its|they|this|we|so|yet|which)\b)",
    re.IGNORECASE,
)
_TENS = r"(?:ten|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:-\w+)?"
_UNITS = r"(?:one|two|three|four|five|six|seven|eight|nine)"
_SIZE = re.compile(
    r"\b(?:twice|thrice|half|halv(?:e[sd]?|ing)|doubl(?:e[sd]?|ing)|tripl(?:e[sd]?|ing)|quadrupl(?:e[sd]?|ing)"
    rf"|per ?cent|percentage points?|dozens?|hundreds?|thousands?|millions?"
    rf"|(?:{_UNITS}|{_TENS}|hundred)[- ]?fold|(?:{_UNITS}|{_TENS}) (?:times|points?|out of|in (?:{_UNITS}|ten)))\b|[%‰]",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\w*\d[\w.,]*\w|\d")


def says_nothing(text: str) -> bool:
    """True for `none`, `n/a`, `cannot be gamed` and the like."""
    return bool(_NOTHING.match(text.strip().rstrip(" .!?-…").strip()))


def addressed_to_a_reviewer(text: str) -> Iterator[str]:
    """Phrases that speak to whoever checks the text, not about the research."""
    return (match[0] for match in _ADDRESSED.finditer(text))


def overclaims(text: str) -> Iterator[str]:
    """Words that no experiment's evidence can carry."""
    return (match[0] for match in _OVERCLAIM.finditer(text))


def boilerplate(text: str) -> str:
    """What in a limitation would fit any report; empty if nothing does."""
    match = _BOILERPLATE.search(text)
    return match[0] if match else ""


def clauses(text: str) -> list[str]:
    return [part.strip() for part in _CLAUSE_END.split(text) if part.strip()]


def qualified(clause: str) -> bool:
    """True if the clause denies, doubts or conditions what it says."""
    return bool(_QUALIFIED.search(clause))


def without_names(text: str, names: Iterable[str]) -> str:
    """Without identifiers, which may hold digits."""
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", " ", text)
    return text


def sizes(text: str) -> Iterator[str]:
    """Digits of any script, and sizes spelled out: `twice`, `percent`."""
    yield from (match[0] for match in _DIGITS.finditer(text))
    yield from (sign for sign in text if sign.isnumeric() and not sign.isdecimal())
    yield from (match[0] for match in _SIZE.finditer(text))
