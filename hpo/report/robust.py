"""Axis limits that a few outliers do not change; the outliers are marked at the border."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_FENCE = 3.0  # interquartile ranges beyond the quartiles: values farther away are outliers (Tukey's far out)
_MIN_VALUES = 5
_MARGIN = 0.08  # of the range, on both sides


@dataclass(frozen=True)
class Limits:
    """The limits of an axis; on a logarithmic one (`log`), in the unit of the values."""

    low: float
    high: float
    log: bool = False

    @property
    def plotly_range(self) -> list[float]:
        return [math.log10(self.low), math.log10(self.high)] if self.log else [self.low, self.high]

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high

    def border(self, value: float) -> float:
        """Return the point inside the limits that is nearest to `value`, at a small distance from the border."""
        low, high = self.plotly_range
        inset = 0.3 * _MARGIN * (high - low)
        place = high - inset if value > self.high else low + inset
        return 10**place if self.log else place


def limits(values: Sequence[float], keep: Sequence[float] = (), *, log: bool = False) -> Limits | None:
    """Return limits without the outliers of `values`, but with all values of `keep`; None if there is no outlier.

    An outlier is farther than three interquartile ranges from the quartiles. On a logarithmic axis (`log`) the
    logarithms count, and all values must be positive.
    """
    shown = np.array(values, dtype=float)
    shown = np.log10(shown) if log else shown
    if len(shown) < _MIN_VALUES:
        return None
    first, third = np.quantile(shown, (0.25, 0.75))
    fence = _FENCE * (third - first)
    inside = shown[(shown >= first - fence) & (shown <= third + fence)]
    if len(inside) == len(shown) or fence == 0:
        return None
    kept = [math.log10(value) if log else value for value in keep]
    low, high = min([float(inside.min()), *kept]), max([float(inside.max()), *kept])
    margin = _MARGIN * (high - low) or 1.0
    ends = (low - margin, high + margin)
    return Limits(10 ** ends[0], 10 ** ends[1], log) if log else Limits(*ends)
