"""A page in Markdown, such as a study's, as one HTML file with its pictures and numbers inside."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import pandas as pd
from markdown_it import MarkdownIt
from markdown_it.token import Token

from evobourse.experiments.reports.page import Part, Section, Table, render_report

_NUMBER = re.compile(r"^[-+]?[\d,.]+\b")


def render_markdown(page: Path) -> str:
    """Write a page of Markdown as HTML that opens from disk.

    HTML in it is shown as text. Pictures beside the page are set in; tables can be downloaded.

    Parameters
    ----------
    page
        A file, such as ``evobourse study`` writes.
    """
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(page.read_text(encoding="utf-8"))
    title, lead, sections = page.stem, list[str](), list[Section]()
    for heading, body in _chapters(tokens):
        blocks = list(_blocks(reader, body, page.parent, len(sections)))
        if heading is None or heading.tag == "h1":
            title = _text(heading) if heading is not None else title
            key, called = "about", "About"
        else:
            called = _text(heading)
            key = f"part-{len(sections)}"
        if blocks:
            sections.append(Section(key, called, (), blocks))
    return render_report(title, lead, sections)


def _chapters(tokens: Sequence[Token]) -> Iterator[tuple[Token | None, list[Token]]]:
    """Split at headings of the first two levels: each one's words, and what follows."""
    heading: Token | None = None
    body: list[Token] = []
    rest = iter(tokens)
    for token in rest:
        if token.type == "heading_open" and token.tag in ("h1", "h2"):
            yield heading, body
            heading, body = next(rest), []
            heading.tag = token.tag
            next(rest)
        else:
            body.append(token)
    yield heading, body


def _blocks(
    reader: MarkdownIt, tokens: Sequence[Token], folder: Path, number: int
) -> Iterator[Part | Table]:
    """Turn tables into such as can be downloaded, and the rest into HTML."""
    plain: list[Token] = []
    rest, tables = iter(tokens), 0

    def html() -> Part:
        return Part(f'<div class="prose">{reader.renderer.render(plain, reader.options, {})}</div>')

    for token in rest:
        if token.type == "table_open":
            if plain:
                yield html()
                plain.clear()
            rows = list(_rows(rest))
            tables += 1
            yield _table(rows, f"table-{number}-{tables}")
            continue
        for child in token.children or ():
            if child.type == "image":
                _set_in(child, folder)
        plain.append(token)
    if plain:
        yield html()


def _rows(tokens: Iterator[Token]) -> Iterator[list[str]]:
    row: list[str] = []
    for token in tokens:
        if token.type == "table_close":
            return
        if token.type == "tr_open":
            row = []
        elif token.type == "inline":
            row.append(_text(token))
        elif token.type == "tr_close":
            yield row


def _table(rows: list[list[str]], name: str) -> Table:
    heads, *body = rows
    numeric = [
        bool(body) and all(_NUMBER.match(row[i]) or row[i] in ("", "-") for row in body)
        for i in range(len(heads))
    ]
    headings = [f"#{h}" if n else h.lstrip("#") for h, n in zip(heads, numeric, strict=True)]
    return Table(headings, body, pd.DataFrame(body, columns=heads), name)


def _text(token: Token) -> str:
    """Return a line's words, without its marks."""
    return "".join(
        " " if child.type in ("softbreak", "hardbreak") else child.content
        for child in token.children or ()
    )


def _set_in(image: Token, folder: Path) -> None:
    """Put a picture beside the page into it; what is elsewhere or no PNG is named in words."""
    source = str(image.attrs["src"])
    file = folder / source
    beside = file.suffix == ".png" and file.resolve().is_relative_to(folder.resolve())
    if beside and file.is_file():
        image.attrs["src"] = "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()
    else:
        image.type, image.content, image.children = "text", f"[picture {escape(source)}]", None
