"""A section of the page: its title, its text and its panels, and the HTML of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from hpo.report.style import Plot


@dataclass(frozen=True)
class Panel:
    """A plot, or HTML of its own, with the sentence that helps to read it."""

    aid: str
    plot: Plot | None = None
    html: str = ""
    title: str = ""


@dataclass(frozen=True)
class Section:
    """`short` is its name in the list of contents."""

    title: str
    short: str
    text: str = ""
    panels: Sequence[Panel] = field(default_factory=tuple)
    wide: bool = False  # a panel a line


def section_html(number: int, section: Section) -> str:
    text = f"<p>{escape(section.text)}</p>" if section.text else ""
    panels = "".join(map(_panel, section.panels))
    grid = f'<div class="grid{" wide" if section.wide else ""}">{panels}</div>' if panels else ""
    return f'<section id="s{number}"><h2>{escape(section.title)}</h2>{text}{grid}</section>'


def _panel(panel: Panel) -> str:
    title = f"<h3>{escape(panel.title)}</h3>" if panel.title else ""
    drawn = f'<div class="plot" style="height:{panel.plot["layout"]["height"]}px"></div>' if panel.plot else panel.html
    caption = f"<figcaption>{escape(panel.aid)}</figcaption>" if panel.aid else ""
    return f"<figure>{title}{drawn}{caption}</figure>"
