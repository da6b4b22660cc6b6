"""Out-of-fold predictions of the selected configuration, compared with the true values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.report.inputs import ReportInputs

_BINS = 10


@dataclass(frozen=True)
class ClassPredictions:
    """Predicted classes: indices `rows` of rows of the data and class indices `true` and `predicted`, each (n,).

    `probabilities` are (n, classes).
    """

    rows: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    classes: Sequence[Any]

    @property
    def confidence(self) -> np.ndarray:
        """The probability of the predicted class, (n,)."""
        confidence: np.ndarray = self.probabilities.max(1)
        return confidence

    @property
    def errors(self) -> np.ndarray:
        """The indices of wrong predictions, the most confident first."""
        wrong = np.flatnonzero(self.true != self.predicted)
        ordered: np.ndarray = wrong[np.argsort(-self.confidence[wrong], kind="stable")]
        return ordered

    def confusion(self) -> np.ndarray:
        """Return counts (true class, predicted class)."""
        counts = np.zeros((len(self.classes), len(self.classes)), dtype=int)
        np.add.at(counts, (self.true, self.predicted), 1)
        return counts

    def confused(self) -> list[tuple[Any, Any, int]]:
        """Return (true class, predicted class, count) of the confusions, the most frequent first."""
        counts = self.confusion()
        pairs = [(int(counts[i, j]), i, j) for i, j in np.argwhere(counts > 0).tolist() if i != j]
        return [(self.classes[i], self.classes[j], n) for n, i, j in sorted(pairs, key=lambda p: (-p[0], p[1:]))]


@dataclass(frozen=True)
class Bin:
    """Predictions of similar confidence: their mean confidence, accuracy, and number."""

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True)
class NumberPredictions:
    """Predicted numbers in the units of the target: `rows`, `true` and `predicted`, each (n,)."""

    rows: np.ndarray
    true: np.ndarray
    predicted: np.ndarray

    @property
    def residuals(self) -> np.ndarray:
        """Predicted minus true values, (n,)."""
        residuals: np.ndarray = self.predicted - self.true
        return residuals

    @property
    def worst(self) -> np.ndarray:
        """All indices, the largest absolute residual first."""
        ordered: np.ndarray = np.argsort(-np.abs(self.residuals), kind="stable")
        return ordered


def class_predictions(inputs: ReportInputs) -> ClassPredictions | None:
    """Return the out-of-fold predictions of a classification; None if there are none."""
    if inputs.data is None or not inputs.oof_predictions or inputs.data.task != "classification":
        return None
    rows, log_probabilities = (inputs.oof_predictions[name].numpy() for name in ("rows", "predictions"))
    probabilities = np.exp(log_probabilities - log_probabilities.max(1, keepdims=True).astype(float))
    probabilities /= probabilities.sum(1, keepdims=True)
    true, predicted = inputs.data.y.numpy()[rows], probabilities.argmax(1)
    return ClassPredictions(rows, true, predicted, probabilities, inputs.data.classes)


def number_predictions(inputs: ReportInputs) -> NumberPredictions | None:
    """Return the out-of-fold predictions of a regression; None if there are none."""
    if inputs.data is None or not inputs.oof_predictions or inputs.data.task != "regression":
        return None
    rows, residuals = (inputs.oof_predictions[name].numpy() for name in ("rows", "predictions"))
    true = inputs.data.y.double().numpy()[rows] * inputs.data.target_scale + inputs.data.target_mean
    return NumberPredictions(rows, true, true + residuals[:, 0])


def reliability(predictions: ClassPredictions) -> list[Bin]:
    """Group predictions into ten bins of confidence; empty bins are left out."""
    confidence, is_right = predictions.confidence, predictions.true == predictions.predicted
    index = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    members = (index == i for i in range(_BINS))
    return [Bin(float(confidence[m].mean()), float(is_right[m].mean()), int(m.sum())) for m in members if m.any()]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error: the mean distance of confidence and accuracy (Guo et al., ICML 2017)."""
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / total
