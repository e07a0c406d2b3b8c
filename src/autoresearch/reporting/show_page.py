"""One record in a terminal: what it says, field by field, and the files it vouches for."""

from collections.abc import Callable, Mapping
from typing import Any

from autoresearch.layout import file_path, record_path
from autoresearch.ports import Entry
from autoresearch.records import FileRef
from autoresearch.reporting.terminal import Pen
from autoresearch.reporting.text import moment, total_cost
from autoresearch.safe_text import cells, escape

Read = Callable[[Entry, str], bytes]
PRINTED = (".py", ".txt", ".md", ".toml", ".yaml")
PRINTED_BYTES = 20_000
"""Larger files, and all others, are named and not printed."""
INDENT, LABEL = 2, 11


def show_lines(entry: Entry, read: Read, *, width: int, color: bool, signing: str = "") -> list[str]:
    """`read` gives the bytes of a file that the record vouches for, by its FileRef path.

    `signing` says of a decision what `decisions.counting` the project says of it.
    """
    pen = Pen(width, color)
    record = entry.record
    lines = [pen.strong(pen.line(f"{record.kind}: {record.body.headline()}")), ""]
    header = _header(entry) | ({"signature": signing} if signing else {})
    for name, text in header.items():
        first, *rest = pen.block(text, LABEL)
        lines += [f"{name:<{LABEL}}{first[LABEL:]}", *rest]
    lines.append("")
    lines += _fields(record.body.model_dump(mode="json"), pen, 0)
    return lines + _files(entry, read, pen)


def show_json(entry: Entry) -> dict[str, Any]:
    """The record's own JSON, as it is committed."""
    plain: dict[str, Any] = entry.record.model_dump(mode="json", by_alias=True)
    return plain


def _header(entry: Entry) -> dict[str, str]:
    record, made = entry.record, entry.record.made_by
    tokens = made.tokens
    header = {
        "when": f"{moment(entry.when)} UTC",
        "place": f"cycle {record.cycle}, attempt {record.attempt}, step {record.step}",
        "author": str(entry.author),
        "made by": made.model if made.model == made.author else f"{made.author}, {made.model}",
        "cost": f"{total_cost([made.cost_usd])}, tokens {tokens.input} in, {tokens.cached} cached, {tokens.output} out",
        "file": record_path(record),
        "digest": entry.digest,
        "commit": entry.commit,
        "parent": record.parent or "none: the first record",
    }
    return header | {"from": ", ".join(f"{k} {v[:12]}" for k, v in record.inputs.items()) or "nothing"}


# --------------------------------------------------------------------- fields


def _fields(value: Mapping[str, Any], pen: Pen, indent: int) -> list[str]:
    lines: list[str] = []
    for name, content in value.items():
        lines += _field(name.replace("_", " "), content, pen, indent)
    return lines


def _field(name: str, value: Any, pen: Pen, indent: int) -> list[str]:
    label = pen.soft(pen.line(f"{name}:", indent))
    if isinstance(value, dict) and value:
        return [label, *_fields(value, pen, indent + INDENT)]
    if isinstance(value, list) and value and any(isinstance(item, dict | list) for item in value):
        return [label, *(line for item in value for line in _item(item, pen, indent + INDENT))]
    text = escape(_scalar(value))
    room = pen.width - indent - cells(escape(name)) - 2
    if "\n" not in text and cells(text) <= room:
        return [f"{label} {text}"]
    return [label, *pen.block(text, indent + INDENT)]


def _item(value: Any, pen: Pen, indent: int) -> list[str]:
    """One entry of a list, a dash before its first line."""
    if not isinstance(value, dict | list):
        inner = pen.block(_scalar(value), indent + INDENT)
    elif isinstance(value, list):
        inner = [line for item in value for line in _item(item, pen, indent + INDENT)]
    else:
        inner = _fields(value, Pen(pen.width, color=False), indent + INDENT)
    return [f"{' ' * indent}- {inner[0][indent + INDENT :]}", *inner[1:]] if inner else [f"{' ' * indent}-"]


def _scalar(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_scalar(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# ---------------------------------------------------------------------- files


def _files(entry: Entry, read: Read, pen: Pen) -> list[str]:
    refs = [*entry.record.body.files(), *entry.record.made_by.exchanges]
    lines = ["", pen.strong("files")] if refs else []
    for ref in refs:
        kept = "" if ref.committed else ", not in the commits: too large"
        text = f"{file_path(entry.record, ref)}: {ref.size} bytes, sha256 {ref.sha256[:12]}{kept}"
        lines.append(pen.line(text, INDENT))
    for ref in refs:
        lines += _content(entry, ref, read, pen)
    return lines


def _content(entry: Entry, ref: FileRef, read: Read, pen: Pen) -> list[str]:
    if not ref.path.endswith(PRINTED) or ref.size > PRINTED_BYTES or not ref.committed:
        return []
    text = read(entry, ref.path).decode("utf-8", "surrogateescape")
    return ["", pen.strong(pen.line(ref.path)), *pen.block(text or "(empty)", INDENT)]
