"""The synthetic data: a function of a random generator and a number of rows returns columns and target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn import datasets

Rows = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Made:
    """Synthetic data, of which `develop` rows are for a search that follows `metric`."""

    task: str
    develop: int
    make: Callable[[np.random.Generator, int], Rows]
    metric: str = "loss"


def _labels(rng: np.random.Generator, log_odds: np.ndarray) -> np.ndarray:
    return (rng.random(len(log_odds)) < 1 / (1 + np.exp(-log_odds))).astype(int)


def _linear(rng: np.random.Generator, rows: int) -> Rows:
    """Return a sum of five of 50 columns; the best possible network is wrong on 15 of 100 rows."""
    x = rng.normal(size=(rows, 50))
    return x, _labels(rng, 1.5 * x[:, :5].sum(1))


def _interaction(rng: np.random.Generator, rows: int) -> Rows:
    """Return whether two of ten columns have the same sign, with a tenth of labels flipped; no single column helps."""
    x = rng.normal(size=(rows, 10))
    return x, ((x[:, 0] * x[:, 1] > 0) ^ (rng.random(rows) < 0.1)).astype(int)


def _moons(rng: np.random.Generator, rows: int) -> Rows:
    """Return two slightly overlapping moons, rotated into 20 dimensions, each with noise."""
    plane, y = datasets.make_moons(rows, noise=0.25, random_state=int(rng.integers(2**32)))
    return plane @ rng.normal(size=(2, 20)) / 2 + 0.3 * rng.normal(size=(rows, 20)), y


def _nothing(rng: np.random.Generator, rows: int) -> Rows:
    """Return random labels: nothing can be learned, so no configuration is better than predicting one half."""
    return rng.normal(size=(rows, 20)), rng.integers(0, 2, rows)


def _wide(rng: np.random.Generator, rows: int) -> Rows:
    """Return as many columns as development rows, of which five are summed, with noise of half their variance."""
    x = rng.normal(size=(rows, 200))
    return x, x[:, :5].sum(1) + np.sqrt(2.5) * rng.normal(size=rows)


def _imbalanced(rng: np.random.Generator, rows: int) -> Rows:
    """Return a minority of 8 % that depends on two interactions and one of twelve columns."""
    x = rng.normal(size=(rows, 12))
    score = 2 * x[:, 0] * x[:, 1] + 1.5 * x[:, 2] * x[:, 3] + x[:, 4] + rng.logistic(size=rows)
    return x, (score > np.quantile(score, 0.92)).astype(int)


def _friedman(rng: np.random.Generator, rows: int) -> Rows:
    """Return the first regression problem of Friedman (Annals of Statistics 19, 1991) with noise of variance 1."""
    x, y = datasets.make_friedman1(rows, n_features=10, noise=1.0, random_state=int(rng.integers(2**32)))
    return x, y


MADE = {
    "made-linear": Made("classification", 400, _linear),
    "made-interaction": Made("classification", 600, _interaction),
    "made-moons": Made("classification", 300, _moons),
    "made-nothing": Made("classification", 400, _nothing),
    "made-wide": Made("regression", 200, _wide),
    "made-imbalanced": Made("classification", 2000, _imbalanced, "balanced_accuracy"),
    "made-friedman": Made("regression", 2000, _friedman, "r2"),
}
