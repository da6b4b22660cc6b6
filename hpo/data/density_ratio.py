"""Estimate the ratio of target to source density at each row with a domain classifier.

The ratios follow Bickel, Brückner & Scheffer (ICML 2007); their use follows Sugiyama, Krauledat & Müller (JMLR 2007).
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

CLIP_QUANTILE = 0.99  # of the ratios of source rows; larger ratios are clipped, so that a few rows cannot dominate
MAX_SPREAD = 1e4  # the limit of the largest ratio divided by the smallest, so that every ratio has a logarithm
SPARSE_SHARE = 0.2  # with a smaller share of nonzero numbers, a sparse matrix is faster
_FOLDS = 5


def estimate(x: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Estimate p_target(x) / p_source(x) at each row of x (rows, inputs); returns (rows,).

    The classifier is fitted on the rows with the indices `source` and `target`; the mean ratio of source rows is 1.

    A regularized logistic regression separates the domains; the rows on which it is fitted get out-of-fold logits. A
    second logistic regression on these logits calibrates them (Platt, 1999), so that the ratios are 1 if the domains
    cannot be separated. Normalizing the mean removes the influence of the domains' sizes.
    """
    rows, domain = np.concatenate([source, target]), np.repeat([0, 1], [len(source), len(target)])
    n_folds = min(_FOLDS, len(source), len(target))
    if n_folds < 2:
        return np.ones(len(x))
    inputs = csr_matrix(x) if np.count_nonzero(x[rows]) < SPARSE_SHARE * x[rows].size else x
    out_of_fold, logits = np.empty(len(rows)), np.zeros(len(x))
    for train, held_out in StratifiedKFold(n_folds, shuffle=True, random_state=0).split(rows, domain):
        fold_logits = _fit_classifier(inputs[rows[train]], domain[train]).decision_function(inputs)
        out_of_fold[held_out] = fold_logits[rows[held_out]]
        logits += fold_logits / n_folds
    logits[rows] = out_of_fold
    scale = float(out_of_fold.std()) or 1.0
    calibration = LogisticRegression().fit(out_of_fold[:, None] / scale, domain)
    slope = max(0.0, float(calibration.coef_[0, 0])) / scale  # a negative slope is noise
    log_ratio = slope * logits
    largest = np.quantile(log_ratio[source], CLIP_QUANTILE)
    ratio = np.exp(np.clip(log_ratio - largest, -np.log(MAX_SPREAD), 0))
    return np.asarray(ratio / ratio[source].mean())


def _fit_classifier(x: np.ndarray | csr_matrix, domain: np.ndarray) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # calibration corrects an unfinished fit
        return LogisticRegression(max_iter=200).fit(x, domain)
