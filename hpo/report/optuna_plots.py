"""Optuna's own plots, in the style of the page, with a mark for what was selected."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from plotly.graph_objects import Figure

from hpo.core.metrics import METRICS
from hpo.report.axis import Scale
from hpo.report.inputs import ReportInputs, gap
from hpo.report.optuna_study import Past
from hpo.report.style import BLUE, INK, MEDIUM, ORANGE, PAPER, SMALL, SOFT, Plot, axis, logarithmic, plot, star

_WORST = 0.75  # the quantile of the scores above which a contour has no further line


def _data(figure: Figure) -> list[dict[str, Any]]:
    """The traces as plain JSON; the layout is ours."""
    found: list[dict[str, Any]] = json.loads(figure.to_json())["data"]
    return found


def history(past: Past, material: ReportInputs) -> Plot:
    """Every complete trial, the best so far, and the baselines as lines."""
    metric = material.space.train.metric.replace("_", " ")
    trials, best = _data(past.history(metric))[:2]
    trials |= {
        "marker": {"color": BLUE, "size": 7, "opacity": 0.65},
        "name": "trial",
        "y": [o.value for o in past.complete],
    }
    best |= {"line": {"color": INK, "width": 2, "shape": "hv"}, "mode": "lines", "name": "best so far"}
    trials["x"] = best["x"] = [int(o.trial.label) for o in past.complete]
    lines = []
    for name, dash in (("defaults", "dash"), ("none", "dot")):
        known = material.outcomes.get(name)
        if known and known.value is not None and math.isfinite(known.value):
            ends = [0, max(trials["x"])]
            lines.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": ends,
                    "y": [known.value] * 2,
                    "hoverinfo": "name",
                    "name": {"defaults": "usual defaults", "none": "no regularization"}[name],
                    "line": {"color": ORANGE, "dash": dash, "width": 2},
                }
            )
    vertical = (
        logarithmic(trials["y"]) if METRICS[material.space.train.metric].bounds == (0, math.inf) else {"type": "linear"}
    )
    return plot(
        [trials, best, *lines],
        legend=True,
        xaxis={"title": {"text": "trial"}},
        yaxis={"title": {"text": f"valid {metric}"}, **vertical},
    )


def importance(past: Past, found: Mapping[str, Mapping[str, float]]) -> Plot:
    """Of every parameter, for the score and, hatched, for the gap."""
    data = _data(past.importance(found))
    for bars, (name, colour, pattern) in zip(
        data, (("for the score", BLUE, ""), ("for the gap", ORANGE, "/")), strict=True
    ):
        marker = {
            "color": colour,
            "pattern": {"shape": pattern, "size": 7, "solidity": 0.5},
            "line": {"color": colour, "width": 1},
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


def slice_of_gap(past: Past, material: ReportInputs, scale: Scale) -> Plot:
    """The train–valid gap of every complete trial against one parameter."""
    (trials,) = _data(past.slice(scale.key, gap=True))
    trials |= {"marker": {"color": BLUE, "size": 7, "opacity": 0.65}, "name": "trial"}
    data: list[Mapping[str, Any]] = [trials]
    chosen = material.selected
    place = (
        {"type": "category", "categoryorder": "array", "categoryarray": [scale.label(c) for c in scale.choices]}
        if scale.choices
        else {}
    )
    if scale.choices:
        # Optuna has text in quotes.
        shown = [
            o for o in past.complete if scale.key in o.trial.params
        ]  # its places are grouped by value, so both axes are ours
        trials |= {"x": [scale.label(o.trial.params[scale.key]) for o in shown], "y": [gap(o) for o in shown]}
    if scale.has(chosen.trial.params):
        value = chosen.trial.params[scale.key]
        data.append(star(scale.label(value) if scale.choices else scale.place(value), gap(chosen)))
    horizontal = {"title": {"text": scale.name}, **place} if scale.choices else axis(scale)
    return plot(data, SMALL, xaxis=horizontal, yaxis={"title": {"text": "gap"}})


def contour(past: Past, material: ReportInputs, x: Scale, y: Scale) -> Plot:
    """The score over two parameters, with its lines written on; worse scores than those of three quarters of the trials are one plain."""
    metric, sign = material.space.train.metric, METRICS[material.space.train.metric].sign
    surface, trials, *_ = _data(past.contour(x.key, y.key, metric))
    values = np.array([o.value for o in past.complete], dtype=float)
    good, bad = (float(v) for v in np.quantile(sign * values, (0, _WORST)))
    low, high = sorted((sign * good, sign * bad))
    step = (high - low) / 6 or 1.0
    surface |= {
        "zauto": False,
        "zmin": low,
        "zmax": high,
        "showscale": False,
        "colorscale": [[0, BLUE], [1, PAPER]] if sign > 0 else [[0, PAPER], [1, BLUE]],
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
    params = material.selected.trial.params
    if x.has(params) and y.has(params):
        data.append(star(x.place(params[x.key]), y.place(params[y.key])) | {"showlegend": True})
    return plot(data, MEDIUM + 60, legend=True, xaxis=axis(x), yaxis=axis(y))


def front(past: Past) -> Plot:
    """The trials that none beats in both of the first two objectives, before all others."""
    figure = past.front()
    data = _data(figure)
    others, best = data[0], data[-1]
    others |= {"marker": {"color": SOFT, "size": 7, "symbol": "circle-open", "opacity": 0.8}, "name": "complete trial"}
    best |= {"marker": {"color": ORANGE, "size": 10, "symbol": "square"}, "name": "beaten by none"}
    titles = [{"title": {"text": found.title.text}} for found in (figure.layout.xaxis, figure.layout.yaxis)]
    return plot([others, best], legend=True, xaxis=titles[0], yaxis=titles[1])
