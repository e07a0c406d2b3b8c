"""A written proposal: the author's Markdown file, read into records.

Structured sections hold one fenced `yaml` block each, the experiment holds fenced
`python` blocks, and prose around them is the author's own. What does not parse is
named by file and line, all of it at once; nothing is guessed.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from autoresearch import markdown_sections, yaml_lines
from autoresearch import proposal_sections as sections
from autoresearch.errors import InvalidInput
from autoresearch.markdown_sections import Document, Section
from autoresearch.proposal_sections import ExperimentTexts, PlanTexts, ProxyTexts, derived_decisions, refusal
from autoresearch.records import (
    Assumption,
    Decision,
    Forecast,
    Hypothesis,
    PlanDraft,
    ProxyCard,
    clip,
    first_problem,
    sha256,
)

REQUIRED = ("Question", "Hypotheses", "Plan", "Predictions", "Experiment")
OPTIONAL = ("Background", "Target and proxy", "Rivals", "Assumptions", "Decision table")
SIZE_LIMIT = 1_000_000
"""Bytes of a proposal."""
MARKER = re.compile(r"<fill in: [^<>\n]*>")
"""What `template FILE` leaves for the author to write."""
_SHOWN = 10
"""Problems named at once."""

T = TypeVar("T")


def key_of(section: str) -> str:
    """`Target and proxy` → `target-and-proxy`."""
    return "-".join(section.lower().split())


@dataclass(frozen=True)
class ParsedProposal:
    title: str
    question: str
    background: str
    """Empty if the section is absent."""
    hypotheses: list[Hypothesis]
    rivals: list[Hypothesis]
    proxy_texts: ProxyTexts | None
    proxy: ProxyCard | None
    """None without the section, or without its two figures."""
    assumptions: list[Assumption]
    plan: PlanDraft
    """Its hypotheses are `hypotheses + rivals`."""
    predictions: list[Forecast]
    files: dict[str, bytes]
    """`experiment/experiment.py` and whatever stands beside it, or a command's files."""
    experiment: ExperimentTexts
    """The yaml block beside the code."""
    missing: list[str]
    """Keys of the optional sections that are absent."""
    section_digests: dict[str, str]
    """Key of each section that is there → SHA-256 of its raw text, the heading left out."""


# -------------------------------------------------------------------- the file


def read_proposal(path: Path) -> str:
    """The file's text, line ends as they are.

    Raises InvalidInput in one line for what is not a small UTF-8 text file.
    """
    try:
        if path.is_dir():
            raise InvalidInput(f"{path} is a directory: name the proposal's file")
        if not path.exists():
            raise InvalidInput(
                f"{path} does not exist: `autoresearch template` prints a proposal to start from"
            )
        if not path.is_file():
            raise InvalidInput(f"{path} is not a regular file")
        size = path.stat().st_size
        if size > SIZE_LIMIT:
            raise InvalidInput(
                f"{path} has {size / 1e6:.1f} MB: a proposal has at most {SIZE_LIMIT / 1e6:.0f} MB"
            )
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        raise InvalidInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return _decoded(data, path)


