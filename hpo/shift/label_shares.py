"""Estimate the label shares of the target from the predictions of a source model; this needs no target labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.stats import binomtest, chi2

from hpo.shift.domains import SEED, Domains
from hpo.shift.source_model import SourcePredictions

_RESAMPLES = 200


@dataclass(frozen=True)
class LabelShares:
    """Label shares of the source and of the target, the latter with 95 % intervals.

    `estimated` comes from predictions and is right if p(x|y) is the same in both domains. `counted` comes from labelled
    rows and is empty unless these were drawn at random. `p` tests whether both domains have the same mean predictions.
    """

    p: float
    source: Sequence[float]
    estimated: Sequence[float]
    intervals: Sequence[tuple[float, float]]
    counted: Sequence[float]
    counted_intervals: Sequence[tuple[float, float]]


def estimate_label_shares(domains: Domains, predicted: SourcePredictions) -> LabelShares:
    """Estimate the label shares of the target by black-box shift estimation, with bootstrap intervals.

    The intervals of counted shares are exact (Clopper & Pearson, Biometrika 1934).
    """
    n_classes, y = len(domains.classes), domains.y_s
    rng = np.random.default_rng(SEED)
    resampled = []
    for _ in range(_RESAMPLES):
        rows_s, rows_t = (rng.integers(0, len(x), len(x)) for x in (predicted.source, predicted.target))
        resampled.append(black_box_shares(predicted.source[rows_s], y[rows_s], predicted.target[rows_t]))
    counted, counted_intervals = [], []
    if len(domains.y_t) and not domains.labelled_by_class:
        counts = np.bincount(domains.y_t, minlength=n_classes)
        counted = (counts / counts.sum()).tolist()
        exact = (binomtest(int(hits), int(counts.sum())).proportion_ci(0.95, method="exact") for hits in counts)
        counted_intervals = [(float(interval.low), float(interval.high)) for interval in exact]
    return LabelShares(
        p=wald_test(predicted.source, predicted.target),
        source=(np.bincount(y, minlength=n_classes) / len(y)).tolist(),
        estimated=black_box_shares(predicted.source, y, predicted.target).tolist(),
        intervals=[(float(low), float(high)) for low, high in np.quantile(resampled, [0.025, 0.975], axis=0).T],
        counted=counted,
        counted_intervals=counted_intervals,
    )


def black_box_shares(source: np.ndarray, y: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the non-negative label shares (classes,) with which the mean predictions of the source equal the target's.

    This is black-box shift estimation with predicted probabilities, i.e. a soft confusion matrix (Lipton, Wang & Smola,
    ICML 2018).
    """
    classes = source.shape[1]
    confusion = source.T @ np.eye(classes)[y] / len(y)
    ratio, _ = nnls(confusion, target.mean(0))
    shares = ratio * np.bincount(y, minlength=classes) / len(y)
    return np.asarray(shares / shares.sum())


def wald_test(first: np.ndarray, second: np.ndarray) -> float:
    """Return the p-value of Wald's test that two samples of class probabilities (rows, classes) have the same mean."""
    difference = (first.mean(0) - second.mean(0))[:-1]  # the probabilities of a row sum to 1
    covariance = sum(np.atleast_2d(np.cov(x[:, :-1], rowvar=False)) / len(x) for x in (first, second))
    rank = int(np.linalg.matrix_rank(covariance))
    return float(chi2.sf(difference @ np.linalg.pinv(covariance) @ difference, rank)) if rank else 1.0


def resample_to_shares(y: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Draw as many source rows as possible with these label shares, without replacement; return their indices."""
    counts, target_shares = np.bincount(y, minlength=len(shares)), np.asarray(shares)
    total = (counts[target_shares > 0] / target_shares[target_shares > 0]).min()
    rng = np.random.default_rng(SEED)
    parts = [rng.permutation(np.flatnonzero(y == c))[: round(total * share)] for c, share in enumerate(target_shares)]
    return np.sort(np.concatenate(parts))
