"""Reports as one HTML file that opens from disk: sections of sentences, tables and pictures.

How they look is `page.html`; every table and picture can be downloaded with its numbers.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from evobourse.experiments.reports.figures import figure_bytes


@dataclass(frozen=True)
class Bar:
    """An interval drawn in a table's cell, beside the band that it is held against.

    All from 0 to 1 along the cell; what lies beyond is drawn at the edge.

    Attributes
    ----------
    at : float
        The dot.
    low, high : float
        Ends of the line.
    band : (float, float)
        Ends of the grey band.
    """

    at: float
    low: float
    high: float
    band: tuple[float, float]

    def __post_init__(self) -> None:
        for name in ("at", "low", "high"):
            object.__setattr__(self, name, min(max(getattr(self, name), 0.0), 1.0))
        low, high = (min(max(edge, 0.0), 1.0) for edge in self.band)
        object.__setattr__(self, "band", (low, high))


@dataclass(frozen=True)
class Table:
    """A table of cells: text, or a `Bar`.

    Attributes
    ----------
    headings : sequence of str
        A heading that begins with ``#`` is that of a column of numbers, at the right.
    rows : sequence of sequence
        One cell a heading.
    data : DataFrame
        The numbers behind it, for download.
    name : str
        Of the downloaded file.
    strong : sequence of int
        Rows that stand out.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str | Bar]]
    data: pd.DataFrame
    name: str
    strong: Sequence[int] = ()
    kind: str = field(default="table", init=False)

    @property
    def csv(self) -> str:
        """The numbers as a data URL."""
        return _csv_url(self.data)


@dataclass(frozen=True)
class Picture:
    """A figure with its title, what it says in words, and its numbers.

    Attributes
    ----------
    title, alt : str
    png : bytes
    data : DataFrame
        The numbers behind it, for download.
    name : str
        Of the downloaded files.
    wide : bool
        Whether it takes the page's width, and is scrolled on a narrow one.
    """

    title: str
    alt: str
    png: bytes
    data: pd.DataFrame
    name: str
    wide: bool = False
    kind: str = field(default="picture", init=False)

    @classmethod
    def of(
        cls,
        figure: Figure,
        title: str,
        alt: str,
        data: pd.DataFrame,
        name: str,
        wide: bool = False,
    ) -> Picture:
        """Render a figure."""
        return cls(title, alt, figure_bytes(figure), data, name, wide)

    @property
    def url(self) -> str:
        """The picture as a data URL."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()

    @property
    def csv(self) -> str:
        """The numbers as a data URL."""
        return _csv_url(self.data)


@dataclass(frozen=True)
class Text:
    """Preformatted text that opens on a click, such as a config."""

    title: str
    text: str
    kind: str = field(default="text", init=False)


@dataclass(frozen=True)
class Part:
    """HTML of our own that is set in as it is, such as a lineage's tree."""

    html: str
    kind: str = field(default="part", init=False)


@dataclass(frozen=True)
class Section:
    """A chapter: its name in links, its title, sentences, then blocks in order."""

    key: str
    title: str
    sentences: Sequence[str]
    blocks: Sequence[Table | Picture | Text | Part] = ()


def render_report(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """Write the page; everything but a `Part` is escaped."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["as_is"] = Markup
    return templates.get_template("page.html").render(title=title, lead=lead, sections=sections)


def _csv_url(data: pd.DataFrame) -> str:
    text = data.to_csv(index=False, lineterminator="\n")
    return "data:text/csv;base64," + base64.b64encode(text.encode()).decode()
