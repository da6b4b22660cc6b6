"""What scores on fresh splits say, and how surely: means, standard errors and intervals. Pure functions of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit
from scipy.stats import binomtest

LEVEL = 0.9  # of the intervals that are reported
WINDOW = 5  # epochs
MIN_PAIRS = 4  # pairs, below which a small variance is luck


@dataclass(frozen=True)
class PairedCounts:
    """One network predicts so many rows better than another, so many worse; and the chance of a difference as large if neither were
    likelier (the sign test, of right and wrong McNemar's)."""

    better: int
    worse: int
    chance: float


def best_window_mean(curve: Sequence[float], sign: int) -> float:
    """The best mean of five consecutive epochs of a curve; of all, if there are fewer.

    The best single epoch of a jumpy curve is luck that no other split or seed will have. Trials that are ranked by five are
    ranked more like fresh fits rank them (docs/decisions/selection.md).
    """
    values = np.asarray(curve, dtype=float)
    window = min(WINDOW, len(values))
    means = np.convolve(values, np.full(window, 1 / window), mode="valid")
    return sign * float((sign * means).min())


def scores_at_common_stop(curves: Mapping[str, np.ndarray], followed: str, sign: int) -> dict[str, np.ndarray]:
    """What each fold scores about the epoch at which the *others* would stop it: name → (folds,).

    `curves` are (epochs, folds); a fold whose rows do not define a metric has no numbers. Scored at its own best epoch, a fold
    would be judged by the rows that stopped it, and look better than new rows will find it. The other folds stop where the mean
    of their curves is best; a fold that is alone stops itself. The five epochs around that are averaged: a single one says more
    of chance than of the configuration.
    """
    smooth = {name: _smooth(curve) for name, curve in curves.items()}
    own = np.nan_to_num(sign * smooth[followed], nan=0.0)
    folds = own.shape[1]
    together = own.sum(1)
    epochs = [int((together - own[:, fold] if folds > 1 else together).argmin()) for fold in range(folds)]
    return {name: curve[epochs, range(folds)] for name, curve in smooth.items()}


def _smooth(curves: np.ndarray) -> np.ndarray:
    """Each epoch as the mean of the five around it, of fewer at the ends; (epochs, folds)."""
    half = WINDOW // 2
    return np.array([curves[max(0, i - half) : i + half + 1].mean(0) for i in range(len(curves))])


def best_epoch(curves: list[np.ndarray], sign: int) -> int:
    """The epoch, from 1, at which the mean of all folds of all draws is best; `curves` are (epochs, folds) each. A draw
    that ended earlier stands with its last scores."""
    longest = max(len(curve) for curve in curves)
    padded = [np.pad(curve, ((0, longest - len(curve)), (0, 0)), mode="edge") for curve in curves]
    together = np.concatenate(padded, axis=1)
    defined = ~np.isnan(together).all(0)
    return int(_smooth((sign * together[:, defined]).mean(1, keepdims=True)).argmin()) + 1 if defined.any() else longest


def standard_error(scores: np.ndarray, test_train_ratio: float) -> float:
    """Of the mean of `scores` (fits,), whose training parts overlap: √((1/n + overlap) · variance), where `overlap` is
    validation rows over training rows (Nadeau & Bengio, Machine Learning 2003; for repeated folds Bouckaert & Frank,
    PAKDD 2004). The naive error, √(variance/n), takes the same rows seen again for new evidence."""
    if len(scores) < 2:
        return float("inf")
    return float(np.sqrt((1 / len(scores) + test_train_ratio) * scores.var(ddof=1)))


def paired_gain(ours: np.ndarray, theirs: np.ndarray, test_train_ratio: float) -> tuple[float, float]:
    """By how much `ours` is lower than `theirs` on the splits on which both have a finite score, and the paired standard error of
    it; not a number if there is no such split."""
    ours, theirs = finite_pairs(ours, theirs)
    better = theirs - ours
    return float(better.mean()) if len(better) else float("nan"), standard_error(better, test_train_ratio)


def finite_pairs(ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both on the splits on which both have a finite score."""
    shared = min(len(ours), len(theirs))
    known = np.isfinite(ours[:shared]) & np.isfinite(theirs[:shared])
    return ours[:shared][known], theirs[:shared][known]


def significantly_better(
    ours: np.ndarray, theirs: np.ndarray, test_train_ratio: float, alpha: float, least: int = MIN_PAIRS
) -> bool:
    """Whether `ours` is lower than `theirs` by a paired one-sided t test whose chance of a false yes is `doubt`. Of fewer than
    `least` pairs: never."""
    mean, error = paired_gain(ours, theirs, test_train_ratio)
    fits = len(finite_pairs(ours, theirs)[0])
    if fits < least:
        return False
    return mean > error * t_quantile(fits - 1, 1 - alpha)


def significantly_different(one: np.ndarray, two: np.ndarray, test_train_ratio: float, alpha: float) -> bool:
    """Whether either is lower than the other beyond noise; half of the `doubt` is on each side."""
    return significantly_better(one, two, test_train_ratio, alpha / 2) or significantly_better(
        two, one, test_train_ratio, alpha / 2
    )


def t_quantile(freedom: int, chance: float) -> float:
    """Of Student's t."""
    return float(stdtrit(freedom, chance))


def prediction_interval(
    scores: np.ndarray, test_train_ratio: float, share: float, level: float = LEVEL
) -> tuple[float, float]:
    """Where the score of a new test part is expected, with probability `level`.

    `share` is validation rows over rows of that test part, whose own chance is thereby counted; 0 for infinitely many.
    """
    if len(scores) < 2:
        return float("-inf"), float("inf")
    spread = np.sqrt((1 / len(scores) + test_train_ratio + share) * scores.var(ddof=1))
    half = float(spread * t_quantile(len(scores) - 1, (1 + level) / 2))
    mean = float(scores.mean())
    return mean - half, mean + half


def paired_counts(before: np.ndarray, after: np.ndarray) -> PairedCounts:
    """Of what each row lost (rows,), as an error or 0 and 1, by the one network and by the other."""
    better, worse = int((after < before).sum()), int((after > before).sum())
    return PairedCounts(better, worse, float(binomtest(better, better + worse).pvalue) if better + worse else 1.0)
