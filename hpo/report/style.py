"""How every plot looks: readable without colour, on light and dark paper, in a narrow window. A plot is plotly's own JSON.

A colour is written as `var:NAME`; the page replaces it by its own, light or dark (see `page.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpo.scale import Scale

Plot = dict[str, Any]

INK, SOFT, FAINT, BLUE, ORANGE, PAPER = "var:ink", "var:soft", "var:faint", "var:blue", "var:orange", "var:paper"
SMALL, MEDIUM = 240, 340  # pixels high


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
        found[name] = {"automargin": True, "zeroline": False, "nticks": 6, **found.get(name, {})}
    return {"data": list(data), "layout": found}


def axis(scale: Scale) -> dict[str, Any]:
    """The axis of a parameter, where "off" has a tick."""
    ticks = scale.ticks()
    shape: dict[str, Any] = {"title": {"text": scale.name}, "tickvals": [t for t, _ in ticks], "ticktext": [text for _, text in ticks]}
    if scale.choices:
        return shape
    return shape | {"type": "log" if scale.log else "linear"}


def points(x: Sequence[float], y: Sequence[float], text: Sequence[str], **more: Any) -> dict[str, Any]:
    marker = {"size": 7, "color": BLUE, "opacity": 0.65, "line": {"width": 0}} | more.pop("marker", {})
    return {"type": "scatter", "mode": "markers", "x": list(x), "y": list(y), "text": list(text), "hoverinfo": "text", "marker": marker, **more}


def star(x: float, y: float, name: str = "selected") -> dict[str, Any]:
    """The mark of the selected configuration."""
    marker = {"symbol": "star", "size": 15, "color": ORANGE, "opacity": 1, "line": {"width": 1, "color": INK}}
    return points([x], [y], [name], name=name, marker=marker)
