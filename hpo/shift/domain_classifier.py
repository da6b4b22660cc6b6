"""Train classifiers to tell the domains apart, and test how well they rank held-out rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu, norm, rankdata
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from hpo.shift.domains import SEED, Matrix, as_sparse, reduce_dimensions, stack_rows

FOLDS = 5
_TREES = 60


@dataclass(frozen=True)
class ClassifierTest:
    """The area under the ROC curve of a domain classifier (0.5: it cannot tell the domains apart).

    `interval` is DeLong's 95 % interval. `p` is the p-value of the rank test (Mann & Whitney), whose variance assumes
    that the domains do not differ.
    """

    model: str
    auc: float
    interval: tuple[float, float]
    p: float


def classifier_tests(x_s: Matrix, x_t: Matrix) -> list[ClassifierTest]:
    """Test a regularized logistic regression (out-of-fold) and a random forest (out-of-bag).

    This is a classifier two-sample test (Lopez-Paz & Oquab, ICLR 2017). 2 (2 AUC - 1) is close to the proxy A-distance
    of Ben-David et al.
    """
    target = np.repeat([0, 1], [x_s.shape[0], x_t.shape[0]])
    scores = {
        "logistic regression": _linear_scores(as_sparse(stack_rows(x_s, x_t)), target),
        "random forest": _forest_scores(x_s, x_t, target),
    }
    return [auc_test(model, values[target == 0], values[target == 1]) for model, values in scores.items()]


def auc_test(model: str, source: np.ndarray, target: np.ndarray) -> ClassifierTest:
    """Estimate the probability that a target row has a higher score than a source row, from the scores of both."""
    ranks = rankdata(np.concatenate([source, target]))
    n, m = len(source), len(target)
    above = (ranks[n:] - rankdata(target)) / n  # for each target row, the share of source rows below it
    below = 1 - (ranks[:n] - rankdata(source)) / m  # for each source row, the share of target rows above it
    auc = float(above.mean())
    half = float(norm.ppf(0.975) * np.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n))
    p = float(mannwhitneyu(target, source, alternative="greater", method="asymptotic").pvalue)
    return ClassifierTest(model, auc, (max(0.0, auc - half), min(1.0, auc + half)), p)


def stratified_folds(y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (training rows, held-out rows) of five folds with the same class shares.

    A class with fewer rows than folds is held out in some folds only.
    """
    order = np.random.default_rng(SEED).permutation(len(y))
    fold = np.empty(len(y), dtype=int)
    fold[order[np.argsort(y[order], kind="stable")]] = np.arange(len(y)) % FOLDS
    for number in range(FOLDS):
        yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def _linear_scores(x: Matrix, target: np.ndarray) -> np.ndarray:
    """Return out-of-fold scores as ranks within each fold, because models of different folds have no common scale."""
    scores = np.empty(len(target))
    for train, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(np.zeros(len(target)), target):
        model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(x[train], target[train])
        scores[held_out] = rankdata(model.decision_function(x[held_out])) / len(held_out)
    return scores


def _forest_scores(x_s: Matrix, x_t: Matrix, target: np.ndarray) -> np.ndarray:
    """Return out-of-bag probabilities of the target domain; 0.5 for a row that was in every bag."""
    model = RandomForestClassifier(_TREES, min_samples_leaf=5, oob_score=True, random_state=SEED)
    model.fit(np.concatenate(reduce_dimensions(x_s, x_t)), target)
    return np.asarray(np.nan_to_num(model.oob_decision_function_[:, 1], nan=0.5))
