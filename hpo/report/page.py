"""One self-contained page of HTML: sections of figures, a script that draws them, plotly's code once, and nothing from elsewhere."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from plotly.offline import get_plotlyjs

from hpo.report.inputs import ReportInputs
from hpo.report.optuna_study import Past
from hpo.report.network_sections import network_sections
from hpo.report.search_sections import opening, search_sections, stack_section
from hpo.report.section import section_html
from hpo.report.sentences import title
from hpo.study.directory import write_atomic

_ASSETS = Path(__file__).parent


def write(material: ReportInputs, path: Path) -> None:
    """Raises StoreError if `path` cannot be written."""
    write_atomic(path, page(material).encode())


def page(material: ReportInputs) -> str:
    past = Past(material.space, material.scales, material.complete)
    importances = past.importances()
    found = [
        *search_sections(material, past, importances),
        *network_sections(material),
        stack_section(material),
    ]
    contents = "".join(
        f'<a href="#s{i}">{escape(section.short)}</a>' for i, section in enumerate(found) if section.short
    )
    body = "\n".join(section_html(i, section) for i, section in enumerate(found))
    plots = [panel.plot for section in found for panel in section.panels if panel.plot]
    data = json.dumps(plots, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    style, script = ((_ASSETS / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title(material))}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"<header>{opening(material, importances)}<nav>{contents}</nav></header>\n{body}\n{_footer(material)}</main>\n"
        f"<script>{get_plotlyjs()}</script>\n"
        f'<script type="application/json" id="plots">{data}</script>\n<script>\n{script}</script>\n</body>\n</html>\n'
    )


def _footer(material: ReportInputs) -> str:
    result = material.result
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    said = f"Study {result['study']}, {result['date']}, data {result['fingerprint']}. {versions}."
    return f'<p class="note">{escape(said)}</p>\n'
