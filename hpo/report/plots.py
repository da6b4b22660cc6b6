"""The plots that Optuna lacks: learning curves, parallel coordinates, finalists, weights, reliability, residuals."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from html import escape  # plotly renders text as HTML
from typing import Any

import numpy as np

from hpo.core.trial import Outcome
from hpo.report.axis import Axis
from hpo.report.predictions import Bin, NumberPredictions
from hpo.report.robust import Limits, limits
from hpo.report.style import BLUE, FAINT, INK, ORANGE, PAPER, SMALL, SOFT, Plot, plot, points
from hpo.report.weights import Layer
from hpo.selection.result import SearchResult
from hpo.selection.result_parts import ExpectedGain
from hpo.space.formatting import format_score, trial_name

_NAME_WIDTH = 34  # characters per line of the name of a finalist


def curves(outcome: Outcome, loss_axis: Mapping[str, Any]) -> Plot:
    """Plot training and validation loss by epoch, with the gap filled, on an axis that several plots share."""
    # If training diverged, the last loss is NaN, which JSON does not have.
    train, valid = (
        [v if math.isfinite(v) else None for v in outcome.curves[name]] for name in ("train_loss", "valid_loss")
    )
    epochs = list(range(1, len(valid) + 1))
    mode = "lines" if len(epochs) > 1 else "markers"  # one point has no line
    line: dict[str, Any] = {"type": "scatter", "mode": mode, "x": epochs, "hovertemplate": "epoch %{x}: %{y:.4g}"}
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
    return plot(data, SMALL, xaxis={"title": {"text": "epoch"}}, yaxis=loss_axis)


def parallel(trials: Sequence[Outcome], axes: Mapping[str, Axis], best: set[str], selected: Outcome) -> Plot:
    """Draw one line per trial through its values; the axes are below each other, to fit a narrow window."""
    others = {"line": {"color": SOFT, "width": 1, "dash": "dot"}, "name": "other trials", "opacity": 0.45}
    emphasized = {"line": {"color": BLUE, "width": 2}, "name": "best trials", "opacity": 0.9}
    data = []
    for is_best, style in ((False, others), (True, emphasized)):
        members = [o for o in trials if (o.trial.label in best) == is_best]
        for i, outcome in enumerate(members):
            data.append(_trial_line(outcome, axes) | style | {"legendgroup": style["name"], "showlegend": i == 0})
    marks = {"symbol": "star", "size": 11, "color": ORANGE, "line": {"width": 1, "color": INK}}
    line = {"mode": "lines+markers", "line": {"color": ORANGE, "width": 3}, "marker": marks, "name": "selected"}
    data.append(_trial_line(selected, axes) | line)
    drawn_axes = [_drawn_axis(axis, -i) for i, axis in enumerate(axes.values())]
    hidden = {"visible": False, "fixedrange": True}
    return plot(
        data,
        60 + 84 * len(axes),
        legend=True,
        annotations=[note for notes, _ in drawn_axes for note in notes],
        shapes=[shape for _, shapes in drawn_axes for shape in shapes],
        margin={"l": 26, "r": 26, "t": 34, "b": 16},
        xaxis=hidden | {"range": [-0.02, 1.02]},
        yaxis=hidden | {"range": [-len(axes) + 0.6, 0.55]},
    )


def _trial_line(outcome: Outcome, axes: Mapping[str, Axis]) -> dict[str, Any]:
    """Return the line of a trial through those axes that cover it."""
    params = outcome.trial.params
    rows = [(-i, axis) for i, axis in enumerate(axes.values()) if axis.covers(params)]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [axis.fraction(params[axis.key]) for _, axis in rows],
        "y": [y for y, _ in rows],
        "text": [f"{trial_name(outcome.trial.label)}: {axis.key} {axis.label(params[axis.key])}" for _, axis in rows],
        "hoverinfo": "text",
    }


def _drawn_axis(axis: Axis, y: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the texts and the lines of a horizontal axis at height `y`."""
    line = {"type": "line", "line": {"color": INK, "width": 1}}
    notes = [_note(0, y + 0.3, axis.title, "left", 13)]
    shapes = [line | {"x0": 0, "x1": 1, "y0": y, "y1": y, "layer": "below"}]
    for x, text in _spread(axis):
        notes.append(_note(x, y - 0.2, text, "center", 11))
        shapes.append(line | {"x0": x, "x1": x, "y0": y - 0.05, "y1": y + 0.05})
    return notes, shapes


