"""Where the values of a searched parameter stand on an axis. "Off" has a place of its own beside the range, since a log axis has no zero.

How every plot looks: readable without colour, on light and dark paper, in a narrow window. A plot is plotly's own JSON.

A colour is written as `var:NAME`; the page replaces it by its own, light or dark (see `page.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo.regularizers import FAMILY, STRENGTHS
from hpo.space.hyperparameter import Hyperparameter

_ASIDE = 0.12  # of the range: how far "off" stands from its end
_TICKS = 5  # at most, besides "off"


@dataclass(frozen=True)
class Scale:
    """One sampled parameter. `low` to `high` are the ends of its axis, "off" among them at `off` if that is not in the range;
    of one with `choices` these stand in their order."""

    key: str
    low: float
    high: float
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()
    off: float | None = None
    neutral: Any = None  # the value that is "off"

    @classmethod
    def of(cls, key: str, domain: Hyperparameter) -> Scale:
        neutral = STRENGTHS[key].default_value if key in STRENGTHS else None
        if domain.choices:
            choices = (
                domain.choices
                if not (domain.optional or domain.when) or neutral is None or neutral in domain.choices
                else (neutral, *domain.choices)
            )
            numbers = all(isinstance(c, int | float) and not isinstance(c, bool) for c in choices)
            return cls(
                key, 0, len(choices) - 1, choices=tuple(sorted(choices)) if numbers else choices, neutral=neutral
            )
        low, high, log = float(domain.low), float(domain.high), domain.log
        known = isinstance(neutral, int | float) and low <= neutral <= high
        if known or not (domain.optional or domain.when):
            return cls(key, low, high, log, domain.integer, neutral=neutral)
        first, last = (math.log(low), math.log(high)) if log else (low, high)
        aside = _ASIDE * (last - first)
        off = first - aside if FAMILY[key].direction > 0 else last + aside
        off = math.exp(off) if log else off
        return cls(key, min(low, off), max(high, off), log, domain.integer, (), off, neutral)

    @property
    def name(self) -> str:
        return self.key.replace("_", " ")

    def has(self, params: Mapping[str, Any]) -> bool:
        """Whether a trial has this parameter, with a value that the space has."""
        if self.key not in params:
            return False
        value = params[self.key]
        if self.choices:
            return value in self.choices
        return (self.off is not None and self.is_off(value)) or bool(self.low <= value <= self.high)

    def is_off(self, value: Any) -> bool:
        return self.neutral is not None and bool(value == self.neutral)

    def place(self, value: Any) -> float:
        """Where a value stands: itself, or the place of "off"; of choices its number from 0."""
        if self.choices:
            return float(self.choices.index(value))
        return self.off if self.off is not None and self.is_off(value) else float(value)

    def share(self, value: Any) -> float:
        """Where it stands between the ends of the axis, 0 to 1."""
        return self.between(self.place(value))

    def between(self, place: float) -> float:
        """The same of a place."""
        if self.high <= self.low:
            return 0.5
        if self.log:
            return math.log(place / self.low) / math.log(self.high / self.low)
        return (place - self.low) / (self.high - self.low)

    def label(self, value: Any) -> str:
        if self.is_off(value):
            return "off"
        if isinstance(value, bool):
            return str(value).lower()  # as a space file has it
        return short(value) if isinstance(value, int | float) else str(value)

    def ticks(self) -> list[tuple[float, str]]:
        """Places with their labels, from low to high."""
        if self.choices:
            return [(float(i), self.label(c)) for i, c in enumerate(self.choices)]
        found = [] if self.off is None else [(self.off, "off")]
        low, high = (self.low, self.high) if self.off is None else self._range()
        values = _decades(low, high) if self.log else _steps(low, high, self.whole)
        return sorted([*found, *((v, self.label(v)) for v in values)])

    def _range(self) -> tuple[float, float]:
        """The range without "off"."""
        assert self.off is not None
        first, last = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        aside = (last - first) * _ASIDE / (1 + _ASIDE)
        ends = (first + aside, last) if self.off == self.low else (first, last - aside)
        return (math.exp(ends[0]), math.exp(ends[1])) if self.log else ends


def short(value: float) -> str:
    """A number as a tick has it: 0.01, 1e-4, 3e5."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}"
    digits, _, exponent = f"{value:.3g}".partition("e")
    return f"{digits}e{int(exponent)}" if exponent else f"{float(digits):.0e}".replace("e-0", "e-").replace("e+0", "e")


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten in a range; its ends and its middle if there are fewer than two."""
    exponents = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    if len(exponents) < 2:
        return list(dict.fromkeys(float(f"{value:.2g}") for value in (low, math.sqrt(low * high), high)))
    return [float(f"1e{e}") for e in exponents[:: math.ceil(len(exponents) / _TICKS)]]


def _steps(low: float, high: float, whole: bool) -> list[float]:
    """Round numbers in a range, evenly spaced."""
    step = 10 ** math.floor(math.log10(high - low))
    while (high - low) / step < 2:
        step /= 2
    while (high - low) / step >= _TICKS:
        step *= 2
    step = max(1, round(step)) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [float(f"{i * step:.6g}") for i in range(first, math.floor(high / step + 1e-9) + 1)]


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
