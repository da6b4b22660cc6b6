"""The posterior of how much better one configuration is than another, given measured errors and earlier searches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from hpo.core.metrics import Metric

LEVEL = 0.9  # the level of the interval of a gain
# Learned from earlier searches (docs/decisions/selection.md): the standard deviation of true log ratios of errors, the
# number of finalists that this knowledge counts as, and the variance of a measured log ratio, relative to its bootstrap
# variance, from new rows and from each new training of all folds.
_PRIOR_SD, _PRIOR_WEIGHT, _ROW_FACTOR, _TRAINING_FACTOR = 0.03, 4, 2.0, 2.5
_LARGEST_RATIO = 0.3  # of the logarithms that the prior is learned from: a single outlier must not make it vague


@dataclass(frozen=True)
class Gain:
    """How much smaller the error of a candidate is than that of its reference, as the logarithm of their ratio.

    `measured` is the value on the evaluated rows; the posterior is normal with `mean` and `sd`.
    """

    measured: float
    mean: float
    sd: float

    @classmethod
    def zero(cls) -> Gain:
        """Return the gain of the reference over itself."""
        return cls(0.0, 0.0, 0.0)

    @property
    def probability(self) -> float:
        """The probability that the candidate has the smaller error on new rows; 0.5 for the reference itself."""
        return float(ndtr(self.mean / self.sd)) if self.sd else (1 + float(np.sign(self.mean))) / 2

    @property
    def relative(self) -> float:
        """The expected reduction of the error, as a share of the error of the reference."""
        return -math.expm1(-self.mean)

    @property
    def interval(self) -> tuple[float, float]:
        """The interval that contains the relative reduction with probability `LEVEL`."""
        half = self.sd * float(ndtri((1 + LEVEL) / 2))
        return -math.expm1(-(self.mean - half)), -math.expm1(-(self.mean + half))


@dataclass(frozen=True)
class Measurement:
    """A measured log ratio of two errors, and its sampling variance."""

    value: float
    variance: float

    @classmethod
    def from_bootstrap(cls, value: float, row_variance: float, draws: int) -> Measurement:
        """Make the measurement from the bootstrap variance over rows and the number of trainings of all folds."""
        return cls(value, row_variance * (_ROW_FACTOR + _TRAINING_FACTOR / draws))

    @property
    def known(self) -> bool:
        """Whether there are enough rows, or folds, that define the metric."""
        return math.isfinite(self.value) and math.isfinite(self.variance)


def prior_variance(measurements: Sequence[Measurement]) -> float:
    """Return the variance of true log ratios around 0, from all finalists of a search and from earlier searches.

    This is empirical Bayes: the more the finalists of this search differ beyond the noise, the less their measured
    gains are reduced.
    """
    excess = [min(abs(m.value), _LARGEST_RATIO) ** 2 - m.variance for m in measurements if m.known]
    total = _PRIOR_WEIGHT * _PRIOR_SD**2 + sum(max(0.0, value) for value in excess)
    return total / (_PRIOR_WEIGHT + len(excess))


def posterior_gain(measured: Measurement, prior: float) -> Gain:
    """Return the posterior of a log ratio of errors.

    The prior is normal around 0 with the variance `prior`: most configurations that a search proposes differ little
    from the usual defaults, so a measured gain is on average larger than the true one (James & Stein, Estimation with
    quadratic loss, 1961; Efron & Morris, Data analysis using Stein's estimator, JASA 1975). The prior is returned if
    the log ratio is not known.
    """
    if not measured.known:
        return Gain(0.0, 0.0, math.sqrt(prior))
    shrinkage = prior / (prior + measured.variance)
    return Gain(measured.value, shrinkage * measured.value, math.sqrt(shrinkage * measured.variance))


def errors(metric: Metric, scores: np.ndarray, rows: int) -> np.ndarray:
    """Return scores as errors, which are positive and better if lower.

    A score that is better if higher, at most 1, becomes 1 - score, plus half an error among all `rows`, so that a
    perfect score has a logarithm.
    """
    return scores if metric.better == "lower" else 1 - scores + 0.5 / rows


def score(metric: Metric, error: float, rows: int) -> float:
    """Return the score that has this error; the inverse of `errors`."""
    return error if metric.better == "lower" else 1 + 0.5 / rows - error
