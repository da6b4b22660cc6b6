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
from hpo.report.inputs import ReportInputs
from hpo.report.optuna_study import OptunaStudy
from hpo.report.style import (
    BLUE,
    INK,
    MEDIUM,
    ORANGE,
    PAPER,
    SMALL,
    SOFT,
    Plot,
    axis_layout,
    log_axis_layout,
    plot,
    star,
)

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
    lines = []
    for name, dash in (("defaults", "dash"), ("none", "dot")):
        baseline = inputs.outcomes.get(name)
        if baseline and baseline.value is not None and math.isfinite(baseline.value):
            ends = [0, max(trials["x"])]
            lines.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": ends,
                    "y": [baseline.value] * 2,
                    "hoverinfo": "name",
                    "name": {"defaults": "usual defaults", "none": "no regularization"}[name],
                    "line": {"color": ORANGE, "dash": dash, "width": 2},
                }
            )
    vertical = (
        log_axis_layout(trials["y"])
        if METRICS[inputs.space.train.metric].bounds == (0, math.inf)
        else {"type": "linear"}
    )
    return plot(
        [trials, best, *lines],
        legend=True,
        xaxis={"title": {"text": "trial"}},
        yaxis={"title": {"text": f"ranking {metric}"}, **vertical},
    )


def importance(study: OptunaStudy, importances: Mapping[str, Mapping[str, float]]) -> Plot:
    """Plot the importance of each hyperparameter for the score and, hatched, for the gap."""
    data = _data(study.importance(importances))
    for bars, (name, color, pattern) in zip(
        data, (("for the score", BLUE, ""), ("for the gap", ORANGE, "/")), strict=True
    ):
        marker = {
            "color": color,
            "pattern": {"shape": pattern, "size": 7, "solidity": 0.5},
            "line": {"color": color, "width": 1},
        }
        bars |= {"name": name, "marker": marker, "cliponaxis": False, "y": [key.replace("_", " ") for key in bars["y"]]}
    rows = len(set(data[0]["y"]))
    return plot(
        data,
        100 + 44 * rows,
        legend=True,
        barmode="group",
        xaxis={"title": {"text": "share of importance"}, "rangemode": "tozero"},
        yaxis={"type": "category", "nticks": 0, "tickvals": data[0]["y"]},
        margin={"l": 56, "r": 40, "t": 26, "b": 46},
    )


def slice_of_gap(study: OptunaStudy, inputs: ReportInputs, axis: Axis) -> Plot:
    """Plot the train–valid gap of each complete trial against one hyperparameter."""
    (trials,) = _data(study.slice(axis.key, gap=True))
    trials |= {"marker": {"color": BLUE, "size": 7, "opacity": 0.65}, "name": "trial"}
    data: list[Mapping[str, Any]] = [trials]
    selected = inputs.selected
    categories = (
        {"type": "category", "categoryorder": "array", "categoryarray": [axis.label(c) for c in axis.choices]}
        if axis.choices
        else {}
    )
    if axis.choices:
        # Optuna quotes text and groups points by value, so both coordinates are replaced.
        shown = [o for o in study.complete if axis.key in o.trial.params]
        trials |= {"x": [axis.label(o.trial.params[axis.key]) for o in shown], "y": [o.gap for o in shown]}
    if axis.covers(selected.trial.params):
        value = selected.trial.params[axis.key]
        data.append(star(axis.label(value) if axis.choices else axis.position(value), selected.gap))
    horizontal = {"title": {"text": axis.title}, **categories} if axis.choices else axis_layout(axis)
    return plot(data, SMALL, xaxis=horizontal, yaxis={"title": {"text": "gap"}})


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
    params = inputs.selected.trial.params
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
