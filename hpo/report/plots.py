"""Plots that Optuna does not have: learning curves, parallel coordinates, finalists, weights, reliability, residuals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape  # plotly takes text for HTML
from typing import Any

import numpy as np

from hpo.core.trial import Outcome
from hpo.report.axis import Scale
from hpo.report.predictions import Bin, Predicted
from hpo.report.style import BLUE, FAINT, INK, ORANGE, PAPER, SMALL, SOFT, Plot, plot, points
from hpo.report.weights import Layer
from hpo.space.formatting import score, trial_name


def curves(outcome: Outcome, loss: Mapping[str, Any]) -> Plot:
    """Training and validation loss by epoch, the gap between them filled, on an axis `loss` that several share."""
    # The last epoch of one that diverged is not a number, which JSON does not have.
    train, valid = (
        [v if math.isfinite(v) else None for v in outcome.curves[name]] for name in ("train_loss", "valid_loss")
    )
    epochs = list(range(1, len(valid) + 1))
    line: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": epochs, "hovertemplate": "epoch %{x}: %{y:.4g}"}
    data = [
        line | {"y": train, "name": "training", "line": {"color": BLUE, "width": 2, "dash": "dash"}},
        line
        | {
            "y": valid,
            "name": "validation",
            "fill": "tonexty",
            "fillcolor": FAINT,
            "line": {"color": ORANGE, "width": 2},
        },
    ]
    if outcome.best_epoch:
        best = outcome.best_epoch
        mark = {"symbol": "diamond", "size": 9, "color": INK, "opacity": 1}
        data.append(
            points(
                [best], [outcome.curves["valid_loss"][best - 1]], [f"best epoch {best}"], name="best epoch", marker=mark
            )
        )
    return plot(data, SMALL, xaxis={"title": {"text": "epoch"}}, yaxis=loss)


def parallel(trials: Sequence[Outcome], scales: Mapping[str, Scale], best: set[str], selected: Outcome) -> Plot:
    """A line a trial through its values, one parameter below the other: such a picture fits a narrow window whatever is searched."""
    keys = list(scales)

    def line(outcome: Outcome, **more: Any) -> dict[str, Any]:
        there = [
            (scales[key].share(outcome.trial.params[key]), -i, key)
            for i, key in enumerate(keys)
            if scales[key].has(outcome.trial.params)
        ]
        text = [
            f"{trial_name(outcome.trial.label)}: {key} {scales[key].label(outcome.trial.params[key])}"
            for _, _, key in there
        ]
        shape = {
            "type": "scatter",
            "mode": "lines",
            "x": [x for x, _, _ in there],
            "y": [y for _, y, _ in there],
            "text": text,
        }
        return shape | {"hoverinfo": "text", **more}

    groups = [
        ([o for o in trials if o.trial.label not in best], {"color": SOFT, "width": 1, "dash": "dot"}, "others", 0.45),
        ([o for o in trials if o.trial.label in best], {"color": BLUE, "width": 2}, "best tenth", 0.9),
    ]
    data = [
        line(o, line=stroke, name=name, legendgroup=name, showlegend=i == 0, opacity=opacity)
        for members, stroke, name, opacity in groups
        for i, o in enumerate(members)
    ]
    marks = {"symbol": "star", "size": 11, "color": ORANGE, "line": {"width": 1, "color": INK}}
    data.append(line(selected, mode="lines+markers", line={"color": ORANGE, "width": 3}, marker=marks, name="selected"))
    notes = [_note(0, -i + 0.3, scale.name, "left", 13) for i, scale in enumerate(scales.values())]
    shapes = []
    for i, scale in enumerate(scales.values()):
        shapes.append(
            {"type": "line", "x0": 0, "x1": 1, "y0": -i, "y1": -i, "line": {"color": INK, "width": 1}, "layer": "below"}
        )
        for place, text in _spread(scale):
            notes.append(_note(place, -i - 0.2, text, "center", 11))
            shapes.append(
                {
                    "type": "line",
                    "x0": place,
                    "x1": place,
                    "y0": -i - 0.05,
                    "y1": -i + 0.05,
                    "line": {"color": INK, "width": 1},
                }
            )
    hidden = {"visible": False, "fixedrange": True}
    return plot(
        data,
        60 + 84 * len(keys),
        legend=True,
        annotations=notes,
        shapes=shapes,
        margin={"l": 26, "r": 26, "t": 34, "b": 16},
        xaxis=hidden | {"range": [-0.02, 1.02]},
        yaxis=hidden | {"range": [-len(keys) + 0.6, 0.55]},
    )


def _spread(scale: Scale) -> list[tuple[float, str]]:
    """Ticks of an axis from 0 to 1, none upon another."""
    found: list[tuple[float, str]] = []
    ticks = [(scale.between(place), text) for place, text in scale.ticks()]
    apart = max((len(text) for _, text in ticks), default=0) * 0.022
    for place, text in ticks:
        if not found or place - found[-1][0] >= apart:
            found.append((place, text))
    return found


def _note(x: float, y: float, text: str, anchor: str, size: int) -> dict[str, Any]:
    return {
        "x": x,
        "y": y,
        "text": text,
        "showarrow": False,
        "xanchor": anchor,
        "font": {"size": size, "color": INK},
        "bgcolor": PAPER,
        "borderpad": 0,
    }


def finalists(found: Mapping[str, Mapping[str, Any]], selected: str, metric: str) -> Plot:
    """What each finalist scored in the search, and on fresh splits with its standard error, the best at the top."""
    names = {
        label: f"{trial_name(label).removeprefix('the baseline ')}{' ★' if label == selected else ''}"
        for label in found
    }
    ordered = list(found)[::-1]
    fresh = [label for label in ordered if found[label]["fresh"] is not None]
    before = [label for label in ordered if found[label]["search"] is not None]
    scores = [found[label]["fresh"] for label in fresh]
    errors = [found[label]["standard_error"] or 0.0 for label in fresh]
    texts = [f"fresh {score(s)} ± {score(e)}" for s, e in zip(scores, errors, strict=True)]
    data = [
        points(
            scores,
            [names[k] for k in fresh],
            texts,
            name="fresh, ± standard error",
            marker={"symbol": "square", "size": 9, "opacity": 1},
            error_x={"type": "data", "array": errors, "color": BLUE, "thickness": 1.5, "width": 5},
        ),
        points(
            [found[k]["search"] for k in before],
            [names[k] for k in before],
            [f"search {score(found[k]['search'])}" for k in before],
            name="in the search",
            marker={"symbol": "circle-open", "size": 10, "color": INK, "opacity": 1, "line": {"width": 1.5}},
        ),
    ]
    rows = [names[label] for label in ordered]
    vertical = {"type": "category", "categoryorder": "array", "categoryarray": rows, "nticks": 0, "tickvals": rows}
    return plot(
        data,
        90 + 30 * len(found),
        legend=True,
        xaxis={"title": {"text": f"{metric} on validation rows"}},
        yaxis=vertical,
    )


def histogram(layer: Layer) -> Plot:
    """The weights of a layer that are not zero."""
    width = layer.edges[1] - layer.edges[0]
    bars = {
        "type": "bar",
        "x": [e + width / 2 for e in layer.edges[:-1]],
        "y": list(layer.counts),
        "width": [width] * len(layer.counts),
        "marker": {"color": BLUE, "line": {"width": 0}},
        "hovertemplate": "%{x:.3g}: %{y}<extra></extra>",
    }
    return plot([bars], SMALL, bargap=0, xaxis={"title": {"text": "weight"}}, yaxis={"title": {"text": "how many"}})


def reliability(bins: Sequence[Bin]) -> Plot:
    """The share that was right against the confidence; on the dashed line both are the same."""
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"color": SOFT, "dash": "dash"},
        "hoverinfo": "skip",
        "name": "as confident as right",
    }
    most = max(b.count for b in bins)
    sizes = [8 + 20 * (b.count / most) ** 0.5 for b in bins]
    texts = [f"confidence {b.confidence:.2f}: {100 * b.right:.0f} % of {b.count} right" for b in bins]
    data = [
        line,
        points(
            [b.confidence for b in bins],
            [b.right for b in bins],
            texts,
            name="predictions (larger: more)",
            marker={"size": sizes},
        ),
    ]
    data[1] |= {"mode": "lines+markers", "line": {"color": BLUE, "width": 1}}
    least = min(0.5, *(b.confidence for b in bins)) - 0.05
    low = min([least, *(b.right - 0.05 for b in bins)])
    return plot(
        data,
        legend=True,
        xaxis={"title": {"text": "confidence"}, "range": [least, 1.04]},
        yaxis={"title": {"text": "share that was right"}, "range": [max(low, -0.04), 1.06]},
    )


def plane(found: tuple[np.ndarray, np.ndarray]) -> Plot:
    """Rows of two domains, by shape as much as by colour."""
    marks = {
        "source": {"symbol": "circle-open", "size": 8, "color": INK, "opacity": 0.7, "line": {"width": 1.5}},
        "target": {"symbol": "triangle-up", "size": 8, "color": ORANGE, "opacity": 0.7},
    }
    data = [
        points(rows[:, 0].tolist(), rows[:, 1].tolist(), [name] * len(rows), name=name, marker=mark)
        for (name, mark), rows in zip(marks.items(), found, strict=True)
    ]
    return plot(
        data, legend=True, xaxis={"title": {"text": "largest variance"}}, yaxis={"title": {"text": "second largest"}}
    )


def residuals(found: Predicted, name: str) -> Plot:
    """Predicted minus true against predicted; over zero it was too much."""
    texts = [
        f"row {r}: said {score(p)}, is {score(t)}"
        for r, p, t in zip(found.rows.tolist(), found.predicted.tolist(), found.true.tolist(), strict=True)
    ]
    ends = [float(found.predicted.min()), float(found.predicted.max())]
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": ends,
        "y": [0, 0],
        "line": {"color": INK, "dash": "dash"},
        "hoverinfo": "skip",
    }
    data = [points(found.predicted.tolist(), found.residuals.tolist(), texts, marker={"size": 6, "opacity": 0.5}), line]
    return plot(
        data, xaxis={"title": {"text": f"predicted {escape(name)}"}}, yaxis={"title": {"text": "predicted − true"}}
    )
