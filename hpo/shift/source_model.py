"""A model of the labels that is trained on source rows, and its predictions for held-out rows of both domains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from hpo.shift.domain_classifier import FOLDS, stratified_folds
from hpo.shift.domains import SEED, Matrix, as_sparse, reduce_dimensions

_TREES = 40
_MIN_PROBABILITY = 1e-4  # of a class: a probability of 0 would make the loss of one wrong row infinite

Classifier: TypeAlias = LogisticRegression | RandomForestClassifier


@dataclass(frozen=True)
class SourcePredictions:
    """Class probabilities of source rows (n, classes) and target rows (m, classes), and the kind of `model`."""

    model: str
    source: np.ndarray
    target: np.ndarray


def predict_domains(x_s: Matrix, y_s: np.ndarray, x_t: Matrix, classes: int) -> SourcePredictions:
    """Train a logistic regression and a random forest, and return the predictions of the one with the lower loss.

    The loss is out-of-fold on source rows. Each source row is predicted by the model of the fold that holds it out,
    and each target row by the model of one fold, in turn, so that without a shift, both have predictions of the same
    distribution. A single model trained on all source rows would be more confident on target rows than the five models
    are on source rows, which would look like a shift.
    """
    reduced_s, reduced_t = reduce_dimensions(x_s, x_t)
    models: list[tuple[str, Callable[[], Classifier], Matrix, Matrix]] = [
        ("logistic regression", lambda: LogisticRegression(max_iter=1000), as_sparse(x_s), as_sparse(x_t)),
        (
            "random forest",
            lambda: RandomForestClassifier(_TREES, min_samples_leaf=3, random_state=SEED),
            reduced_s,
            reduced_t,
        ),
    ]
    candidates = [_cross_predict(name, make, source, y_s, target, classes) for name, make, source, target in models]
    return min(candidates, key=lambda predictions: float(cross_entropy(predictions.source, y_s).mean()))


def cross_entropy(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the cross-entropy of each row, (rows,)."""
    return np.asarray(-np.log(probabilities[np.arange(len(y)), y]))


def _cross_predict(
    name: str, make: Callable[[], Classifier], x_s: Matrix, y_s: np.ndarray, x_t: Matrix, classes: int
) -> SourcePredictions:
    source, target = np.zeros((x_s.shape[0], classes)), np.zeros((x_t.shape[0], classes))
    for fold, (train, held_out) in enumerate(stratified_folds(y_s)):
        model = make().fit(x_s[train], y_s[train])
        target_rows = np.arange(fold, x_t.shape[0], FOLDS)
        source[np.ix_(held_out, model.classes_)] = model.predict_proba(x_s[held_out])
        if len(target_rows):
            target[np.ix_(target_rows, model.classes_)] = model.predict_proba(x_t[target_rows])
    return SourcePredictions(name, *_calibrate(source, y_s, target))


def _calibrate(source: np.ndarray, y: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale the confidence on both domains by the temperature that fits source rows best (Guo et al., ICML 2017)."""
    best = minimize_scalar(
        lambda t: cross_entropy(_with_temperature(source, t), y).mean(), bounds=(-2.0, 2.0), method="bounded"
    )
    return _with_temperature(source, best.x), _with_temperature(target, best.x)


def _with_temperature(probabilities: np.ndarray, log_temperature: float) -> np.ndarray:
    powers = np.maximum(probabilities, _MIN_PROBABILITY) ** np.exp(-log_temperature)
    return np.asarray(powers / powers.sum(1, keepdims=True))
