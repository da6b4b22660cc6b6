"""The sections about the search: its trials, and which hyperparameters distinguish the best ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from hpo.core import objectives
from hpo.core.metrics import METRICS
from hpo.core.objectives import pareto_front
from hpo.report import analysis, optuna_plots, plots, sentences, tables
from hpo.report.balance import balance
from hpo.report.importance import Importances
from hpo.report.inputs import ReportInputs
from hpo.report.optuna_study import OptunaStudy
from hpo.report.section import Panel, Section
from hpo.report.style import log_axis_layout

_MIN_TRIALS = 5  # with fewer complete trials, there are no plots
_MIN_BEST = 3  # at least this many trials are emphasized


def opening(inputs: ReportInputs, importances: Importances) -> str:
    """Return the top of the page: the selected configuration, its scores, the conclusions, and notes on the data."""
    lead, *others = sentences.verdict(inputs, balance(inputs), importances)
    lines = "".join(f"<p>{escape(line)}</p>" for line in others)
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in inputs.result.notes)
    head = f"<h1>{escape(sentences.title(inputs))}</h1>{tables.params(inputs)}"
    return (
        f'{head}<p class="lead">{escape(lead)}</p>{lines}{tables.scores(inputs)}{tables.contributions(inputs)}{notes}'
    )


def search_sections(inputs: ReportInputs, study: OptunaStudy, importances: Importances) -> Iterator[Section]:
    yield _curves(inputs)
    n_trials = len(study.complete)
    if n_trials >= _MIN_TRIALS:
        yield _gaps(inputs, study)
        yield from _importance(study, importances)
        yield from _ridge(inputs, study)
        yield _parallel(inputs, study)
        yield _history(inputs, study)
    else:
        text = (
            f"Plots need at least {_MIN_TRIALS} complete trials; there {'is' if n_trials == 1 else 'are'} {n_trials}."
        )
        yield Section("Too few trials for plots of the search", "Too few trials", text)
    yield from _front(inputs, study)
    yield from _finalists(inputs)


def _curves(inputs: ReportInputs) -> Section:
    trainings = inputs.compared_trainings
    loss_axis = log_axis_layout(
        value
        for outcome in trainings.values()
        for name in ("train_loss", "valid_loss")
        for value in outcome.curves[name]
    )
    text = sentences.curves_text(trainings, reevaluated=inputs.compared_are_reevaluated)
    panels = [
        Panel(sentences.curve(outcome), plots.curves(outcome, loss_axis), title=name)
        for name, outcome in trainings.items()
    ]
    selected = trainings.get(next(iter(inputs.compared)))
    return Section(sentences.curves_title(selected), "Training and validation loss", text, panels)


def _gaps(inputs: ReportInputs, study: OptunaStudy) -> Section:
    trends = analysis.gap_trends(inputs)
    keys = sorted(inputs.axes, key=lambda key: -abs(trend.rho) if (trend := trends[key]) else 0)
    text = (
        "Each point is a complete trial; the star is the selected configuration. Spearman's rank correlation is 1 if "
        "the gap always rises and −1 if it always falls. A triangle at the border is a value beyond it."
    )
    panels = []
    for key in keys:
        axis = inputs.axes[key]
        figure = optuna_plots.slice_of_gap(study, inputs, axis)
        too_few = sum(axis.covers(outcome.trial.params) for outcome in study.complete) < analysis.MIN_TRIALS
        caption = sentences.gap_trend(axis.title, trends[key], too_few=too_few)
        panels.append(Panel(caption, figure, title=axis.title))
    return Section(sentences.gap_title(trends), "Train–valid gap", text, panels)


def _importance(study: OptunaStudy, importances: Importances) -> Iterator[Section]:
    if not importances or len(importances["score"]) < 2:
        return
    trials = len(study.complete)
    caption = (
        "How much of the differences in rank between complete trials each hyperparameter explains, by functional ANOVA "
        f"(Hutter et al., ICML 2014) over {trials} trials, with a 90 % interval over bootstrap samples of the trials. "
        "It also counts effects without a direction, which Spearman's correlation does not. Plain bars: rank by score; "
        "hatched: by train–valid gap."
    )
    panel = Panel(caption, optuna_plots.importance(importances))
    title = sentences.importance_title(importances, trials)
    yield Section(title, "Hyperparameter importance", "", [panel], wide=True)


def _ridge(inputs: ReportInputs, study: OptunaStudy) -> Iterator[Section]:
    name = "Learning rate × weight decay"
    if not {"learning_rate", "weight_decay"} <= inputs.axes.keys():
        yield Section(name, "", "The two were not searched together, so their interaction cannot be shown.")
        return
    x, y = (inputs.axes[key] for key in ("learning_rate", "weight_decay"))
    ridge = analysis.ridge(inputs)
    caption = sentences.ridge(ridge)
    if ridge is None:
        panel = Panel(caption, optuna_plots.better_half(study, inputs, x, y))
    else:
        metric = inputs.space.train.metric.replace("_", " ")
        caption += f" Contours of equal search {metric}, interpolated between the trials (dots); deeper blue is better."
        panel = Panel(caption, optuna_plots.contour(study, inputs, x, y))
    yield Section(sentences.ridge_title(ridge), name, "", [panel], wide=True)


def _parallel(inputs: ReportInputs, study: OptunaStudy) -> Section:
    metric = METRICS[inputs.space.train.metric]
    ranked = sorted(study.complete, key=lambda o: metric.minimized(o.value or 0.0))
    best = ranked[: max(_MIN_BEST, math.ceil(len(ranked) / 10))]
    figure = plots.parallel(study.complete, inputs.axes, {o.trial.label for o in best}, inputs.selected)
    panel = Panel(sentences.agreement(inputs, best), figure)
    return Section("Hyperparameters of the best trials", "Best trials", "", [panel], wide=True)


def _history(inputs: ReportInputs, study: OptunaStudy) -> Section:
    panel = Panel(sentences.history(inputs), optuna_plots.history(study, inputs))
    return Section("Best score over the search", "Best score", "", [panel], wide=True)


def _front(inputs: ReportInputs, study: OptunaStudy) -> Iterator[Section]:
    keys = inputs.space.objective_names
    if len(keys) > 1 and len(study.complete) >= _MIN_TRIALS:
        values = [[objectives.minimized(key, o.values[key]) for key in keys] for o in study.complete]
        names = [key.replace("_", " ") for key in keys]
        caption = (
            f"{len(pareto_front(values))} of {len(study.complete)} complete trials (without the baselines) are on the "
            f"Pareto front: no other trial is better in all of {', '.join(names)}."
        )
        panel = Panel(caption, optuna_plots.front(study))
        yield Section(f"Pareto front of {names[0]} and {names[1]}", "Pareto front", "", [panel], wide=True)


def _finalists(inputs: ReportInputs) -> Iterator[Section]:
    finalists = inputs.result.finalists
    if not finalists:
        text = (
            "The selection is based on the scores of the search only, which are partly luck (finalists: 0, or there is "
            "only one configuration)."
        )
        yield Section("There was no re-evaluation", "", text)
        return
    metric = inputs.space.train.metric.replace("_", " ")
    compared = any(scores.gain for scores in finalists.values())
    figure = plots.finalists(inputs.result, metric) if compared else None
    table = Panel(sentences.finalists_table(inputs.result.task), html=tables.finalists(inputs))
    panels = [Panel(sentences.finalists(inputs), figure), table]
    yield Section(sentences.finalists_title(inputs.result), "Finalists", "", panels, wide=True)


def stack_section(inputs: ReportInputs) -> Section:
    """Return the appendix about the networks that trained as one batched program."""
    stacks = analysis.stack_usage(inputs)
    panel = Panel(sentences.stacks(stacks), html=tables.stacks(stacks))
    return Section("Appendix: networks that trained together", "Networks that trained together", "", [panel], wide=True)
