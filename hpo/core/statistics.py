"""Statistics of scores on new splits: means, standard errors, tests and intervals. Pure functions of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit
from scipy.stats import binomtest

from hpo.core.metrics import Metric

LEVEL = 0.9  # the level of the intervals that are reported
WINDOW = 5  # epochs
MIN_PAIRS = 4  # with fewer pairs, a small variance is likely due to chance


@dataclass(frozen=True)
class PairedCounts:
    """The numbers of rows that a network predicts better and worse than another one, and the p-value of the sign test.

    If each prediction is either right or wrong, the sign test is McNemar's test.
    """

    better: int
    worse: int
    p_value: float


def best_window_mean(curve: Sequence[float], metric: Metric) -> float:
    """Return the best mean of five consecutive epochs of a curve, or of all epochs if there are fewer.

    The best single epoch of a noisy curve is luck that another split or seed will not repeat. The ranking
    of trials by five epochs is closer to their ranking in re-evaluation (docs/decisions/selection.md).
    """
    values = np.asarray(curve, dtype=float)
    window = min(WINDOW, len(values))
    means = np.convolve(values, np.full(window, 1 / window), mode="valid")
    return metric.minimized(float(metric.minimized(means).min()))


def scores_at_common_stop(curves: Mapping[str, np.ndarray], metric: Metric) -> dict[str, np.ndarray]:
    """Return the scores of each fold around the epoch at which the *other* folds would stop, (folds,) by name.

    `curves` are (epochs, folds); a metric that is undefined on the rows of a fold is nan. If a fold were scored at
    its own best epoch, it would be evaluated on the rows that stopped it, and look better than on new rows. The other
    folds stop where the mean of their curves of `metric` is best; a single fold stops itself. Scores are averaged over
    five epochs around the stop, because a single epoch depends more on chance than on the configuration.
    """
    epochs = common_stops(curves[f"valid_{metric.name}"], metric)
    return {name: _smooth(curve)[epochs, range(len(epochs))] for name, curve in curves.items()}


def common_stops(curve: np.ndarray, metric: Metric) -> list[int]:
    """Return, for each fold of a curve (epochs, folds), the epoch, from 0, at which the other folds would stop."""
    scores = np.nan_to_num(metric.minimized(_smooth(curve)), nan=0.0)
    folds = scores.shape[1]
    total = scores.sum(1)
    return [int((total - scores[:, fold] if folds > 1 else total).argmin()) for fold in range(folds)]


def _smooth(curves: np.ndarray) -> np.ndarray:
    """Return the centered mean over five epochs, or fewer at both ends, (epochs, folds)."""
    half = WINDOW // 2
    return np.array([curves[max(0, i - half) : i + half + 1].mean(0) for i in range(len(curves))])


def best_epoch(curves: list[np.ndarray], metric: Metric) -> int:
    """Return the epoch, from 1, at which the mean over all folds of all draws is best.

    `curves` are (epochs, folds), one for each draw. A draw that ended earlier is extended by its last scores.
    """
    longest = max(len(curve) for curve in curves)
    padded = [np.pad(curve, ((0, longest - len(curve)), (0, 0)), mode="edge") for curve in curves]
    folds = np.concatenate(padded, axis=1)
    defined = ~np.isnan(folds).all(0)
    if not defined.any():
        return longest
    return int(_smooth(metric.minimized(folds[:, defined]).mean(1, keepdims=True)).argmin()) + 1


def standard_error(scores: np.ndarray, test_train_ratio: float) -> float:
    """Return the standard error of the mean of `scores` (fits,) on overlapping training sets.

    It is √((1/n + test_train_ratio) · variance), where the ratio is validation rows over training rows (Nadeau &
    Bengio, Machine Learning 2003; for repeated folds: Bouckaert & Frank, PAKDD 2004). The naive error,
    √(variance/n), counts repeated rows as new evidence.
    """
    if len(scores) < 2:
        return float("inf")
    return float(np.sqrt((1 / len(scores) + test_train_ratio) * scores.var(ddof=1)))


def paired_gain(scores: np.ndarray, reference: np.ndarray, test_train_ratio: float) -> tuple[float, float]:
    """Return the mean of `reference` - `scores`, which is positive if `scores` is lower, and its standard error.

    Only splits on which both have a finite score count; without any, both results are undefined (nan, inf).
    """
    scores, reference = finite_pairs(scores, reference)
    better = reference - scores
    return float(better.mean()) if len(better) else float("nan"), standard_error(better, test_train_ratio)


def finite_pairs(scores: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both arrays restricted to the splits on which both have a finite score."""
    pairs = min(len(scores), len(reference))
    finite = np.isfinite(scores[:pairs]) & np.isfinite(reference[:pairs])
    return scores[:pairs][finite], reference[:pairs][finite]


def significantly_better(
    scores: np.ndarray, reference: np.ndarray, test_train_ratio: float, alpha: float, min_pairs: int = MIN_PAIRS
) -> bool:
    """Return whether `scores` is lower than `reference` by a paired one-sided t-test at level `alpha`.

    With fewer than `min_pairs` pairs, the result is always False.
    """
    mean, error = paired_gain(scores, reference, test_train_ratio)
    fits = len(finite_pairs(scores, reference)[0])
    if fits < min_pairs:
        return False
    return mean > error * t_quantile(fits - 1, 1 - alpha)


def significantly_different(first: np.ndarray, second: np.ndarray, test_train_ratio: float, alpha: float) -> bool:
    """Return whether either is lower than the other by a paired two-sided t-test at level `alpha`."""
    return significantly_better(first, second, test_train_ratio, alpha / 2) or significantly_better(
        second, first, test_train_ratio, alpha / 2
    )


def t_quantile(degrees_of_freedom: int, probability: float) -> float:
    """Return a quantile of Student's t distribution."""
    return float(stdtrit(degrees_of_freedom, probability))


def prediction_interval(scores: np.ndarray, test_train_ratio: float, valid_test_ratio: float) -> tuple[float, float]:
    """Return the interval that contains the score of a new test part with probability `LEVEL`.

    `valid_test_ratio` is the number of validation rows over the number of test rows. It accounts for the sampling error
    of the test part; 0 stands for infinitely many test rows.
    """
    if len(scores) < 2:
        return float("-inf"), float("inf")
    spread = np.sqrt((1 / len(scores) + test_train_ratio + valid_test_ratio) * scores.var(ddof=1))
    half = float(spread * t_quantile(len(scores) - 1, (1 + LEVEL) / 2))
    mean = float(scores.mean())
    return mean - half, mean + half


def paired_counts(before: np.ndarray, after: np.ndarray) -> PairedCounts:
    """Count the rows that the second network predicts better, and worse, than the first one.

    `before` and `after` (rows,) are the loss of each row, or 0 for right and 1 for wrong.
    """
    better, worse = int((after < before).sum()), int((after > before).sum())
    return PairedCounts(better, worse, float(binomtest(better, better + worse).pvalue) if better + worse else 1.0)
