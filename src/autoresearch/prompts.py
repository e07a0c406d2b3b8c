"""Prompt files: load, digest and render strictly, with data fenced off.

A request is put together from six files of the workflow. What every step shares comes
first and in one order, so that a server finds it cached: `SYSTEM` as the system text, then
`MATERIAL` (proposal, earlier records). The step's own file and `ANSWER` come last.

A prompt is a Jinja template that sees the variables of `VARIABLES` and no
others; a misspelt one stops the run. Whatever somebody else wrote (proposal,
records, logs, reasons) can enter only through `block(name, text, cap)`: a
template that prints it bare is refused.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from autoresearch.errors import InvalidInput
from autoresearch.records import Body, Kind, Record

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

SYSTEM = ("prompts/system.md", "prompts/workflow.md", "prompts/records.md")
"""What counts as good work; what this workflow is for; every record's fields, with the forms."""
MATERIAL = "prompts/material.md"
"""What there is to work on: nothing in it depends on the step, but how many records there are."""
ANSWER = "prompts/answer.md"
"""Which form to fill in, and why this attempt was opened."""

VARIABLES = (
    "proposal", "sources", "cycles", "records", "before", "feedback", "step", "kind", "cycle", "attempt", "forms",
)  # fmt: skip
"""proposal: text · sources: list of {name, text}, what may be cited · cycles: list of {name, text}, earlier cycles in short · records: list of {kind,
attempt, by, json} · before: the same of what this step made before and why it was sent back ·
feedback: list of {from, decision, reason} · step, cycle, attempt · kind: of the record to be made ·
forms: the schemas of all replies, written by this package."""

SEES: dict[str, tuple[Kind, ...]] = {
    "ideate": (),
    "critique": ("ideas",),
    "plan": ("ideas", "critique"),
    "predict": ("ideas", "critique", "plan"),
    "conclude": ("ideas", "critique", "plan", "prediction", "result", "check"),
    "writeup": (
        "ideas", "critique", "plan", "prediction", "result", "check",
        "conclusion", "monitoring", "acceptance",
    ),
}  # fmt: skip
"""Kinds of record whose text a step may see. Nothing before the run sees a forecast, so no
plan can be steered towards one."""

MAX_PROMPT_BYTES = 200_000


def parse_prompt(data: bytes, name: str) -> str:
    """The text of a prompt's file. Raises InvalidInput if it is too large or not UTF-8."""
    if len(data) > MAX_PROMPT_BYTES:
        raise InvalidInput(f"prompt {name} has {len(data)} bytes; at most {MAX_PROMPT_BYTES} are read")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"prompt {name} is not UTF-8: byte {error.start}") from error


Item = dict[str, object]


def record_item(record: Record) -> Item:
    """An item of `records`."""
    by = record.made_by.author
    return {"kind": record.kind, "attempt": record.attempt, "by": by, "json": _readable(record.body)}


def file_items(files: Mapping[str, bytes], record: Record) -> list[Item]:
    """Files that `record` vouches for, as items of `records`: their path is the kind."""
    return [
        {**record_item(record), "kind": path, "json": data.decode("utf-8", "replace")}
        for path, data in sorted(files.items())
    ]


def _readable(body: Body) -> str:
    return json.dumps(body.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False)


# ----------------------------------------------------------------------- data


class Fenced(str):
    """Text that may stand in a prompt as it is: a data block, or this package's own words."""

    __slots__ = ()


