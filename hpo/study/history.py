"""The past trials that sampler and pruner see, bounded so that the cost of a trial does not grow with the study."""

from __future__ import annotations

import copy
import math
from array import array
from bisect import bisect_left, insort
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

BEST = 25  # the number of best trials, which TPE models as the good ones, however long the study is
RECENT = 250  # the number of most recent trials that are visible in addition to the best


class History(InMemoryStorage):
    """Optuna's storage of one study in memory, which limits the trials that samplers see.

    Samplers see the best and the most recent of the trials that have ended, or all of them while they are few. Pruners
    get sorted values of all complete trials at an epoch. The visible trials depend on the set of trials only, not on
    the order in which they ended, so that a reopened study shows the same trials as before.
    """

    def __init__(self, direction: StudyDirection, recent: float) -> None:
        """`direction` is that of the first objective, by which trials are ranked and pruned; `recent` is the number
        of recent trials that are visible in addition to the best, or infinity."""
        super().__init__()
        self.sign = 1 if direction == StudyDirection.MINIMIZE else -1
        self.max_recent = recent
        self._running: set[int] = set()  # trial numbers, which equal the trial ids of this storage
        self._recent: list[tuple[int, FrozenTrial]] = []
        self._best: list[tuple[tuple[float, ...], FrozenTrial]] = []
        self._values: dict[int, array[float]] = {}
        self._complete: list[int] = []  # trial numbers
        self._ranked: list[tuple[float, int]] = []  # complete trials with values by fold, best first
        self._folds: dict[int, list[list[float]]] = {}  # by trial number, then by epoch
        self._horizon = math.inf

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        number = super().create_new_trial(study_id, template_trial)
        self._running.add(number)
        if template_trial is not None and template_trial.state.is_finished():
            self._end(number)
        return number

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        done = super().set_trial_state_values(trial_id, state, values)
        if state.is_finished():
            self._end(trial_id)
        return done

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Set the value without copying the trial; Optuna copies it to protect readers in other threads."""
        self.get_trial(trial_id).intermediate_values[step] = intermediate_value

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if self.max_recent == math.inf:
            trials = super().get_all_trials(study_id, deepcopy, states)
            return trials if self._horizon == math.inf else [trial for trial in trials if trial.number < self._horizon]
        visible = {number: self.get_trial(number) for number in self._running}
        visible |= dict(self._recent)
        visible |= {trial.number: trial for _, trial in self._best}
        trials = [visible[number] for number in sorted(visible) if states is None or visible[number].state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    @contextmanager
    def before(self, number: float) -> Iterator[None]:
        """Within the context, hide all trials with this number or a higher one."""
        self._horizon = number
        try:
            yield
        finally:
            self._horizon = math.inf

    @property
    def n_complete(self) -> int:
        """The number of complete trials that are visible."""
        return bisect_left(self._complete, self._horizon)

    def percentile(self, step: int, percent: float) -> tuple[float, int]:
        """A percentile (as numpy defines it) of all complete trials' values at `step`, and the number of values."""
        values = self._values.get(step, array("d"))
        if hidden := self._complete[self.n_complete :]:
            values = values[:]
            for number in hidden:
                value = self.get_trial(number).intermediate_values.get(step, math.nan)
                if not math.isnan(value):
                    del values[bisect_left(values, value)]
        if not values:
            return math.nan, 0
        position = percent / 100 * (len(values) - 1)
        below = math.floor(position)
        a, b, fraction = values[below], values[min(below + 1, len(values) - 1)], position - below
        return (a + (b - a) * fraction if fraction < 0.5 else b - (b - a) * (1 - fraction)), len(values)

    def set_folds(self, number: int, curve: Sequence[Sequence[float]]) -> None:
        """Set the values of a trial by epoch, then by fold. An empty curve removes them, so that the trial
        cannot be an incumbent."""
        self._folds[number] = [[self.sign * value for value in values] for values in curve]
        if not curve:
            del self._folds[number]

    def add_epoch(self, number: int, values: Sequence[float]) -> None:
        """Append the values of one epoch by fold."""
        self._folds.setdefault(number, []).append([self.sign * value for value in values])

    def folds(self, number: int) -> np.ndarray:
        """The values of a trial by fold, shape (epochs, folds); lower is better."""
        return np.array(self._folds[number])

    def incumbent(self, number: int, epochs: int) -> np.ndarray | None:
        """Return the first `epochs` epochs of the incumbent, with which trial `number` is compared.

        The shape is (epochs, folds). The incumbent is the visible complete trial with the best value. If there are no
        complete trials, it is the best of the trials in training that have reached that epoch. Returns None if there
        is no such trial.
        """
        for _, complete in self._ranked:
            if complete < self._horizon:
                return self.folds(complete)[:epochs]
        others = [n for n in sorted(self._running) if n != number and n < self._horizon]
        reached = [self.folds(n)[:epochs] for n in others if len(self._folds.get(n, ())) >= epochs]
        return min(reached, key=lambda curve: float(np.fmin.reduce(curve).mean()), default=None)

    def _end(self, number: int) -> None:
        trial = self.get_trial(number)
        self._running.discard(number)
        insort(self._recent, (number, trial))
        if len(self._recent) > self.max_recent:
            del self._recent[0]
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            insort(self._best, (self._rank(trial), trial))
            del self._best[BEST:]
        if number in self._folds and trial.values:
            insort(self._ranked, (self.sign * trial.values[0], number))
        if trial.state == TrialState.COMPLETE:
            insort(self._complete, number)
            for step, value in trial.intermediate_values.items():
                if not math.isnan(value):
                    insort(self._values.setdefault(step, array("d")), value)

    def _rank(self, trial: FrozenTrial) -> tuple[float, ...]:
        """Return the sort key in TPE's order: complete trials by value, then pruned trials, the longest first."""
        value = self.sign * trial.values[0] if trial.values else math.inf
        if trial.state == TrialState.COMPLETE:
            return (0, 0, value, trial.number)
        return (1, -(trial.last_step or 0), value, trial.number)
