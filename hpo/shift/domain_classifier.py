"""A classifier that tells the domains apart: how well it ranks rows that it has not seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu, norm, rankdata
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from hpo.shift.domains import SEED, Matrix, narrow, sparse, stacked

FOLDS = 5
_TREES = 60


@dataclass(frozen=True)
class Apart:
    """How well a classifier tells the domains apart: the area under its ROC curve, 0.5 for not at all, with DeLong's 95 % interval; p
    by the rank test (Mann & Whitney), whose variance is that of no difference."""

    model: str
    auc: float
    interval: tuple[float, float]
    p: float


def apart(x_s: Matrix, x_t: Matrix) -> list[Apart]:
    """By a regularised logistic regression, out of fold, and by a random forest, out of bag.

    A classifier two-sample test (Lopez-Paz & Oquab, ICLR 2017); 2 (2 AUC - 1) is near the proxy A-distance of Ben-David et al.
    """
    target = np.repeat([0, 1], [x_s.shape[0], x_t.shape[0]])
    scores = {
        "logistic regression": _linear(sparse(stacked(x_s, x_t)), target),
        "random forest": _forest(x_s, x_t, target),
    }
    return [area(model, found[target == 0], found[target == 1]) for model, found in scores.items()]


def area(model: str, source: np.ndarray, target: np.ndarray) -> Apart:
    """The chance that a target row is ranked above a source row, from the scores of both."""
    ranks = rankdata(np.concatenate([source, target]))
    n, m = len(source), len(target)
    above = (ranks[n:] - rankdata(target)) / n  # of each target row, the share of source rows below it
    below = 1 - (ranks[:n] - rankdata(source)) / m  # of each source row, the share of target rows above it
    auc = float(above.mean())
    half = float(norm.ppf(0.975) * np.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n))
    p = float(mannwhitneyu(target, source, alternative="greater", method="asymptotic").pvalue)
    return Apart(model, auc, (max(0.0, auc - half), min(1.0, auc + half)), p)


def dealt(y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows to learn from and rows held out, five times, the classes dealt out evenly; a class with fewer rows is in some folds only."""
    order = np.random.default_rng(SEED).permutation(len(y))
    fold = np.empty(len(y), dtype=int)
    fold[order[np.argsort(y[order], kind="stable")]] = np.arange(len(y)) % FOLDS
    for number in range(FOLDS):
        yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def _linear(x: Matrix, target: np.ndarray) -> np.ndarray:
    """Out-of-fold scores, as ranks within a fold: models of different folds have no common scale."""
    scores = np.empty(len(target))
    for train, held in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(np.zeros(len(target)), target):
        model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(x[train], target[train])
        scores[held] = rankdata(model.decision_function(x[held])) / len(held)
    return scores


def _forest(x_s: Matrix, x_t: Matrix, target: np.ndarray) -> np.ndarray:
    model = RandomForestClassifier(_TREES, min_samples_leaf=5, oob_score=True, random_state=SEED)
    model.fit(np.concatenate(narrow(x_s, x_t)), target)
    return np.asarray(np.nan_to_num(model.oob_decision_function_[:, 1], nan=0.5))
