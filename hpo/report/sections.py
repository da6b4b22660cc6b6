"""What the page tells, section by section. What there are no numbers for is left out, with a sentence where it would be missed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from hpo.core import objectives
from hpo.core.metrics import METRICS
from hpo.core.objectives import pareto_front
from hpo.report import (
    adaptation_views,
    analysis,
    domain_views,
    optuna_plots,
    plots,
    predictions,
    sentences,
    tables,
    weights,
)
from hpo.report import domain_text as words
from hpo.report.axis import Plot, logarithmic
from hpo.report.inputs import ReportInputs
from hpo.report.optuna_study import Past
from hpo.report.summary import criteria_table

Importances = Mapping[str, Mapping[str, float]]
_FEW = 5  # complete trials, below which there is nothing to draw of them
_BEST = 3  # that stand out, at least


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


def opening(material: ReportInputs, importances: Importances) -> str:
    """The top of the page: the verdict, what was selected, its scores beside those it is compared with, and what is to be known of the data."""
    verdict = sentences.verdict(material, analysis.balance(material), importances)
    lead, *rest = verdict
    said = "".join(f"<p>{escape(line)}</p>" for line in rest)
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in material.result["notes"])
    return f'<h1>{escape(sentences.title(material))}</h1><p class="lead">{escape(lead)}</p>{said}{tables.params(material)}{tables.scores(material)}{notes}'


def sections(material: ReportInputs, past: Past, importances: Importances) -> Iterator[Section]:
    yield _curves(material)
    if len(past.complete) >= _FEW:
        yield _gaps(material, past)
        yield from _importance(past, importances)
        yield from _ridge(material, past)
        yield _parallel(material, past)
        yield _history(material, past)
    else:
        yield Section(
            "Too few trials for pictures of the search",
            "Search",
            f"{len(past.complete)} complete trials; from {_FEW} on there are.",
        )
    yield from _front(material, past)
    yield from _finalists(material)
    yield from _weights(material)
    yield from _predictions(material)
    yield from _domains(material)
    yield from _criteria(material)
    yield _stacks(material)


def _curves(material: ReportInputs) -> Section:
    compared = {
        name: outcome for name, outcome in material.compared.items() if outcome.valid
    }  # what diverged has no curve
    loss = logarithmic(v for o in compared.values() for name in ("train_loss", "valid_loss") for v in o.curves[name])
    panels = [
        Panel(sentences.curve(outcome), plots.curves(outcome, loss), title=name) for name, outcome in compared.items()
    ]
    text = "Loss by epoch in the search, measured without noise, on one scale for all. Dashed: training, solid: validation, diamond: the best epoch. The shaded gap between them is overfitting."
    return Section("The train–valid gap opens as training goes on", "Curves", text, panels)


def _gaps(material: ReportInputs, past: Past) -> Section:
    trends = analysis.gap_trends(material)
    order = sorted(material.scales, key=lambda key: -abs(found.rho) if (found := trends[key]) else 0)
    falls = [key for key in order if (found := trends[key]) and found.clear and found.rho < 0]
    title = f"The gap falls with {sentences.listed(falls)}" if falls else "The gap falls with nothing that was searched"
    text = "A point is a complete trial, the star what was selected. Spearman's rank correlation is 1 where the gap always rises and −1 where it always falls."
    panels = [
        Panel(
            sentences.gap_trend(material.scales[key].name, trends[key]),
            optuna_plots.slice_of_gap(past, material, material.scales[key]),
            title=material.scales[key].name,
        )
        for key in order
    ]
    return Section(title, "Gap", text, panels)


def _importance(past: Past, found: Importances) -> Iterator[Section]:
    if not found or len(found["score"]) < 2:
        return
    first = {name: next(iter(shares)) for name, shares in found.items()}
    title = f"{sentences.listed([first['score']]).capitalize()} decides about the score, {sentences.listed([first['gap']])} about the gap"
    if first["score"] == first["gap"]:
        title = f"{sentences.listed([first['score']]).capitalize()} decides about both the score and the gap"
    aid = (
        f"By functional ANOVA (Hutter et al., ICML 2014): how much of the order of {len(past.complete)} complete trials a parameter explains. "
        f"Plain bars: of their order by score; hatched: by gap."
    )
    yield Section(title, "Importance", "", [Panel(aid, optuna_plots.importance(past, found))], wide=True)


def _ridge(material: ReportInputs, past: Past) -> Iterator[Section]:
    if not {"learning_rate", "weight_decay"} <= material.scales.keys():
        yield Section(
            "Learning rate and weight decay were not searched together",
            "",
            "So there is no picture of the ridge that the two often have.",
        )
        return
    x, y = (material.scales[key] for key in ("learning_rate", "weight_decay"))
    metric = METRICS[material.space.train.metric]
    aid = f"{sentences.ridge(analysis.ridge(material))} Lines are of equal {metric.name}, {'darker' if metric.sign > 0 else 'deeper'} is better; a dot is a trial."
    title = (
        "Learning rate and weight decay are one choice, not two"
        if (found := analysis.ridge(material)) and found.is_one
        else "Learning rate and weight decay can be chosen one by one"
    )
    yield Section(title, "Ridge", "", [Panel(aid, optuna_plots.contour(past, material, x, y))], wide=True)


def _parallel(material: ReportInputs, past: Past) -> Section:
    sign = METRICS[material.space.train.metric].sign
    ranked = sorted(past.complete, key=lambda o: sign * (o.value or 0.0))
    best = ranked[: max(_BEST, math.ceil(len(ranked) / 10))]
    drawn = plots.parallel(past.complete, material.scales, {o.trial.label for o in best}, material.selected)
    return Section(
        "What the best trials have in common",
        "Parallel",
        "",
        [Panel(sentences.lines_together(material, best), drawn)],
        wide=True,
    )


def _history(material: ReportInputs, past: Past) -> Section:
    return Section(
        "How the best score was found",
        "History",
        "",
        [Panel(sentences.history(material), optuna_plots.history(past, material))],
        wide=True,
    )


def _front(material: ReportInputs, past: Past) -> Iterator[Section]:
    keys, goals = material.space.objective_names, [goal.replace("_", " ") for goal in material.space.objective_names]
    if len(goals) > 1 and len(past.complete) >= _FEW:
        best = pareto_front(
            [[o.values[key] for key in keys] for o in past.complete], [objectives.sign(key) for key in keys]
        )
        aid = f"{len(best)} of {len(past.complete)} complete trials, the baselines aside, are beaten by none of the others in all of: {', '.join(goals)}."
        yield Section(
            f"What {goals[0]} costs in {goals[1]}", "Front", "", [Panel(aid, optuna_plots.front(past))], wide=True
        )


def _finalists(material: ReportInputs) -> Iterator[Section]:
    found = material.result["finalists"]
    if not found:
        yield Section(
            "There were no finalists",
            "",
            "The selection follows the scores of the search alone, a part of which is luck (finalists: 0, or a single configuration).",
        )
        return
    drawn = plots.finalists(found, material.result["trial"], material.space.train.metric.replace("_", " "))
    yield Section(
        "How the finalists did on fresh splits",
        "Finalists",
        "",
        [Panel(sentences.finalists(material), drawn)],
        wide=True,
    )


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


def _stacks(material: ReportInputs) -> Section:
    found = analysis.stacks(material)
    return Section(
        "How many networks trained together",
        "Stacks",
        "",
        [Panel(sentences.stacks(found), html=tables.stacks(found))],
        wide=True,
    )
