"""The percentile pruner, and with 50 the median pruner."""

from __future__ import annotations

import math
from typing import Any

from optuna import pruners
from optuna.study import Study
from optuna.trial import FrozenTrial

from hpo.study.history import History


class PercentilePruner(pruners.BasePruner):
    """Decides as Optuna's does where every epoch is reported, but looks into values that are kept sorted: Optuna's gathers
    and sorts those of all complete trials at every epoch of every trial."""

    def __init__(self, history: History, percentile: float, **options: Any) -> None:
        pruners.PercentilePruner(percentile, **options)  # refuses what it would refuse
        self._history = history
        self._percentile = percentile
        self._startup = options.get("n_startup_trials", 5)
        self._warmup = options.get("n_warmup_steps", 0)
        self._interval = options.get("interval_steps", 1)
        self._least = options.get("n_min_trials", 1)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        del study  # which way is better, the history knows: a study of several objectives would not say
        reports = trial.intermediate_values
        step = max(reports, default=-1)
        if self._history.complete < max(1, self._startup) or step < max(0, self._warmup):
            return False
        if (step - self._warmup) % self._interval:
            return False
        lower = self._history.sign == 1
        finite = [value for value in reports.values() if not math.isnan(value)]
        if not finite:
            return True
        limit, of = self._history.percentile(step, self._percentile if lower else 100 - self._percentile)
        if of < self._least:
            return False
        return min(finite) > limit if lower else max(finite) < limit
