"""Where the values of a searched parameter stand on an axis. "Off" has a place of its own beside the range, since a log axis has no zero."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
