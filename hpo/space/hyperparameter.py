"""The values of one search key: a fixed one, choices, or a range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeGuard

Confidence = Literal["low", "medium", "high"]
DEFAULTS: dict[str, float] = {"learning_rate": 1e-3, "depth": 2}


@dataclass(frozen=True)
class Prior:
    """The value that the user expects to be the best, which may be "off", and the confidence (see
    `hpo.space.priors`)."""

    best: Any
    confidence: Confidence = "medium"


@dataclass(frozen=True)
class Hyperparameter:
    """The values of one search key: either `choices` (a single one is a fixed value), or `low` to `high`."""

    choices: tuple[Any, ...] = ()  # numbers, text or truth values; for a key of the family, in its order
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    integer: bool = False
    optional: bool = False  # "off" is a value as well
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()  # other keys, and the values with which this key is active
    prior: Prior | None = None

    @property
    def sampled(self) -> bool:
        return len(self.choices) != 1 or self.optional

    @property
    def numeric(self) -> bool:
        return all(map(is_number, self.choices))

    @property
    def count(self) -> float:
        """The number of values; infinite for a continuous range."""
        steps = self.step or (1 if self.integer else None)
        values = len(self.choices) or (math.inf if steps is None else steps_between(self.low, self.high, steps) + 1)
        return values * (2 if self.optional else 1)

    @property
    def bounds(self) -> tuple[Any, Any]:
        """The smallest and the largest value; if the values are not numbers, the first and the last."""
        if not self.choices:
            return self.low, self.high
        return (min(self.choices), max(self.choices)) if self.numeric else (self.choices[0], self.choices[-1])

    def values(self) -> list[Any]:
        """All values of a countable hyperparameter, without "off"."""
        if self.choices:
            return list(self.choices)
        step = self.step or 1
        return [min(self.low + i * step, self.high) for i in range(steps_between(self.low, self.high, step) + 1)]

    def contains(self, value: Any) -> bool:
        """Whether `value` is one of the values ("off" is not)."""
        if self.choices:
            return any(value == c and isinstance(value, bool) == isinstance(c, bool) for c in self.choices)
        return is_number(value) and self.low <= value <= self.high and self.clip(value) == value

    def rounded(self, value: Any) -> Any:
        """Return a sampled value as it is used in training: rounded to four digits if the range is continuous.

        The number that is trained with, recorded and exported is then the same short number.
        """
        if self.choices or self.step or self.integer:
            return value
        return min(max(float(f"{value:.4g}"), self.low), self.high)

    def clip(self, value: Any) -> Any:
        """Return the nearest value; if the values are not numbers, `value` if it is one of them, else the first."""
        if self.choices and not self.numeric:
            return value if self.contains(value) else self.choices[0]
        if self.choices:
            return min(self.choices, key=lambda c: abs(c - value))
        value = min(max(value, self.low), self.high)
        step = self.step or (1 if self.integer else None)
        if step is not None and not self.log:
            value = min(self.low + round((value - self.low) / step) * step, self.high)
        return round(value) if self.integer else value

    def middle(self) -> Any:
        if self.choices:
            return sorted(self.choices)[len(self.choices) // 2] if self.numeric else self.choices[0]
        return self.clip(math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2)

    def to_unit(self, value: Any) -> float:
        """The position of a value, 0 to 1, on the scale on which it is sampled."""
        if self.choices:
            ordered = sorted(self.choices) if self.numeric else list(self.choices)
            return ordered.index(self.clip(value)) / max(1, len(ordered) - 1)
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return float((value - self.low) / (self.high - self.low))

    def from_unit(self, position: float) -> float:
        """The number at a position, 0 to 1, of a range; the inverse of `to_unit`, without steps."""
        if self.log:
            return float(min(max(self.low * math.exp(position * math.log(self.high / self.low)), self.low), self.high))
        return self.low + position * (self.high - self.low)


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def steps_between(low: float, high: float, step: float) -> int:
    """The number of steps from `low` to `high`, in decimal arithmetic: in binary, 0.3 - 0.1 is less than 0.2."""
    return int((Decimal(str(high)) - Decimal(str(low))) // Decimal(str(step)))


def last_step(low: float, high: float, step: float) -> float:
    """The last value of a range with steps, at most `high`."""
    last = Decimal(str(low)) + steps_between(low, high, step) * Decimal(str(step))
    return high if last == Decimal(str(high)) else type(low + step)(last)
