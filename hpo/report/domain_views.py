"""Two domains, as networks see them: how far they lie apart, in one plane, and where adaptation helped and hurt. Pure functions of
arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hpo.shift.domains import narrow
from hpo.shift.mmd import gaussian, unbiased

_FOLDS = 5
_ROWS = 500  # of each domain: a kernel has the square of all
_GROUPS = 5  # of a number to predict, each as many rows


@dataclass(frozen=True)
class Divergence:
    """The proxy A-distance, 0 where a linear classifier cannot tell the domains apart and 2 where it always can, and MMD² with a Gaussian
    kernel as wide as the median distance of two rows, so that spaces of different scale can be compared."""

    a_distance: float
    mmd2: float


@dataclass(frozen=True)
class Helped:
    """Rows of one kind, a class or numbers of about one size: how many, and the share that was right, or the mean error, without
    adaptation and with it."""

    name: str
    rows: int
    before: float
    after: float


@dataclass(frozen=True)
class PredictionChange:
    """How often one class was taken for another, without adaptation and with it."""

    true: Any
    said: Any
    before: int
    after: int


def divergence(source: np.ndarray, target: np.ndarray) -> Divergence:
    """Of rows (n, inputs) and (m, inputs), at most 500 of each. The distance is 2 (1 - 2 error), the error of a linear classifier on rows
    that it has not seen, as if there were as many of both (Ben-David et al., A theory of learning from different domains, Machine
    Learning 2010), and not below 0; MMD² may be, by chance (Gretton et al., JMLR 2012)."""
    both = narrow(_some(source), _some(target))
    n, m = map(len, both)
    stacked, domain = np.concatenate(both).astype(float), np.repeat([0, 1], [n, m])
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    folds = StratifiedKFold(min(_FOLDS, n, m), shuffle=True, random_state=0)
    wrong = cross_val_predict(model, stacked, domain, cv=folds) != domain
    error = (wrong[domain == 0].mean() + wrong[domain == 1].mean()) / 2
    return Divergence(max(0.0, 2 * (1 - 2 * float(error))), unbiased(gaussian(stacked), n))


def plane(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both (rows, inputs) in the plane of their largest variance, (rows, 2), where either domain counts as much as the other."""
    means = source.mean(0, dtype=float), target.mean(0, dtype=float)
    middle = (means[0] + means[1]) / 2
    parts = [(rows - middle) / np.sqrt(len(rows)) for rows in (source, target)]
    axes = np.linalg.svd(np.concatenate(parts), full_matrices=False)[2][:2]
    axes = (
        axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
    )  # else its sign is a matter of chance
    found = [np.zeros((len(rows), 2)) for rows in (source, target)]
    for place, rows in zip(found, (source, target), strict=True):
        place[:, : len(axes)] = (rows - middle) @ axes.T
    return found[0], found[1]


def helped(true: np.ndarray, before: np.ndarray, after: np.ndarray, classes: Sequence[Any]) -> list[Helped]:
    """By class, the one that gained most first: `true` (rows,) and what was said without adaptation and with it are indices."""
    found = []
    for i, name in enumerate(classes):
        rows = true == i
        if rows.any():
            found.append(
                Helped(str(name), int(rows.sum()), float((before[rows] == i).mean()), float((after[rows] == i).mean()))
            )
    return sorted(found, key=lambda one: one.before - one.after)


def changes(true: np.ndarray, before: np.ndarray, after: np.ndarray, classes: Sequence[Any]) -> list[PredictionChange]:
    """Which class is taken for which another number of times with adaptation than without, the largest difference first."""
    counts = np.zeros((2, len(classes), len(classes)), dtype=int)
    for count, said in zip(counts, (before, after), strict=True):
        np.add.at(count, (true, said), 1)
    apart = counts[1] - counts[0]
    np.fill_diagonal(apart, 0)
    found = [
        PredictionChange(classes[i], classes[j], *counts[:, i, j].tolist()) for i, j in np.argwhere(apart).tolist()
    ]
    return sorted(found, key=lambda one: -abs(one.after - one.before))


def helped_by_size(true: np.ndarray, before: np.ndarray, after: np.ndarray) -> list[Helped]:
    """The same of numbers, in their own units: fifths of the rows by what is true, with the mean absolute error; from the smallest on."""
    found = []
    for rows in np.array_split(np.argsort(true, kind="stable"), min(_GROUPS, len(true))):
        errors = (float(np.abs(said[rows] - true[rows]).mean()) for said in (before, after))
        found.append(Helped(f"{true[rows].min():.4g} to {true[rows].max():.4g}", len(rows), *errors))
    return found


def _some(rows: np.ndarray) -> np.ndarray:
    """At most so many, drawn once and for all."""
    kept: np.ndarray = rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:_ROWS])]
    return kept
