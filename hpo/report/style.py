"""Plotly JSON in the style of the page: readable without colour, on light and dark background, in a narrow window.

A colour is written as `var:NAME`; `page.js` replaces it by the page's colour of that name, light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpo.report.axis import Scale, short

Plot = dict[str, Any]

INK, SOFT, FAINT, BLUE, ORANGE, PAPER = "var:ink", "var:soft", "var:faint", "var:blue", "var:orange", "var:paper"
SMALL, MEDIUM = 240, 340  # pixels high
_LEAST_TICKS, _MOST_TICKS = 3, 6


def plot(data: Sequence[Mapping[str, Any]], height: int = MEDIUM, legend: bool = False, **layout: Any) -> Plot:
    """`data` and a layout: axes without a box, the legend above the plot."""
    found = {
        "height": height,
        "margin": {"l": 56, "r": 14, "t": 26 if legend else 10, "b": 46},
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "font": {"size": 12}},
        "hovermode": "closest",
        **layout,
    }
    for name in {"xaxis", "yaxis", *(key for key in found if key.startswith(("xaxis", "yaxis")))}:
        found[name] = {"automargin": True, "zeroline": False, "nticks": 6, "tickangle": 0, **found.get(name, {})}
        if "title" in found[name]:
            found[name]["title"] = {"standoff": 8, **found[name]["title"]}
    return {"data": list(data), "layout": found}


def logarithmic(values: Iterable[float]) -> dict[str, Any]:
    """An axis for positive values, with few ticks that are round numbers; a linear one, if there is none."""
    shown = [value for value in values if value > 0 and math.isfinite(value)]
    if not shown:
        return {"type": "linear"}
    low, high = math.log10(min(shown)), math.log10(max(shown))
    aside = 0.05 * (high - low) or 0.1
    low, high = low - aside, high + aside
    for steps in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        ticks = [
            s * 10.0**e
            for e in range(math.floor(low), math.ceil(high) + 1)
            for s in steps
            if low <= math.log10(s * 10.0**e) <= high
        ]
        if len(ticks) >= _LEAST_TICKS:
            break
    ticks = ticks[:: math.ceil(len(ticks) / _MOST_TICKS)] if len(ticks) > _MOST_TICKS else ticks
    return {"type": "log", "range": [low, high], "tickvals": ticks, "ticktext": [short(value) for value in ticks]}


def axis(scale: Scale) -> dict[str, Any]:
    """The axis of a parameter, where "off" has a tick."""
    ticks = scale.ticks()
    shape: dict[str, Any] = {
        "title": {"text": scale.name},
        "tickvals": [t for t, _ in ticks],
        "ticktext": [text for _, text in ticks],
    }
    if scale.choices:
        return shape
    low, high = (math.log10(scale.low), math.log10(scale.high)) if scale.log else (scale.low, scale.high)
    aside = 0.04 * (high - low)
    return shape | {"type": "log" if scale.log else "linear", "range": [low - aside, high + aside]}


def points(x: Sequence[float | str], y: Sequence[float | str], text: Sequence[str], **more: Any) -> dict[str, Any]:
    marker = {"size": 7, "color": BLUE, "opacity": 0.65, "line": {"width": 0}} | more.pop("marker", {})
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(x),
        "y": list(y),
        "text": list(text),
        "hoverinfo": "text",
        "marker": marker,
        **more,
    }


def star(x: float | str, y: float, name: str = "selected") -> dict[str, Any]:
    """The mark of the selected configuration."""
    marker = {"symbol": "star", "size": 15, "color": ORANGE, "opacity": 1, "line": {"width": 1, "color": INK}}
    return points([x], [y], [name], name=name, marker=marker)
