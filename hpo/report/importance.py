"""Hyperparameter importances with their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MIN_ORDERED = 30  # with fewer complete trials, importances are not ordered
_Z = 1.645  # the interval contains 90 % of a normal distribution
_HARDLY_MATTERS = 0.5  # times the importance that each hyperparameter would have if all were equal


@dataclass(frozen=True)
class Importance:
    """The mean share of the differences that a hyperparameter explains, and its standard deviation, over bootstrap
    samples of the trials."""

    share: float
    sd: float

    @property
    def low(self) -> float:
        return max(0.0, self.share - _Z * self.sd)

    @property
    def high(self) -> float:
        return min(1.0, self.share + _Z * self.sd)


Importances = Mapping[str, Mapping[str, Importance]]
"""Importances by goal (`score`, `gap`) and by hyperparameter, the most important first."""


def summarize(samples: Sequence[Mapping[str, float]]) -> dict[str, Importance]:
    """Return the mean and the standard deviation of the importances in two or more samples, the largest mean first."""
    values = {key: [sample.get(key, 0.0) for sample in samples] for key in samples[0]}
    found = {key: Importance(float(np.mean(v)), float(np.std(v, ddof=1))) for key, v in values.items()}
    return dict(sorted(found.items(), key=lambda item: (-item[1].share, item[0])))


def leader(importances: Mapping[str, Importance], trials: int) -> str:
    """Return the hyperparameter that explains more than each other one; "" if the `trials` are too few to tell, or if
    its interval overlaps with another."""
    first, *others = importances
    if trials < MIN_ORDERED or any(importances[key].high >= importances[first].low for key in others):
        return ""
    return first


def hardly_matter(importances: Mapping[str, Importance], trials: int) -> list[str]:
    """Return the hyperparameters that explain less than half of an equal share, with certainty."""
    if trials < MIN_ORDERED:
        return []
    return [key for key, found in importances.items() if found.high < _HARDLY_MATTERS / len(importances)]
