"""A proposal to start from, and the completion of one that is only begun."""

from importlib.resources import files

from autoresearch import markdown_sections
from autoresearch.proposal import OPTIONAL, REQUIRED, key_of

_BEGUN = """<!--
Your text stands under Background, word for word; its headings became smaller ones.
Write what is marked `fill in`, delete optional sections that you do not need
(the critique names their absence), then: autoresearch start FILE
-->"""


def template() -> str:
    """A complete, commented proposal that parses as it is."""
    return _shipped("proposal_template.md")


def complete(text: str, source: str = "proposal.md") -> str:
    """`text` with the sections that it lacks, as skeletons to be filled in.

    A text that has some sections keeps every character and gets the others at its end.
    A free-form text goes under Background word for word; only its own headings are set
    lower, so that they do not read as sections. Raises InvalidInput for an open fence.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    found = markdown_sections.headings(text, source)
    there = {key_of(heading.text) for heading in found if heading.level == 2}
    skeleton = _skeleton()
    if there & skeleton.keys():
        added = [body for key, body in skeleton.items() if key not in there]
        if not added:
            return text
        end = "" if text.endswith("\n") else newline
        return text + end + newline + newline.join("\n\n".join(added).split("\n")) + newline
    title = "# <fill in: a title>"
    if found and found[0].level == 1 and 0 < len(found[0].text) <= 500:
        title = lines[found[0].line - 1].strip("\ufeff ")
        lines[found[0].line - 1] = ""
        found = found[1:]
    for heading in found:
        lines[heading.line - 1] = lines[heading.line - 1].replace("#", "###", 1)
    skeleton["background"] = "## Background\n\n" + "\n".join(lines).strip("\ufeff\n")
    return newline.join("\n\n".join([title, _BEGUN, *skeleton.values()]).split("\n")) + newline


def _skeleton() -> dict[str, str]:
    """Key → a section with its heading, to be filled in."""
    document = markdown_sections.read(_shipped("proposal_skeleton.md"), "proposal_skeleton.md")
    assert {section.key for section in document.sections} == {key_of(name) for name in REQUIRED + OPTIONAL}
    return {section.key: f"## {section.name}\n{section.raw}".strip() for section in document.sections}


def _shipped(name: str) -> str:
    return (files("autoresearch") / name).read_text(encoding="utf-8")
