"""What the selected configuration says of rows that its networks had not seen, against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.report.inputs import ReportInputs

_BINS = 10


@dataclass(frozen=True)
class Classified:
    """`rows` (n,) of the data; `true` and `predicted` (n,) classes by index; `chances` (n, classes)."""

    rows: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    chances: np.ndarray
    classes: Sequence[Any]

    @property
    def confidence(self) -> np.ndarray:
        """Of what was predicted, (n,)."""
        found: np.ndarray = self.chances.max(1)
        return found

    @property
    def wrong(self) -> np.ndarray:
        """The places of what was predicted wrongly, the most confident first."""
        places = np.flatnonzero(self.true != self.predicted)
        ordered: np.ndarray = places[np.argsort(-self.confidence[places], kind="stable")]
        return ordered

    def confusion(self) -> np.ndarray:
        """Counts (true class, predicted class)."""
        counts = np.zeros((len(self.classes), len(self.classes)), dtype=int)
        np.add.at(counts, (self.true, self.predicted), 1)
        return counts

    def confused(self) -> list[tuple[Any, Any, int]]:
        """Which class was taken for which, and how often, the most frequent first."""
        counts = self.confusion()
        found = [(int(counts[i, j]), i, j) for i, j in np.argwhere(counts > 0).tolist() if i != j]
        return [(self.classes[i], self.classes[j], n) for n, i, j in sorted(found, key=lambda one: (-one[0], one[1:]))]


@dataclass(frozen=True)
class Bin:
    """Predictions of about the same confidence: its mean, the share that was right, and how many these are."""

    confidence: float
    right: float
    count: int


@dataclass(frozen=True)
class Predicted:
    """Numbers in the target's own units: `rows`, `true` and `predicted`, each (n,)."""

    rows: np.ndarray
    true: np.ndarray
    predicted: np.ndarray

    @property
    def residuals(self) -> np.ndarray:
        """Predicted minus true, (n,)."""
        found: np.ndarray = self.predicted - self.true
        return found

    @property
    def worst(self) -> np.ndarray:
        """All places, the largest residual first."""
        ordered: np.ndarray = np.argsort(-np.abs(self.residuals), kind="stable")
        return ordered


def classified(material: ReportInputs) -> Classified | None:
    if material.data is None or not material.said or material.data.task != "classification":
        return None
    rows, said = (material.said[name].numpy() for name in ("rows", "said"))
    chances = np.exp(said - said.max(1, keepdims=True).astype(float))
    chances /= chances.sum(1, keepdims=True)
    return Classified(rows, material.data.y.numpy()[rows], chances.argmax(1), chances, material.data.classes)


def predicted(material: ReportInputs) -> Predicted | None:
    if material.data is None or not material.said or material.data.task != "regression":
        return None
    rows, missed = (material.said[name].numpy() for name in ("rows", "said"))
    true = material.data.y.double().numpy()[rows] * material.data.target_scale + material.data.target_mean
    return Predicted(rows, true, true + missed[:, 0])


def reliability(found: Classified) -> list[Bin]:
    """Predictions in ten bins of confidence, empty ones left out."""
    confidence, right = found.confidence, found.true == found.predicted
    place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    members = (place == i for i in range(_BINS))
    return [Bin(float(confidence[m].mean()), float(right[m].mean()), int(m.sum())) for m in members if m.any()]


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error (Guo et al., ICML 2017): the mean distance between confidence and share of right predictions."""
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.confidence - b.right) for b in bins) / total
