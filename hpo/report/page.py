"""Write the report as one self-contained HTML file, which loads nothing from elsewhere."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from plotly.offline import get_plotlyjs

from hpo.report import next_steps
from hpo.report.inputs import ReportInputs
from hpo.report.network_sections import network_sections
from hpo.report.optuna_study import OptunaStudy
from hpo.report.search_sections import opening, search_sections, stack_section
from hpo.report.section import section_html
from hpo.report.sentences import title
from hpo.study.directory import write_atomic

_ASSETS = Path(__file__).parent


def write(inputs: ReportInputs, path: Path) -> None:
    """Write the page to `path`. Raises StoreError if that is not possible."""
    write_atomic(path, page(inputs).encode())


def page(inputs: ReportInputs) -> str:
    """Return the page: its sections, plotly's code, the plots as JSON, and the script that draws them."""
    study = OptunaStudy(inputs.space, inputs.axes, inputs.complete_trials)
    importances = study.importances()
    sections = [*search_sections(inputs, study, importances), *network_sections(inputs), stack_section(inputs)]
    sections.append(next_steps.section(inputs))
    contents = "".join(
        f'<a href="#s{i}">{escape(section.short)}</a>' for i, section in enumerate(sections) if section.short
    )
    body = "\n".join(section_html(i, section) for i, section in enumerate(sections))
    plots = [panel.plot for section in sections for panel in section.panels if panel.plot]
    data = json.dumps(plots, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    style, script = ((_ASSETS / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title(inputs))}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"<header>{opening(inputs, importances)}<nav>{contents}</nav></header>\n{body}\n{_footer(inputs)}</main>\n"
        f"<script>{get_plotlyjs()}</script>\n"
        f'<script type="application/json" id="plots">{data}</script>\n<script>\n{script}</script>\n</body>\n</html>\n'
    )


def _footer(inputs: ReportInputs) -> str:
    result = inputs.result
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    origin = f"Study {result.study}, {result.date}, data {result.fingerprint}. {versions}."
    return f'<p class="note">{escape(origin)}</p>\n'