def _spread(axis: Axis) -> list[tuple[float, str]]:
    """Return (position from 0 to 1, label) of the ticks of an axis, without those that would overlap."""
    kept: list[tuple[float, str]] = []
    ticks = [(axis.to_fraction(position), text) for position, text in axis.ticks()]
    distance = max((len(text) for _, text in ticks), default=0) * 0.022
    for position, text in ticks:
        if not kept or position - kept[-1][0] >= distance:
            kept.append((position, text))
    return kept


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


def finalists(result: SearchResult, metric: str) -> Plot:
    """Plot the gain of each finalist over the usual defaults, which are at 0, with its 90 % interval, best first."""
    reference = result.reference
    gains = dict(reversed(result.gains.items()))  # the best is on top
    rows = [_finalist_name(label, result.trial) for label in gains]
    default = _finalist_name(reference, result.trial)
    bounds = limits([value for gain in gains.values() for value in (gain.low, gain.gain, gain.high)], [0.0])
    data = [
        _intervals(list(gains.values()), rows, bounds),
        points(
            [gain.measured for gain in gains.values()],
            rows,
            [
                f"{row}: measured gain {format_score(gain.measured)}"
                for row, gain in zip(rows, gains.values(), strict=True)
            ],
            name="measured gain",
            marker={"symbol": "circle-open", "size": 10, "color": INK, "opacity": 1, "line": {"width": 1.5}},
        ),
        points([0.0], [default], [f"{trial_name(reference)}: 0"], showlegend=False, marker={"color": INK, "size": 9}),
    ]
    rows = [*rows, default]
    zero = {"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper", "line": {"color": INK, "dash": "dash"}}
    horizontal: dict[str, Any] = {"title": {"text": f"gain in {metric} over {trial_name(reference)}"}}
    return plot(
        data,
        110 + 36 * len(rows),
        legend=True,
        shapes=[zero],
        xaxis=horizontal | ({"range": bounds.plotly_range} if bounds else {}),
        yaxis={"type": "category", "categoryorder": "array", "categoryarray": rows, "nticks": 0, "tickvals": rows},
    )


def _finalist_name(label: str, selected: str) -> str:
    """Return the name of a finalist in short lines, so that a narrow window has space for the plot."""
    name = f"{trial_name(label).removeprefix('the ')}{' ★' if label == selected else ''}"
    return "<br>".join(textwrap.wrap(name, _NAME_WIDTH))


def _intervals(gains: Sequence[ExpectedGain], rows: Sequence[str], bounds: Limits | None) -> dict[str, Any]:
    """Return the expected gains with their intervals; one beyond the axis is a triangle at the border."""
    texts = [
        f"{row}: expected gain {format_score(gain.gain)}, 90 % interval {format_score(gain.low)} to "
        f"{format_score(gain.high)}"
        for row, gain in zip(rows, gains, strict=True)
    ]
    x, symbols = [gain.gain for gain in gains], ["square"] * len(gains)
    for i, gain in enumerate(gains):
        if bounds and not bounds.contains(gain.gain):
            x[i], symbols[i] = bounds.border(gain.gain), "triangle-right" if gain.gain > 0 else "triangle-left"
    bars = {
        "type": "data",
        "symmetric": False,
        "array": [gain.high - gain.gain for gain in gains],
        "arrayminus": [gain.gain - gain.low for gain in gains],
        "color": BLUE,
        "thickness": 1.5,
        "width": 5,
    }
    marker = {"symbol": symbols, "size": 9, "opacity": 1}
    return points(x, rows, texts, name="expected gain, 90 % interval", marker=marker, error_x=bars)