def _decoded(data: bytes, path: Path) -> str:
    if len(data) > SIZE_LIMIT:
        raise InvalidInput(f"{path} grew while it was read: a proposal has at most {SIZE_LIMIT / 1e6:.0f} MB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte, line = data[error.start], data.count(b"\n", 0, error.start) + 1
        raise InvalidInput(
            f"{path} is not UTF-8: byte 0x{byte:02x} at offset {error.start} (line {line}): save it as UTF-8"
        ) from error
    if "\0" in text:
        raise InvalidInput(f"{path} is not a text file: NUL byte at offset {data.index(0)}")
    if not text.removeprefix("\ufeff").strip():
        raise InvalidInput(f"{path} is empty: `autoresearch template` prints a proposal to start from")
    return text


# -------------------------------------------------------------------- the text


def looks_free_form(text: str) -> bool:
    """True if `text` has none of the required sections."""
    try:
        found = markdown_sections.headings(text, "")
    except InvalidInput:
        return False  # a fence left open: whoever parses the text names its line
    names = {key_of(heading.text) for heading in found if heading.level == 2}
    return names.isdisjoint(map(key_of, REQUIRED))


SEALED = "(sealed until the result is known)"


def without_predictions(text: str) -> str:
    """The text as models are given it: what its section Predictions says is left out.

    Whoever writes the plan and the code must not steer towards a forecast. A forecast in the
    prose of another section cannot be told from the rest and stays.
    """
    try:
        found = [heading for heading in markdown_sections.headings(text, "") if heading.level <= 2]
    except InvalidInput:
        return text  # a free-form text with a fence left open has no sections to speak of
    lines = text.split("\n")
    ends = [*(heading.line - 1 for heading in found[1:]), len(lines)]
    for heading, end in reversed(list(zip(found, ends, strict=False))):
        if key_of(heading.text) in ("predictions", "prediction", "forecasts", "forecast"):
            lines[heading.line : end] = ["", SEALED, ""]
    return "\n".join(lines)


def read_needs(text: str, source: str = "proposal.md") -> ExperimentTexts:
    """What the proposal names beside itself: data and an environment.

    A structured one does so in the yaml block of its experiment section; a free-form one,
    which a model reads, in a block marked ```yaml experiment. Raises InvalidInput.
    """
    if looks_free_form(text):
        marked = [fence for fence in markdown_sections.fences(text, source) if fence.name == "experiment"]
        section = Section("experiment", 0, "", (), tuple(replace(fence, name="") for fence in marked))
        return sections.read_experiment_texts(section, source)
    found = [s for s in markdown_sections.read(text, source).sections if s.key == "experiment"]
    return sections.read_experiment_texts(found[0], source) if found else ExperimentTexts()


def parse_proposal(
    text: str, source: str = "proposal.md", *, forecaster: str = "human:author"
) -> ParsedProposal:
    """Read a structured proposal; its forecasts are P1, P2 … and carry `forecaster`.

    Raises InvalidInput, one line `source:LINE: …` for each problem found.
    """
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(f"{source}:1: holds half a surrogate pair, which no UTF-8 file can: save it again")
    if looks_free_form(text):
        raise InvalidInput(
            f"{source}:1: has no section of a structured proposal ({', '.join(REQUIRED)}): "
            f"`autoresearch template {source}` adds them to your text, "
            "or let a model read it as it is with `--model anthropic:<model>`"
        )
    _refuse_markers(text, source)
    return _Parser(markdown_sections.read(text, source), source, forecaster).parse()


def _refuse_markers(text: str, source: str) -> None:
    lines = markdown_sections.plain_lines(text)
    found = ((number, MARKER.search(line)) for number, line in enumerate(lines, 1))
    _raise_all([f"{source}:{n}: still to be written: {clip(m[0], 100)}" for n, m in found if m])


def _raise_all(problems: Sequence[str]) -> None:
    """Raise InvalidInput for `problems`, if there are any; at most `_SHOWN` are spelled out.

    They quote the file, so nothing in them may reach a terminal as a control character.
    """
    shown = list(problems[:_SHOWN])
    if len(problems) > _SHOWN:
        shown.append(f"… and {len(problems) - _SHOWN} more problems")
    if shown:
        raise InvalidInput("\n".join("".join(c if c.isprintable() else "�" for c in line) for line in shown))


class _Parser:
    """Reads section after section and collects every problem before it gives up."""

    def __init__(self, document: Document, source: str, forecaster: str) -> None:
        self._document = document
        self._source = source
        self._forecaster = forecaster
        self._problems: list[tuple[int, str]] = []
        self._sections: dict[str, Section] = {}

    def parse(self) -> ParsedProposal:
        self._attempt(self._title)
        self._attempt(self._index)
        question = self._read("Question", sections.read_question)
        experiment = self._read("Experiment", sections.read_experiment)
        texts, files = experiment or (ExperimentTexts(), None)
        proxy: ProxyTexts | None = self._block("Target and proxy", ProxyTexts)
        assumptions = self._assumptions()
        hypotheses, rivals, sound = self._hypotheses()
        plan, arms = self._plan(question, hypotheses + rivals, texts.command, sound=sound)
        predictions = self._read(
            "Predictions", lambda s, source: sections.read_predictions(s, source, self._forecaster, arms)
        )
        self._stop_at_problems()
        # Nothing was refused, so every part is there; the assertions say so to the type checker.
        assert question is not None
        assert plan is not None
        assert predictions is not None
        assert files is not None
        background = self._sections.get("background")
        return ParsedProposal(
            title=self._document.title,
            question=question,
            background=background.raw.strip() if background else "",
            hypotheses=hypotheses,
            rivals=rivals,
            proxy_texts=proxy,
            proxy=proxy.card() if proxy else None,
            assumptions=assumptions,
            plan=plan,
            predictions=predictions,
            files=files,
            experiment=texts,
            missing=[key_of(name) for name in OPTIONAL if key_of(name) not in self._sections],
            section_digests={key: sha256(section.raw.encode()) for key, section in self._sections.items()},
        )

    # ------------------------------------------------------- problems, collected

    def _attempt(self, read: Callable[[], T]) -> T | None:
        """What `read` gives, or None with its problems kept."""
        try:
            return read()
        except InvalidInput as error:
            for problem in str(error).split("\n"):
                match = re.match(r":(\d+): ", problem.removeprefix(self._source))
                self._problems.append((int(match[1]) if match else 0, problem))
            return None

    def _stop_at_problems(self) -> None:
        _raise_all([problem for _, problem in sorted(self._problems)])

    def _read(self, name: str, read: Callable[[Section, str], T]) -> T | None:
        section = self._sections.get(key_of(name))
        return self._attempt(lambda: read(section, self._source)) if section else None

    def _block(self, name: str, kind: Any) -> Any:
        return self._read(name, lambda section, source: sections.read_yaml(section, source, kind))

    # --------------------------------------------------------------- the outline

    def _title(self) -> None:
        line = self._document.title_line
        if not self._document.title:
            raise refusal(self._source, line, "the title is missing: begin the file with `# ` and a title")
        if len(self._document.title) > 500:
            raise refusal(self._source, line, "the title has more than 500 characters")

    def _index(self) -> None:
        """Sort sections by key. Raises for unknown, repeated and missing ones."""
        known = {key_of(name): name for name in (*REQUIRED, *OPTIONAL)}
        problems: list[tuple[int, str]] = []
        meant = set()
        for section in self._document.sections:
            if section.key in self._sections:
                problems.append((section.line, f"the section `{clip(section.name, 80)}` stands twice"))
            elif section.key in known:
                self._sections[section.key] = section
            else:
                near = yaml_lines.nearest(section.name.capitalize(), list(known.values()))
                meant |= {key for key, name in known.items() if f"did you mean `{name}`" in near}
                problems.append((section.line, f"unknown section `{clip(section.name, 80)}`{near}"))
        end = self._document.sections[-1].line if self._document.sections else 1
        there = self._sections.keys() | meant
        absent = [name for name in REQUIRED if key_of(name) not in there]
        problems += [(end, f"the required section `## {name}` is missing") for name in absent]
        if problems:
            raise InvalidInput("\n".join(f"{self._source}:{line}: {said}" for line, said in problems))

    # ---------------------------------------------------------------- the records

    def _assumptions(self) -> list[Assumption]:
        items: list[Assumption] = self._block("Assumptions", list[Assumption]) or []
        self._read("Assumptions", lambda section, source: sections.check_ids(section, source, items))
        return items

    def _hypotheses(self) -> tuple[list[Hypothesis], list[Hypothesis], bool]:
        """The author's, their rivals, and whether all of them could be read."""
        before = len(self._problems)
        own: list[Hypothesis] = self._block("Hypotheses", list[Hypothesis]) or []
        rivals: list[Hypothesis] = self._block("Rivals", list[Hypothesis]) or []
        self._read("Hypotheses", lambda section, source: sections.check_ids(section, source, own))
        taken = [hypothesis.id for hypothesis in own]
        self._read("Rivals", lambda section, source: sections.check_ids(section, source, rivals, taken))
        return own, rivals, len(self._problems) == before

    def _plan(
        self, question: str | None, hypotheses: list[Hypothesis], command: list[str], *, sound: bool
    ) -> tuple[PlanDraft | None, list[str] | None]:
        """The plan and the names of its arms; None for what could not be read.

        Without all hypotheses the decision table is left unread: it would only repeat the problem.
        """
        before = len(self._problems)
        written: PlanTexts | None = self._block("Plan", PlanTexts)
        if written is None:
            return None, None
        arms = [arm.name for arm in written.arms]
        self._read("Plan", lambda section, source: sections.check_arms_named(section, source, written))
        table = self._decisions(hypotheses) if sound else None
        if table is None or question is None or len(self._problems) > before:
            return None, arms
        fields = {name: getattr(written, name) for name in PlanTexts.model_fields}
        try:
            plan = PlanDraft(
                question=question, hypotheses=hypotheses, decision_table=table, command=command, **fields
            )
        except ValidationError as error:
            self._problems.append(self._across_sections(first_problem(error)))
            return None, arms
        return plan, arms

    def _decisions(self, hypotheses: list[Hypothesis]) -> list[Decision] | None:
        if "decision-table" not in self._sections:
            return derived_decisions(hypotheses)
        return self._read(
            "Decision table", lambda section, source: sections.read_decisions(section, source, hypotheses)
        )

    def _across_sections(self, said: str) -> tuple[int, str]:
        """A problem of the plan as a whole, at the section that it is about."""
        about = "Plan"
        if "decision table" in said:
            about = "Decision table"
        elif said.startswith("hypothes"):
            about = "Hypotheses"
        section = self._sections.get(key_of(about)) or self._sections["plan"]
        line = section.line
        return line, f"{self._source}:{line}: {section.name}: {said.removeprefix('document: ')}"
