"""Whether label shares moved, and to what, from what a source model predicts: the target needs no labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.stats import binomtest, chi2

from hpo.shift.domains import SEED, Domains
from hpo.shift.source_model import Predicted

_DRAWS = 200


@dataclass(frozen=True)
class Shares:
    """Label shares of the source, and of the target with 95 % intervals: `estimated` from predictions, right if p(x|y) stayed, and
    `counted` where labelled rows were drawn at random. `p`: that predictions differ by chance."""

    p: float
    source: Sequence[float]
    estimated: Sequence[float]
    intervals: Sequence[tuple[float, float]]
    counted: Sequence[float]
    counted_intervals: Sequence[tuple[float, float]]


def shares(domains: Domains, predicted: Predicted) -> Shares:
    k, y = len(domains.classes), domains.y_s
    rng = np.random.default_rng(SEED)
    drawn = []
    for _ in range(_DRAWS):
        rows, others = (rng.integers(0, len(x), len(x)) for x in (predicted.source, predicted.target))
        drawn.append(black_box(predicted.source[rows], y[rows], predicted.target[others]))
    counted, between = [], []
    if len(domains.y_t) and not domains.chosen:
        counts = np.bincount(domains.y_t, minlength=k)
        counted = (counts / counts.sum()).tolist()
        exact = (binomtest(int(hits), int(counts.sum())).proportion_ci(0.95, method="exact") for hits in counts)
        between = [(float(interval.low), float(interval.high)) for interval in exact]
    return Shares(
        p=same_means(predicted.source, predicted.target),
        source=(np.bincount(y, minlength=k) / len(y)).tolist(),
        estimated=black_box(predicted.source, y, predicted.target).tolist(),
        intervals=[(float(low), float(high)) for low, high in np.quantile(drawn, [0.025, 0.975], axis=0).T],
        counted=counted,
        counted_intervals=between,
    )


def black_box(source: np.ndarray, y: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The target's label shares, (classes,): those with which the source would be predicted as the target is, none below 0.

    Black-box shift estimation with the predicted chances, a soft confusion matrix (Lipton, Wang & Smola, ICML 2018).
    """
    classes = source.shape[1]
    confusion = source.T @ np.eye(classes)[y] / len(y)
    ratio, _ = nnls(confusion, target.mean(0))
    found = ratio * np.bincount(y, minlength=classes) / len(y)
    return np.asarray(found / found.sum())


def same_means(one: np.ndarray, two: np.ndarray) -> float:
    """Wald's p value that the mean chances of the classes differ by chance."""
    difference = (one.mean(0) - two.mean(0))[:-1]  # the chances of a row sum to 1
    spread = sum(np.atleast_2d(np.cov(x[:, :-1], rowvar=False)) / len(x) for x in (one, two))
    rank = int(np.linalg.matrix_rank(spread))
    return float(chi2.sf(difference @ np.linalg.pinv(spread) @ difference, rank)) if rank else 1.0


def resampled(y: np.ndarray, wanted: Sequence[float]) -> np.ndarray:
    """As many source rows as can have the `wanted` label shares, none twice: indices."""
    counts, shares_ = np.bincount(y, minlength=len(wanted)), np.asarray(wanted)
    total = (counts[shares_ > 0] / shares_[shares_ > 0]).min()
    rng = np.random.default_rng(SEED)
    parts = [rng.permutation(np.flatnonzero(y == c))[: round(total * share)] for c, share in enumerate(shares_)]
    return np.sort(np.concatenate(parts))