_DELIMITER = re.compile(r"<(?=\s*/?\s*data\b)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_WORD = re.compile(r"[\w.:/ -]{1,320}")
"""A name or a number: short, one line, nothing a tag could be made of."""


def data_block(name: str, text: str, cap: int) -> str:
    r"""`text` between `<data>` tags, at most about `cap` characters of it, head and tail kept.

    Nothing inside can close the block: the tag's own opening bracket is escaped
    wherever it would begin one. Control characters become `\x..`.
    """
    if not _WORD.fullmatch(name):
        raise InvalidInput(f"a data block's name is a plain name, not {name!r}")
    text = text.replace("\r\n", "\n").encode("utf-8", "replace").decode()
    text = _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", cut(text, cap))
    return Fenced(f'<data name="{name}">\n{_DELIMITER.sub("&lt;", text).rstrip()}\n</data>')


_CLOSED = re.compile(r"(?<=\n</data>\n)")
_HEADINGS = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*<data ")
"""Headings and blank lines before a block: nothing that differs from step to step."""


def stable_and_rest(prompt: str) -> list[str]:
    """The prompt in pieces: its leading data blocks one by one, then all the rest as the last piece.

    Steps share the leading blocks (proposal, then earlier records in their order), so a server
    that caches prefixes finds them again. Joined, the pieces are the prompt.
    """
    pieces = _CLOSED.split(prompt)
    leading = 0
    while leading < len(pieces) - 1 and _HEADINGS.match(pieces[leading]):
        leading += 1
    return [*pieces[:leading], "".join(pieces[leading:])]


def cut(text: str, cap: int) -> str:
    """At most `cap` characters: the first two thirds and the last third, saying what was left out."""
    if len(text) <= cap:
        return text
    head = cap * 2 // 3
    tail = cap - head
    return f"{text[:head]}\n[{len(text) - cap} characters left out]\n{text[len(text) - tail :]}"


# --------------------------------------------------------------------- render


def put_together(read: Callable[[str], str], own: str, context: Mapping[str, object]) -> tuple[str, str]:
    """System text and prompt of the step whose file is `own`. `read` gives a prompt file by its path.

    Raises InvalidInput, also if a model would look for the form of its answer in vain.
    """
    system, prompt = (
        "\n".join(render(read(path), context, name=path) for path in paths)
        for paths in (SYSTEM, (MATERIAL, own, ANSWER))
    )
    if str(context["forms"]) not in system:
        raise InvalidInput(f"none of {', '.join(SYSTEM)} prints {{{{ forms }}}}, the forms of the answers")
    return system, prompt


def render(template_text: str, context: Mapping[str, object], *, name: str = "prompt") -> str:
    """The prompt with its variables filled in.

    Raises InvalidInput naming the file, the variable and the known ones, for one that
    is not in `context`, for a template that does not parse, and for bare data.
    """
    from jinja2 import TemplateError, TemplateSyntaxError, meta

    environment = _environment(name)
    try:
        tree = environment.parse(template_text)
        _refuse_unknown(meta.find_undeclared_variables(tree) - {"block"}, context, name)
        own = {"forms": Fenced(context["forms"])} if "forms" in context else {}
        return environment.from_string(template_text).render({**context, **own})
    except TemplateSyntaxError as error:
        raise InvalidInput(f"prompt {name} line {error.lineno}: {error.message}") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise InvalidInput(
            f"prompt {name} cannot be rendered: {error}; known variables: {', '.join(sorted(context))}"
        ) from error


def _environment(name: str) -> "SandboxedEnvironment":
    from jinja2 import DictLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    def only_fenced(value: Any) -> Any:
        if isinstance(value, (Fenced, int, StrictUndefined)) or _WORD.fullmatch(str(value)):
            return value
        raise InvalidInput(
            f"prompt {name} prints data bare ({str(value)[:40]!r}); write {{{{ block('NAME', VARIABLE, 20000) }}}}"
        )

    environment = SandboxedEnvironment(  # plain text for a model: HTML escaping would only garble it
        undefined=StrictUndefined,
        finalize=only_fenced,
        loader=DictLoader({}),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.globals["block"] = data_block
    return environment


def _refuse_unknown(names: set[str], context: Mapping[str, object], file: str) -> None:
    for unknown in sorted(names - set(context)):
        near = difflib.get_close_matches(unknown, context, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InvalidInput(
            f"prompt {file} uses the unknown variable {unknown}{hint} (known: {', '.join(sorted(context))})"
        )
