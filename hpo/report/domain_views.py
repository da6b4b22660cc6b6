"""Compare two domains: their distance, a common plane, and where adaptation helps or hurts. Pure functions of
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

from hpo.shift.domains import reduce_dimensions
from hpo.shift.mmd import gaussian_kernel, unbiased_mmd2

_FOLDS = 5
_MAX_ROWS = 500  # rows of each domain; the kernel matrix grows with the square of their number
_GROUPS = 5  # groups of rows by the size of a numeric target, with the same number of rows each


@dataclass(frozen=True)
class Divergence:
    """Two distances between the domains.

    The proxy A-distance is 0 if a linear classifier cannot tell the domains apart and 2 if it always can. MMD² uses a
    Gaussian kernel as wide as the median distance of two rows, so spaces of different scale can be compared.
    """

    a_distance: float
    mmd2: float


@dataclass(frozen=True)
class GroupComparison:
    """A group of rows: its size, and the recall (of a class) or mean absolute error without and with adaptation."""

    name: str
    rows: int
    before: float
    after: float


@dataclass(frozen=True)
class PredictionChange:
    """The number of rows of class `true` that are predicted as another class, without and with adaptation."""

    true: Any
    predicted: Any
    before: int
    after: int


def divergence(source: np.ndarray, target: np.ndarray) -> Divergence:
    """Return the distances between the source (n, inputs) and the target (m, inputs), over at most 500 rows of each.

    The proxy A-distance is 2 (1 - 2 error), but at least 0, where `error` is the cross-validated error of a linear
    classifier with both domains weighted equally (Ben-David et al., A theory of learning from different domains,
    Machine Learning 2010). The estimate of MMD² can be negative by chance (Gretton et al., JMLR 2012).
    """
    parts = reduce_dimensions(_sample(source), _sample(target))
    n, m = map(len, parts)
    rows, is_target = np.concatenate(parts).astype(float), np.repeat([0, 1], [n, m])
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    folds = StratifiedKFold(min(_FOLDS, n, m), shuffle=True, random_state=0)
    wrong = cross_val_predict(model, rows, is_target, cv=folds) != is_target
    error = (wrong[is_target == 0].mean() + wrong[is_target == 1].mean()) / 2
    return Divergence(max(0.0, 2 * (1 - 2 * float(error))), unbiased_mmd2(gaussian_kernel(rows), n))


def principal_plane(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project both domains, (rows, inputs), on their first two principal components and return (rows, 2) of each.

    Both domains have the same weight.
    """
    means = source.mean(0, dtype=float), target.mean(0, dtype=float)
    center = (means[0] + means[1]) / 2
    scaled = [(rows - center) / np.sqrt(len(rows)) for rows in (source, target)]
    axes = np.linalg.svd(np.concatenate(scaled), full_matrices=False)[2][:2]
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])
    axes = axes * signs[:, None]  # otherwise the sign would depend on the platform
    planes = [np.zeros((len(rows), 2)) for rows in (source, target)]
    for plane, rows in zip(planes, (source, target), strict=True):
        plane[:, : len(axes)] = (rows - center) @ axes.T
    return planes[0], planes[1]


def compare_classes(
    true: np.ndarray, before: np.ndarray, after: np.ndarray, classes: Sequence[Any]
) -> list[GroupComparison]:
    """Compare the recall of each class, the largest gain first; all three arrays are class indices (rows,)."""
    groups = []
    for i, name in enumerate(classes):
        rows = true == i
        if rows.any():
            recalls = (float((predicted[rows] == i).mean()) for predicted in (before, after))
            groups.append(GroupComparison(str(name), int(rows.sum()), *recalls))
    return sorted(groups, key=lambda group: group.before - group.after)


def prediction_changes(
    true: np.ndarray, before: np.ndarray, after: np.ndarray, classes: Sequence[Any]
) -> list[PredictionChange]:
    """Return the confusions that adaptation makes more or less frequent, the largest difference first."""
    counts = np.zeros((2, len(classes), len(classes)), dtype=int)
    for count, predicted in zip(counts, (before, after), strict=True):
        np.add.at(count, (true, predicted), 1)
    difference = counts[1] - counts[0]
    np.fill_diagonal(difference, 0)
    changes = [
        PredictionChange(classes[i], classes[j], *counts[:, i, j].tolist()) for i, j in np.argwhere(difference).tolist()
    ]
    return sorted(changes, key=lambda change: -abs(change.after - change.before))


def compare_by_size(true: np.ndarray, before: np.ndarray, after: np.ndarray) -> list[GroupComparison]:
    """Compare the mean absolute error by fifths of the true values, from the smallest to the largest."""
    groups = []
    for rows in np.array_split(np.argsort(true, kind="stable"), min(_GROUPS, len(true))):
        errors = (float(np.abs(predicted[rows] - true[rows]).mean()) for predicted in (before, after))
        name = f"{true[rows].min():.4g} to {true[rows].max():.4g}"
        groups.append(GroupComparison(name, len(rows), *errors))
    return groups


def _sample(rows: np.ndarray) -> np.ndarray:
    """Return at most 500 rows, always the same ones."""
    sample: np.ndarray = rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:_MAX_ROWS])]
    return sample
