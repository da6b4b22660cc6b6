"""The sections of the page about the final network: its weights, its predictions, and how it treats another domain."""

from __future__ import annotations

from collections.abc import Iterator

from hpo.report import adaptation_views, domain_views, plots, predictions, sentences, tables, weights
from hpo.report import domain_text as words
from hpo.report.inputs import ReportInputs
from hpo.report.section import Panel, Section
from hpo.report.summary import criteria_table


def network_sections(material: ReportInputs) -> Iterator[Section]:
    yield from _weights(material)
    yield from _predictions(material)
    yield from _domains(material)
    yield from _criteria(material)


def _weights(material: ReportInputs) -> Iterator[Section]:
    found = weights.layers(material)
    if not found:
        yield Section("There is no final network", "", "So its weights are not shown (refit: none, or it diverged).")
        return
    zeros, total = sum(one.zeros for one in found), sum(one.weights for one in found)
    title = f"{100 * zeros / total:.0f} % of the weights are exactly zero" if zeros else "No weight is exactly zero"
    columns = weights.columns(material)
    text = sentences.unused(weights.unused(material), columns) if columns else ""
    said = f"Weights of the final network that are not zero, layer by layer. {text}".strip()
    panels = [
        Panel(
            sentences.zeros(one.name, one.zeros, one.weights),
            plots.histogram(one) if one.zeros < one.weights else None,
            title=one.name,
        )
        for one in found
    ]
    yield Section(title, "Weights", said, panels)


def _predictions(material: ReportInputs) -> Iterator[Section]:
    if material.data is None or not material.said:
        yield Section("No predictions to look at", "", material.why)
        return
    text = (
        "Each row is predicted by networks of the selected configuration that saw it neither to learn nor to stop: the folds within folds. They "
        "learned from fewer rows than the final network, which is a little better. The test rows are not shown: whoever looks at them row by row "
        "will tune on them."
    )
    if found := predictions.classified(material):
        bins = predictions.reliability(found)
        panels = [
            Panel(sentences.reliability(bins, found), plots.reliability(bins), title="Is it as sure as it is right?")
        ]
        panels.append(Panel(sentences.confused(found), html=tables.confusion(found), title="What it takes for what"))
        whose = " of the source" if material.result.get("unpromised") else ""
        yield Section(
            f"{100 * len(found.wrong) / len(found.true):.1f} % of unseen rows{whose} are predicted wrongly",
            "Predictions",
            text,
            panels,
        )
        if len(found.wrong):
            yield Section(
                "Wrong, and how sure",
                "Wrong rows",
                "The most confident first.",
                [Panel("", html=tables.wrong(material.data, found))],
                wide=True,
            )
    elif numeric := predictions.predicted(material):
        drawn = plots.residuals(numeric, material.data.target_name)
        yield Section(
            "By how much numbers are missed",
            "Predictions",
            text,
            [Panel(sentences.residuals(numeric), drawn)],
            wide=True,
        )
        yield Section(
            "The rows that are missed most",
            "Wrong rows",
            "",
            [Panel("", html=tables.missed(material.data, numeric))],
            wide=True,
        )


def _domains(material: ReportInputs) -> Iterator[Section]:
    found = adaptation_views.seen(material)
    if found is None:
        return
    last = found.views[-1]
    panels = [
        Panel(words.plane(view), plots.plane(domain_views.plane(view.source, view.target)), title=view.name)
        for view in (found.views[0], last)
    ]
    yield Section(words.apart(found.views[0], last), "Another domain", words.EMBEDDED, panels)
    aid = f"{words.DISTANCES} {words.closer(found.views)}".strip()
    yield Section(
        "How far apart the domains are, as each network sees them",
        "Divergence",
        "",
        [Panel(aid, html=words.divergences(found.views))],
        wide=True,
    )
    if found.help is not None:
        panels = [
            Panel(words.balance(found.help), html=words.helped(found.help)),
            *([Panel(words.CHANGED, html=words.changed(found.help))] if found.help.changes else []),
        ]
        yield Section(words.gained(found.help), "Adaptation", words.TESTED, panels)


def _criteria(material: ReportInputs) -> Iterator[Section]:
    aid, rows = criteria_table(material.result)
    if rows:
        yield Section(
            "What could have been chosen without labels of the target",
            "Criteria",
            "",
            [Panel(aid, html=tables.table(rows[0], rows[1:]))],
            wide=True,
        )
