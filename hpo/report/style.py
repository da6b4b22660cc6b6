"""Plotly JSON in the style of the page: readable without color, on light and dark background, in a narrow window.

A color is written as `var:NAME`; `page.js` replaces it with the page's color of that name, light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpo.report.axis import Axis, format_tick
from hpo.report.robust import Limits

Plot = dict[str, Any]

INK, SOFT, FAINT, BLUE, ORANGE, PAPER = "var:ink", "var:soft", "var:faint", "var:blue", "var:orange", "var:paper"
SMALL, MEDIUM = 240, 340  # heights in pixels
_MIN_TICKS, _MAX_TICKS = 3, 6


def plot(data: Sequence[Mapping[str, Any]], height: int = MEDIUM, legend: bool = False, **layout: Any) -> Plot:
    """Return `data` with a layout: axes without a box, the legend above the plot."""
    full_layout = {
        "height": height,
        "margin": {"l": 56, "r": 14, "t": 26 if legend else 10, "b": 46},
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "font": {"size": 12}},
        "hovermode": "closest",
        **layout,
    }
    for name in {"xaxis", "yaxis", *(key for key in full_layout if key.startswith(("xaxis", "yaxis")))}:
        full_layout[name] = {
            "automargin": True,
            "zeroline": False,
            "nticks": 6,
            "tickangle": 0,
            **full_layout.get(name, {}),
        }
        if "title" in full_layout[name]:
            full_layout[name]["title"] = {"standoff": 8, **full_layout[name]["title"]}
    return {"data": list(data), "layout": full_layout}


def log_axis_layout(values: Iterable[float]) -> dict[str, Any]:
    """Return a logarithmic axis with a few round ticks; a linear axis if no value is positive."""
    shown = [value for value in values if value > 0 and math.isfinite(value)]
    if not shown:
        return {"type": "linear"}
    low, high = math.log10(min(shown)), math.log10(max(shown))
    margin = 0.05 * (high - low) or 0.1
    low, high = low - margin, high + margin
    for steps in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        ticks = [
            s * 10.0**e
            for e in range(math.floor(low), math.ceil(high) + 1)
            for s in steps
            if low <= math.log10(s * 10.0**e) <= high
        ]
        if len(ticks) >= _MIN_TICKS:
            break
    ticks = ticks[:: math.ceil(len(ticks) / _MAX_TICKS)] if len(ticks) > _MAX_TICKS else ticks
    return {"type": "log", "range": [low, high], "tickvals": ticks, "ticktext": [format_tick(value) for value in ticks]}


def axis_layout(axis: Axis) -> dict[str, Any]:
    """Return the axis of a hyperparameter, with a tick for "off"."""
    ticks = axis.ticks()
    layout: dict[str, Any] = {
        "title": {"text": axis.title},
        "tickvals": [t for t, _ in ticks],
        "ticktext": [text for _, text in ticks],
    }
    if axis.choices:
        return layout
    low, high = (math.log10(axis.low), math.log10(axis.high)) if axis.log else (axis.low, axis.high)
    margin = 0.04 * (high - low)
    return layout | {"type": "log" if axis.log else "linear", "range": [low - margin, high + margin]}


def points(x: Sequence[float | str], y: Sequence[float | str], text: Sequence[str], **options: Any) -> dict[str, Any]:
    """Return a trace of points with hover texts; `options` are those of plotly."""
    marker = {"size": 7, "color": BLUE, "opacity": 0.65, "line": {"width": 0}} | options.pop("marker", {})
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(x),
        "y": list(y),
        "text": list(text),
        "hoverinfo": "text",
        "marker": marker,
        **options,
    }


def at_border(
    x: Sequence[float | str], y: Sequence[float], text: Sequence[str], limits: Limits, name: str = "beyond the axis"
) -> dict[str, Any] | None:
    """Return triangles at the border for the values of `y` beyond the limits; None if there are none."""
    beyond = [i for i, value in enumerate(y) if not limits.contains(value)]
    if not beyond:
        return None
    symbols = ["triangle-up" if y[i] > limits.high else "triangle-down" for i in beyond]
    marker = {"symbol": symbols, "size": 10, "color": ORANGE, "opacity": 1}
    places = [limits.border(y[i]) for i in beyond]
    return points([x[i] for i in beyond], places, [text[i] for i in beyond], name=name, marker=marker)


def star(x: float | str, y: float) -> dict[str, Any]:
    """Return the mark of the selected configuration."""
    marker = {"symbol": "star", "size": 15, "color": ORANGE, "opacity": 1, "line": {"width": 1, "color": INK}}
    return points([x], [y], ["selected"], name="selected", marker=marker)
