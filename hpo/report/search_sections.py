"""The sections of the page about the search: which trials there were, and what separates the good ones from the others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from html import escape

from hpo.core import objectives
from hpo.core.metrics import METRICS
from hpo.core.objectives import pareto_front
from hpo.report import analysis, optuna_plots, plots, sentences, tables
from hpo.report.inputs import ReportInputs
from hpo.report.optuna_study import Past
from hpo.report.section import Panel, Section
from hpo.report.style import logarithmic

Importances = Mapping[str, Mapping[str, float]]
_FEW = 5  # complete trials, below which there is nothing to draw of them
_BEST = 3  # that stand out, at least


def opening(material: ReportInputs, importances: Importances) -> str:
    """The top of the page: the verdict, what was selected, its scores beside those it is compared with, and what is to be known of the data."""
    verdict = sentences.verdict(material, analysis.balance(material), importances)
    lead, *rest = verdict
    said = "".join(f"<p>{escape(line)}</p>" for line in rest)
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in material.result["notes"])
    return f'<h1>{escape(sentences.title(material))}</h1><p class="lead">{escape(lead)}</p>{said}{tables.params(material)}{tables.scores(material)}{notes}'


def search_sections(material: ReportInputs, past: Past, importances: Importances) -> Iterator[Section]:
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


def stack_section(material: ReportInputs) -> Section:
    found = analysis.stacks(material)
    return Section(
        "How many networks trained together",
        "Stacks",
        "",
        [Panel(sentences.stacks(found), html=tables.stacks(found))],
        wide=True,
    )
