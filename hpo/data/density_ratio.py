"""How much more common rows are in another domain than in the source: the ratio of both densities, as a domain classifier tells it.

Bickel, Brückner & Scheffer (ICML 2007) on ratios by classifiers; Sugiyama, Krauledat & Müller (JMLR 2007) on what they are for.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

QUANTILE = 0.99  # of the source's ratios: a larger one counts as this, or a few rows would be all that counts
SPREAD = 1e4  # times less than that: what a row counts at least, so that a ratio has a logarithm
_PARTS = 5
_SPARSE = 0.2  # share of numbers that are not zero below which it pays to leave the zeros out


def ratios(x: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """p_target(x) / p_source(x) of all rows x (rows, inputs), (rows,), fitted on the rows `source` and `target` (their indices). The
    source's have mean 1.

    A regularised logistic regression tells the domains apart; the rows that it is fitted on are judged by one that has not seen them.
    What it says out of sample is calibrated by another of one number (Platt, 1999), so that where the domains cannot be told apart
    the ratios are 1. The larger domain is the likelier one for its size alone, which is taken off.
    """
    rows, domain = np.concatenate([source, target]), np.repeat([0, 1], [len(source), len(target)])
    parts = min(_PARTS, len(source), len(target))
    if parts < 2:
        return np.ones(len(x))
    inputs = csr_matrix(x) if np.count_nonzero(x[rows]) < _SPARSE * x[rows].size else x
    unseen, said = np.empty(len(rows)), np.zeros(len(x))
    for train, held in StratifiedKFold(parts, shuffle=True, random_state=0).split(rows, domain):
        decided = _fitted(inputs[rows[train]], domain[train]).decision_function(inputs)
        unseen[held] = decided[rows[held]]
        said += decided / parts
    said[rows] = unseen
    unit = float(unseen.std()) or 1.0
    calibration = LogisticRegression().fit(unseen[:, None] / unit, domain)
    slope = max(0.0, float(calibration.coef_[0, 0])) / unit  # below zero it is noise
    log_ratio = slope * said
    most = np.quantile(log_ratio[source], QUANTILE)
    found = np.exp(np.clip(log_ratio - most, -np.log(SPREAD), 0))
    return np.asarray(found / found[source].mean())


def _fitted(x: np.ndarray | csr_matrix, domain: np.ndarray) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what is not quite there is calibrated as it is
        return LogisticRegression(max_iter=200).fit(x, domain)
