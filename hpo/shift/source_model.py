"""A model of the labels, learned on source rows alone, and what it says of rows of both domains that it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from hpo.shift.domain_classifier import FOLDS, dealt
from hpo.shift.domains import SEED, Matrix, narrow, sparse

_TREES = 40
_LEAST = 1e-4  # that a class can have: a certain model would be infinitely wrong once


@dataclass(frozen=True)
class Predicted:
    """Chances of the classes of source rows (n, classes) and of target rows (m, classes); `model` names who says so."""

    model: str
    source: np.ndarray
    target: np.ndarray


def predicted(x_s: Matrix, y_s: np.ndarray, x_t: Matrix, classes: int) -> Predicted:
    """A logistic regression or a random forest, whichever has the lower out-of-fold loss on source rows.

    Each source row is predicted by the model that has not seen its fold, and each target row by the model of one fold, in turn: without a
    shift the two are alike, whatever the model is worth. One model of all source rows would be surer of target rows than any of
    the five is of source rows, and that would look like a shift.
    """
    narrow_s, narrow_t = narrow(x_s, x_t)
    ways: list[tuple[str, Callable[[], LogisticRegression | RandomForestClassifier], Matrix, Matrix]] = [
        ("logistic regression", lambda: LogisticRegression(max_iter=1000), sparse(x_s), sparse(x_t)),
        (
            "random forest",
            lambda: RandomForestClassifier(_TREES, min_samples_leaf=3, random_state=SEED),
            narrow_s,
            narrow_t,
        ),
    ]
    found = [_crossed(name, make, own_s, y_s, own_t, classes) for name, make, own_s, own_t in ways]
    return min(found, key=lambda one: float(losses(one.source, y_s).mean()))


def losses(chances: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cross-entropy of each row."""
    return np.asarray(-np.log(chances[np.arange(len(y)), y]))


def _crossed(
    name: str,
    make: Callable[[], LogisticRegression | RandomForestClassifier],
    x_s: Matrix,
    y_s: np.ndarray,
    x_t: Matrix,
    classes: int,
) -> Predicted:
    source, target = np.zeros((x_s.shape[0], classes)), np.zeros((x_t.shape[0], classes))
    for fold, (train, held) in enumerate(dealt(y_s)):
        model = make().fit(x_s[train], y_s[train])
        turn = np.arange(fold, x_t.shape[0], FOLDS)
        source[np.ix_(held, model.classes_)] = model.predict_proba(x_s[held])
        if len(turn):
            target[np.ix_(turn, model.classes_)] = model.predict_proba(x_t[turn])
    return Predicted(name, *_tempered(source, y_s, target))


def _tempered(source: np.ndarray, y: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as sure as source rows justify: logits over a temperature (Guo et al., ICML 2017)."""
    best = minimize_scalar(lambda t: losses(_cooled(source, t), y).mean(), bounds=(-2.0, 2.0), method="bounded")
    return _cooled(source, best.x), _cooled(target, best.x)


def _cooled(chances: np.ndarray, log_temperature: float) -> np.ndarray:
    powers = np.maximum(chances, _LEAST) ** np.exp(-log_temperature)
    return np.asarray(powers / powers.sum(1, keepdims=True))
