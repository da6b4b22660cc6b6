"""A section of the page and its HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from hpo.report.style import Plot


@dataclass(frozen=True)
class Panel:
    """A plot, or HTML, with a caption that explains how to read it."""

    caption: str
    plot: Plot | None = None
    html: str = ""
    title: str = ""


@dataclass(frozen=True)
class Section:
    """A heading, a text, and panels; `short` is the name in the table of contents, "" for none."""

    title: str
    short: str
    text: str = ""
    panels: Sequence[Panel] = field(default_factory=tuple)
    wide: bool = False  # one panel per row


def section_html(number: int, section: Section) -> str:
    """Return the HTML of a section; `page.js` draws its plots into the empty elements of class `plot`."""
    text = f"<p>{escape(section.text)}</p>" if section.text else ""
    panels = "".join(map(_panel_html, section.panels))
    grid = f'<div class="grid{" wide" if section.wide else ""}">{panels}</div>' if panels else ""
    return f'<section id="s{number}"><h2>{escape(section.title)}</h2>{text}{grid}</section>'


def _panel_html(panel: Panel) -> str:
    title = f"<h3>{escape(panel.title)}</h3>" if panel.title else ""
    content = (
        f'<div class="plot" style="height:{panel.plot["layout"]["height"]}px"></div>' if panel.plot else panel.html
    )
    caption = f"<figcaption>{escape(panel.caption)}</figcaption>" if panel.caption else ""
    return f"<figure>{title}{content}{caption}</figure>"
