"""Optuna's plots in the style of the page, with a mark for the selected configuration."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from plotly.graph_objects import Figure

from hpo.core.metrics import METRICS
from hpo.report.axis import Axis
from hpo.report.importance import Importances
from hpo.report.inputs import ReportInputs
from hpo.report.optuna_study import OptunaStudy
from hpo.report.robust import limits
from hpo.report.style import (
    BLUE,
    INK,
    MEDIUM,
    ORANGE,
    PAPER,
    SMALL,
    SOFT,
    Plot,
    at_border,
    axis_layout,
    log_axis_layout,
    plot,
    points,
    star,
)
from hpo.space.formatting import format_score, trial_name

_CONTOUR_QUANTILE = 0.75  # quantile of the scores; worse scores have no contour lines


def _data(figure: Figure) -> list[dict[str, Any]]:
    """Return the traces as JSON, without the layout."""
    traces: list[dict[str, Any]] = json.loads(figure.to_json())["data"]
    return traces


def history(study: OptunaStudy, inputs: ReportInputs) -> Plot:
    """Plot each complete trial, the best score so far, and the baselines as lines."""
    metric = inputs.space.train.metric.replace("_", " ")
    trials, best = _data(study.history(metric))[:2]
    trials |= {
        "marker": {"color": BLUE, "size": 7, "opacity": 0.65},
        "name": "trial",
        "y": [o.value for o in study.complete],
    }
    best |= {"line": {"color": INK, "width": 2, "shape": "hv"}, "mode": "lines", "name": "best so far"}
    trials["x"] = best["x"] = [o.trial.key.number for o in study.complete]
    lines = _baseline_lines(inputs, max(trials["x"]))
    is_positive = METRICS[inputs.space.train.metric].bounds == (0, math.inf)
    vertical = log_axis_layout(trials["y"]) if is_positive else {"type": "linear"}
    is_log = vertical["type"] == "log"
    shown = [value for value in trials["y"] if value > 0] if is_log else trials["y"]
    if found := limits(shown, [line["y"][0] for line in lines if not is_log or line["y"][0] > 0], log=is_log):
        texts = [f"{trial_name(o.trial.label)}: {format_score(o.value)}" for o in study.complete]
        lines += filter(None, [at_border(trials["x"], trials["y"], texts, found)])
        inside = [value for value in shown if found.contains(value)]
        vertical = {**(log_axis_layout(inside) if is_log else vertical), "range": found.plotly_range}
    return plot(
        [trials, best, *lines],
        legend=True,
        xaxis={"title": {"text": "trial"}},
        yaxis={"title": {"text": f"search {metric}"}, **vertical},
    )


def _baseline_lines(inputs: ReportInputs, last: float) -> list[dict[str, Any]]:
    """Return the scores of the baselines as lines up to the trial number `last`."""
    lines: list[dict[str, Any]] = []
    for label, name, dash in (("defaults", "usual defaults", "dash"), ("none", "no regularization", "dot")):
        baseline = inputs.outcomes.get(label)
        if baseline and baseline.value is not None and math.isfinite(baseline.value):
            style = {"color": ORANGE, "dash": dash, "width": 2}
            ends = {"x": [0, last], "y": [baseline.value] * 2}
            lines.append({"type": "scatter", "mode": "lines", **ends, "hoverinfo": "name", "name": name, "line": style})
    return lines


def importance(importances: Importances) -> Plot:
    """Plot the importance of each hyperparameter for the score and, hatched, for the gap, with 90 % intervals."""
    keys = list(importances["score"])[::-1]  # the most important is on top
    data = []
    for goal, name, color, pattern in (("score", "for the score", BLUE, ""), ("gap", "for the gap", ORANGE, "/")):
        found = [importances[goal][key] for key in keys]
        bars = {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "x": [one.share for one in found],
            "y": [key.replace("_", " ") for key in keys],
            "hovertemplate": "%{y}: %{x:.0%}",
            "marker": {
                "color": color,
                "pattern": {"shape": pattern, "size": 7, "solidity": 0.5},
                "line": {"color": color, "width": 1},
            },
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [one.high - one.share for one in found],
                "arrayminus": [one.share - one.low for one in found],
                "color": INK,
                "thickness": 1.2,
                "width": 4,
            },
        }
        data.append(bars)
    return plot(
        data,
        100 + 44 * len(keys),
        legend=True,
        barmode="group",
        xaxis={"title": {"text": "share of importance"}, "rangemode": "tozero"},
        yaxis={"type": "category", "nticks": 0, "tickvals": data[0]["y"]},
        margin={"l": 56, "r": 40, "t": 26, "b": 46},
    )


def slice_of_gap(study: OptunaStudy, inputs: ReportInputs, axis: Axis) -> Plot:
    """Plot the train–valid gap of each complete trial against one hyperparameter."""
    selected = inputs.selected
    shown = [o for o in study.complete if axis.key in o.trial.params]
    values = [o.trial.params[axis.key] for o in shown]
    x: list[float | str] = [axis.label(value) if axis.choices else axis.position(value) for value in values]
    y = [o.gap for o in shown]
    texts = [f"{trial_name(o.trial.label)}: gap {format_score(o.gap)}" for o in shown]
    data = [points(x, y, texts, name="trial")]
    vertical: dict[str, Any] = {"title": {"text": "gap"}}
    if found := limits(y, [selected.gap]):
        data += filter(None, [at_border(x, y, texts, found)])
        vertical["range"] = found.plotly_range
    if axis.covers(selected.trial.params):
        value = selected.trial.params[axis.key]
        data.append(star(axis.label(value) if axis.choices else axis.position(value), selected.gap))
    names = [axis.label(choice) for choice in axis.choices]
    categories = {"type": "category", "categoryorder": "array", "categoryarray": names}
    horizontal = {"title": {"text": axis.title}, **categories} if axis.choices else axis_layout(axis)
    return plot(data, SMALL, xaxis=horizontal, yaxis=vertical)


def better_half(study: OptunaStudy, inputs: ReportInputs, x: Axis, y: Axis) -> Plot:
    """Plot the complete trials over two hyperparameters, the better half filled: too few trials for contours."""
    metric = METRICS[inputs.space.train.metric]
    ranked = sorted(study.complete, key=lambda o: metric.minimized(o.value or 0.0))
    half = math.ceil(len(ranked) / 2)
    data: list[Mapping[str, Any]] = []
    for members, name, symbol in ((ranked[:half], "better half", "circle"), (ranked[half:], "others", "circle-open")):
        places = [(x.position(o.trial.params[x.key]), y.position(o.trial.params[y.key])) for o in members]
        texts = [f"{trial_name(o.trial.label)}: {metric.name} {format_score(o.value)}" for o in members]
        marker = {"symbol": symbol, "size": 8, "color": INK, "opacity": 0.8, "line": {"width": 1.5}}
        data.append(points([p for p, _ in places], [p for _, p in places], texts, name=name, marker=marker))
    params = inputs.result.selected
    if x.covers(params) and y.covers(params):
        data.append(star(x.position(params[x.key]), y.position(params[y.key])) | {"showlegend": True})
    return plot(data, MEDIUM, legend=True, xaxis=axis_layout(x), yaxis=axis_layout(y))


def contour(study: OptunaStudy, inputs: ReportInputs, x: Axis, y: Axis) -> Plot:
    """Plot labelled contours of the score over two hyperparameters; the worst quarter has no lines."""
    metric = METRICS[inputs.space.train.metric]
    surface, trials, *_ = _data(study.contour(x.key, y.key, metric.name))
    values = np.array([o.value for o in study.complete], dtype=float)
    good, bad = (float(v) for v in np.quantile(metric.minimized(values), (0, _CONTOUR_QUANTILE)))
    low, high = sorted((metric.minimized(good), metric.minimized(bad)))
    step = (high - low) / 6 or 1.0
    surface |= {
        "zauto": False,
        "zmin": low,
        "zmax": high,
        "showscale": False,
        "colorscale": [[0, BLUE], [1, PAPER]] if metric.better == "lower" else [[0, PAPER], [1, BLUE]],
        "contours": {
            "coloring": "heatmap",
            "start": low + step,
            "end": high,
            "size": step,
            "showlabels": True,
            "labelformat": ".3g",
            "labelfont": {"size": 11, "color": INK},
        },
        "line": {"color": SOFT, "width": 1, "smoothing": 0},
        "reversescale": False,
        "opacity": 0.75,
    }
    surface.pop("colorbar", None)
    trials |= {
        "marker": {"color": INK, "size": 5, "symbol": "circle", "opacity": 0.8},
        "name": "trial",
        "showlegend": True,
    }
    data: list[Mapping[str, Any]] = [surface, trials]
    params = inputs.result.selected
    if x.covers(params) and y.covers(params):
        data.append(star(x.position(params[x.key]), y.position(params[y.key])) | {"showlegend": True})
    return plot(data, MEDIUM + 60, legend=True, xaxis=axis_layout(x), yaxis=axis_layout(y))


def front(study: OptunaStudy) -> Plot:
    """Plot the Pareto front of the first two objectives, on top of the other trials."""
    figure = study.front()
    data = _data(figure)
    others, best = data[0], data[-1]
    others |= {
        "marker": {"color": SOFT, "size": 7, "symbol": "circle-open", "opacity": 0.8},
        "name": "other complete trial",
    }
    best |= {"marker": {"color": ORANGE, "size": 10, "symbol": "square"}, "name": "Pareto front"}
    titles = [{"title": {"text": axis.title.text}} for axis in (figure.layout.xaxis, figure.layout.yaxis)]
    return plot([others, best], legend=True, xaxis=titles[0], yaxis=titles[1])