def histogram(layer: Layer) -> Plot:
    """Plot the nonzero weights of a layer."""
    width = layer.edges[1] - layer.edges[0]
    bars = {
        "type": "bar",
        "x": [e + width / 2 for e in layer.edges[:-1]],
        "y": list(layer.counts),
        "width": [width] * len(layer.counts),
        "marker": {"color": BLUE, "line": {"width": 0}},
        "hovertemplate": "%{x:.3g}: %{y}<extra></extra>",
    }
    return plot(
        [bars], SMALL, bargap=0, xaxis={"title": {"text": "weight"}}, yaxis={"title": {"text": "number of weights"}}
    )


def reliability(bins: Sequence[Bin]) -> Plot:
    """Plot accuracy against confidence; they are equal on the dashed line."""
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"color": SOFT, "dash": "dash"},
        "hoverinfo": "skip",
        "name": "perfect calibration",
    }
    most = max(b.count for b in bins)
    sizes = [8 + 20 * (b.count / most) ** 0.5 for b in bins]
    texts = [f"confidence {b.confidence:.2f}: {100 * b.accuracy:.0f} % of {b.count} correct" for b in bins]
    data = [
        line,
        points(
            [b.confidence for b in bins],
            [b.accuracy for b in bins],
            texts,
            name="predictions (size: number)",
            marker={"size": sizes},
        ),
    ]
    data[1] |= {"mode": "lines+markers", "line": {"color": BLUE, "width": 1}}
    least = min(0.5, *(b.confidence for b in bins)) - 0.05
    low = min([least, *(b.accuracy - 0.05 for b in bins)])
    return plot(
        data,
        legend=True,
        xaxis={"title": {"text": "confidence"}, "range": [least, 1.04]},
        yaxis={"title": {"text": "accuracy"}, "range": [max(low, -0.04), 1.06]},
    )


def plane(projected: tuple[np.ndarray, np.ndarray]) -> Plot:
    """Plot the rows of two domains, which differ by shape and color."""
    marks = {
        "source": {"symbol": "circle-open", "size": 8, "color": INK, "opacity": 0.7, "line": {"width": 1.5}},
        "target": {"symbol": "triangle-up", "size": 8, "color": ORANGE, "opacity": 0.7},
    }
    data = [
        points(rows[:, 0].tolist(), rows[:, 1].tolist(), [name] * len(rows), name=name, marker=mark)
        for (name, mark), rows in zip(marks.items(), projected, strict=True)
    ]
    return plot(
        data, legend=True, xaxis={"title": {"text": "first principal component"}}, yaxis={"title": {"text": "second"}}
    )


def residuals(predictions: NumberPredictions, target: str) -> Plot:
    """Plot predicted minus actual values against predicted ones."""
    texts = [
        f"row {r}: predicted {format_score(p)}, actual {format_score(t)}"
        for r, p, t in zip(
            predictions.rows.tolist(), predictions.predicted.tolist(), predictions.true.tolist(), strict=True
        )
    ]
    ends = [float(predictions.predicted.min()), float(predictions.predicted.max())]
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": ends,
        "y": [0, 0],
        "line": {"color": INK, "dash": "dash"},
        "hoverinfo": "skip",
    }
    data = [
        points(
            predictions.predicted.tolist(), predictions.residuals.tolist(), texts, marker={"size": 6, "opacity": 0.5}
        ),
        line,
    ]
    return plot(
        data, xaxis={"title": {"text": f"predicted {escape(target)}"}}, yaxis={"title": {"text": "predicted − actual"}}
    )
