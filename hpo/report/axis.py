"""Map the values of a hyperparameter to positions on an axis.

"Off" has a position of its own next to the range, since a logarithmic axis has no zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpo.regularizers import FAMILY, STRENGTHS
from hpo.space.hyperparameter import Hyperparameter

_OFF_MARGIN = 0.12  # distance of "off" from the end of the range, as a share of the range
_MAX_TICKS = 5  # not counting "off"


@dataclass(frozen=True)
class Axis:
    """The axis of one hyperparameter.

    `low` and `high` are its ends. `off_position` is the position of "off" on the axis, or None if "off" lies in the
    range or is not searched. With `choices`, the position of a value is its index.
    """

    key: str
    low: float
    high: float
    log: bool = False
    integer: bool = False
    choices: tuple[Any, ...] = ()
    off_position: float | None = None
    default_value: Any = None  # the value that means "off", or None

    @classmethod
    def of(cls, key: str, hyperparameter: Hyperparameter) -> Axis:
        """Return the axis of a hyperparameter that the search samples."""
        default_value = STRENGTHS[key].default_value if key in STRENGTHS else None
        can_be_off = hyperparameter.optional or bool(hyperparameter.when)
        if hyperparameter.choices:
            choices = hyperparameter.choices
            if can_be_off and default_value is not None and default_value not in choices:
                choices = (default_value, *choices)
            if all(isinstance(c, int | float) and not isinstance(c, bool) for c in choices):
                choices = tuple(sorted(choices))
            return cls(key, 0, len(choices) - 1, choices=choices, default_value=default_value)
        low, high, log = float(hyperparameter.low), float(hyperparameter.high), hyperparameter.log
        in_range = isinstance(default_value, int | float) and low <= default_value <= high
        if in_range or not can_be_off:
            return cls(key, low, high, log, hyperparameter.integer, default_value=default_value)
        first, last = (math.log(low), math.log(high)) if log else (low, high)
        margin = _OFF_MARGIN * (last - first)
        off = first - margin if FAMILY[key].direction >= 0 else last + margin  # the least regularized is off
        off = math.exp(off) if log else off
        return cls(key, min(low, off), max(high, off), log, hyperparameter.integer, (), off, default_value)

    @property
    def title(self) -> str:
        return self.key.replace("_", " ")

    def covers(self, params: Mapping[str, Any]) -> bool:
        """Return whether a trial has this hyperparameter with a value that the axis shows."""
        if self.key not in params:
            return False
        value = params[self.key]
        if self.choices:
            return value in self.choices
        return (self.off_position is not None and self.is_off(value)) or bool(self.low <= value <= self.high)

    def is_off(self, value: Any) -> bool:
        return self.default_value is not None and bool(value == self.default_value)

    def position(self, value: Any) -> float:
        """Return the position of a value: the value, the position of "off", or the index of a choice."""
        if self.choices:
            return float(self.choices.index(value))
        return self.off_position if self.off_position is not None and self.is_off(value) else float(value)

    def fraction(self, value: Any) -> float:
        """Return the position of a value between the ends of the axis, 0 to 1."""
        return self.to_fraction(self.position(value))

    def to_fraction(self, position: float) -> float:
        """Return a position relative to the ends of the axis, 0 to 1."""
        if self.high <= self.low:
            return 0.5
        if self.log:
            return math.log(position / self.low) / math.log(self.high / self.low)
        return (position - self.low) / (self.high - self.low)

    def label(self, value: Any) -> str:
        """Format a value for a tick, in the notation of a space file."""
        if self.is_off(value):
            return "off"
        if isinstance(value, bool):
            return str(value).lower()
        return format_tick(value) if isinstance(value, int | float) else str(value)

    def ticks(self) -> list[tuple[float, str]]:
        """Return (position, label) of each tick, from low to high."""
        if self.choices:
            return [(float(i), self.label(choice)) for i, choice in enumerate(self.choices)]
        off = [] if self.off_position is None else [(self.off_position, "off")]
        low, high = (self.low, self.high) if self.off_position is None else self._range()
        values = _decades(low, high) if self.log else _round_steps(low, high, self.integer)
        return sorted([*off, *((value, self.label(value)) for value in values)])

    def _range(self) -> tuple[float, float]:
        """Return the ends of the range without "off"."""
        assert self.off_position is not None
        first, last = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        margin = (last - first) * _OFF_MARGIN / (1 + _OFF_MARGIN)
        ends = (first + margin, last) if self.off_position == self.low else (first, last - margin)
        return (math.exp(ends[0]), math.exp(ends[1])) if self.log else ends


def format_tick(value: float) -> str:
    """Format a number for a tick: 0.01, 1e-4, 3e5."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}"
    digits, _, exponent = f"{value:.3g}".partition("e")
    return f"{digits}e{int(exponent)}" if exponent else f"{float(digits):.0e}".replace("e-0", "e-").replace("e+0", "e")


def _decades(low: float, high: float) -> list[float]:
    """Return the powers of ten in a range, or its ends and its middle if there are fewer than two."""
    exponents = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    if len(exponents) < 2:
        return list(dict.fromkeys(float(f"{value:.2g}") for value in (low, math.sqrt(low * high), high)))
    return [float(f"1e{e}") for e in exponents[:: math.ceil(len(exponents) / _MAX_TICKS)]]


def _round_steps(low: float, high: float, integer: bool) -> list[float]:
    """Return evenly spaced round numbers in a range."""
    step = 10 ** math.floor(math.log10(high - low))
    while (high - low) / step < 2:
        step /= 2
    while (high - low) / step >= _MAX_TICKS:
        step *= 2
    step = max(1, round(step)) if integer else step
    first = math.ceil(low / step - 1e-9)
    return [float(f"{i * step:.6g}") for i in range(first, math.floor(high / step + 1e-9) + 1)]
