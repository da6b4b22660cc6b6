"""The pruners of hpo: a percentile pruner (at 50, the median pruner), and one that compares trials fold by fold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from optuna import pruners
from optuna.study import Study
from optuna.trial import FrozenTrial

from hpo.core import statistics
from hpo.study.history import History


class PercentilePruner(pruners.BasePruner):
    """Makes the same decisions as Optuna's percentile pruner if trials report every epoch, but from sorted values.

    Optuna's own pruner collects and sorts the values of all complete trials at every epoch of every trial.
    """

    def __init__(self, history: History, percentile: float, **options: Any) -> None:
        pruners.PercentilePruner(percentile, **options)  # raises an exception for invalid options
        self._history = history
        self._percentile = percentile
        self._startup = options.get("n_startup_trials", 5)
        self._warmup = options.get("n_warmup_steps", 0)
        self._interval = options.get("interval_steps", 1)
        self._min_trials = options.get("n_min_trials", 1)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        del study  # with several objectives, it has no single direction, so the history's direction is used
        reports = trial.intermediate_values
        step = max(reports, default=-1)
        if self._history.n_complete < max(1, self._startup) or step < max(0, self._warmup):
            return False
        if (step - self._warmup) % self._interval:
            return False
        minimize = self._history.sign == 1
        finite = [value for value in reports.values() if not math.isnan(value)]
        if not finite:
            return True
        limit, n_trials = self._history.percentile(step, self._percentile if minimize else 100 - self._percentile)
        if n_trials < self._min_trials:
            return False
        return min(finite) > limit if minimize else max(finite) < limit


class PairedPruner(pruners.BasePruner):
    """Stops a trial that is significantly worse than the incumbent on the same folds at the same epoch, or worse than
    the median of the complete trials.

    The incumbent is the complete trial with the best value; while no trial is complete, it is the best trial in
    training. A hard fold is hard for both trials of a pair, so with a few folds, the difference between two trials is
    more accurate than the score of either. The idea of stopping a cross-validation early by comparison with the
    incumbent is from Bergman et al., "Don't Waste Your Time: Early Stopping Cross-Validation" (AutoML 2024). Folds
    share most of their training rows, so the naive variance of a mean over folds is far too small; it is corrected as
    in Nadeau & Bengio, "Inference for the Generalization Error" (Machine Learning, 2003).
    """

    def __init__(self, history: History, test_train_ratio: float, confidence: float = 0.6, **options: Any) -> None:
        """`test_train_ratio` is the ratio of a fold's validation rows to its training rows. `confidence` is the
        confidence of the one-sided test, from 0.5 (any difference stops the trial) to 1 (only the median prunes).
        `options` are those of the median pruner."""
        self._history = history
        self._test_train_ratio = test_train_ratio
        self._confidence = confidence
        self._warmup = options.get("n_warmup_steps", 0)
        self._median = PercentilePruner(history, 50.0, **options)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step or 0
        if step < self._warmup:
            return False
        curve = self._history.folds(trial.number)
        incumbent = self._history.incumbent(trial.number, len(curve))
        if incumbent is not None and is_worse(curve, incumbent, self._test_train_ratio, self._confidence):
            return True
        return self._median.prune(study, trial)


def is_worse(curve: np.ndarray, incumbent: np.ndarray, test_train_ratio: float, confidence: float) -> bool:
    """Whether a trial is significantly worse than the incumbent, by the best value so far of each fold. Curves have
    the shape (epochs, folds); lower is better."""
    best, incumbent_best = np.fmin.reduce(curve), np.fmin.reduce(incumbent)
    return statistics.significantly_better(incumbent_best, best, test_train_ratio, 1 - confidence, min_pairs=2)
