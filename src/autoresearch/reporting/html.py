"""The report as one HTML page: no script, no address but its own figure, printable.

Markdown's own HTML is off and the page is cleaned against a short list of tags; the
policy in its head forbids whatever both might have missed.
"""

import html
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it.token import Token

STYLE = Path(__file__).with_name("page.css")
FIGURE = "figures/result.svg"
TAGS = {
    "h1", "h2", "h3", "p", "ul", "ol", "li", "blockquote", "pre", "code", "em", "strong", "br", "hr", "img",
    "table", "thead", "tbody", "tr", "th", "td", "div", "nav", "a",
}  # fmt: skip
CLASSES = {"blockquote": {"banner"}, "div": {"table"}, "p": {"standing", "meta", "figure", "caption"}}


def to_html(text: str) -> str:
    """The page of a Markdown text whose first heading is its title."""
    import nh3
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    sections = _name_sections(tokens)
    _mark_head(tokens)
    body = _with_contents(parser.renderer.render(tokens, parser.options, {}), sections)
    clean = nh3.clean(
        body,
        tags=TAGS,
        attributes={"h2": {"id"}, "a": {"href"}, "img": {"alt"}},
        tag_attribute_values={"img": {"src": {FIGURE}}},
        allowed_classes=CLASSES,
        url_schemes=set(),
        attribute_filter=_inner_links_only,
        link_rel=None,
    )
    return _page(_title(tokens), clean)


def _inner_links_only(tag: str, name: str, value: str) -> str | None:
    return value if (tag, name) != ("a", "href") or value.startswith("#") else None


def _title(tokens: "list[Token]") -> str:
    children = next((t.children or [] for t in tokens if t.type == "inline"), [])
    return "".join(child.content for child in children)


def _name_sections(tokens: "list[Token]") -> list[tuple[str, str]]:
    """Give every second-level heading an id; returns (id, text without its mark) of each."""
    named: list[tuple[str, str]] = []
    for place, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            children = tokens[place + 1].children or []
            name = f"section-{len(named) + 1}"
            token.attrSet("id", name)
            named.append((name, children[0].content.strip(" ,") if children else ""))
    return named


def _mark_head(tokens: "list[Token]") -> None:
    """Classes for what stands above the first section, and for the figure with its caption."""
    classes = iter(("standing", "meta"))
    head = True
    for place, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            head = False
        elif head and token.type == "blockquote_open":
            token.attrSet("class", "banner")
        elif head and token.type == "paragraph_open" and token.level == 0:
            token.attrSet("class", next(classes, "meta"))
        elif token.type == "paragraph_open" and _is_figure(tokens[place + 1]):
            token.attrSet("class", "figure")
            tokens[place + 3].attrSet("class", "caption")


def _is_figure(token: "Token") -> bool:
    return len(token.children or []) == 1 and (token.children or [])[0].type == "image"


def _with_contents(body: str, sections: list[tuple[str, str]]) -> str:
    """Contents before the first section; tables in boxes that scroll by themselves."""
    links = " ".join(f'<a href="#{name}">{html.escape(text)}</a>' for name, text in sections)
    boxed = body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    return boxed.replace("<h2", f"<nav>{links}</nav>\n<h2", 1)


def _page(title: str, body: str) -> str:
    style = STYLE.read_text(encoding="utf-8")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    # 'self' does not cover pages opened from a disk in every browser; file: does.
    policy = f"default-src 'none'; img-src 'self' file:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{html.escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
