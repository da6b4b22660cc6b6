"""Many tests at once: p values that bear it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusted p values: the chance of any false alarm among all is at most the level (Holm, Scandinavian Journal of Statistics 1979)."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    steps = values[order] * (len(values) - np.arange(len(values)))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def least(p: Sequence[float]) -> float:
    """The p value of the least of several tests of one hypothesis (Bonferroni)."""
    return min(1.0, len(p) * min(p))
