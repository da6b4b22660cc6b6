"""The paired pruner, for trials that train on several folds at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial

from hpo.core import statistics
from hpo.study.history import History
from hpo.study.percentile_pruner import PercentilePruner


class PairedPruner(BasePruner):
    """Stops a trial that is worse than the incumbent on the same folds at the same epoch, beyond noise, or worse than the
    median of the complete trials.

    The incumbent is the complete trial with the best value, at the beginning the best of those in training. What makes a fold hard is in both of a pair, so that a few folds
    tell more of their difference than of either. To stop a cross-validation early by what the incumbent had is from Bergman
    et al., "Don't Waste Your Time: Early Stopping Cross-Validation" (AutoML 2024). Folds share most of their training rows,
    and the naive variance of a mean over them is far too small: it is corrected as in Nadeau & Bengio, "Inference for the
    Generalization Error" (Machine Learning, 2003).
    """

    def __init__(self, history: History, overlap: float, confidence: float = 0.6, **options: Any) -> None:
        """`overlap` is validation rows over training rows of a fold; `confidence` that of a one-sided test, from 0.5 (worse is
        worse) to 1 (only the median prunes). `options` are those of the median pruner."""
        self._history = history
        self._overlap = overlap
        self._confidence = confidence
        self._first = options.get("n_warmup_steps", 0)
        self._median = PercentilePruner(history, 50.0, **options)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step or 0
        if step < self._first:
            return False
        own = self._history.folds(trial.number)
        incumbent = self._history.incumbent(trial.number, len(own))
        if incumbent is not None and worse(own, incumbent, self._overlap, self._confidence):
            return True
        return self._median.prune(study, trial)


def worse(own: np.ndarray, other: np.ndarray, overlap: float, confidence: float) -> bool:
    """Whether one of two trials is worse beyond noise; curves are (epochs, folds), less is better, and what counts is the best of
    each fold so far."""
    return statistics.significantly_better(np.fmin.reduce(other), np.fmin.reduce(own), overlap, 1 - confidence, least=2)
