"""What the sampler and the pruner look back on, kept so that the ten thousandth trial costs what the hundredth did."""

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

BEST = 25  # TPE makes the density that it follows of so many, however long the study
RECENT = 250  # trials beside those


class History(InMemoryStorage):
    """One study in memory. Of the trials that have ended, samplers see the best and the most recent, and all while these
    are few; pruners also find the values of all complete trials at an epoch, sorted.

    What is seen follows from the set of trials, never from the order in which they ended, so that a study that was opened
    again shows what it did before.
    """

    def __init__(self, direction: StudyDirection, recent: float) -> None:
        """`direction` is that of the first objective, by which trials are ranked and pruned; `recent` trials are seen beside the best; infinitely many, by a sampler that cannot do with less."""
        super().__init__()
        self.sign = 1 if direction == StudyDirection.MINIMIZE else -1
        self._bound = recent
        self._running: set[int] = set()  # numbers, which are ids as well: there is one study
        self._recent: list[tuple[int, FrozenTrial]] = []
        self._best: list[tuple[tuple[float, ...], FrozenTrial]] = []
        self._values: dict[int, array[float]] = {}
        self._inner: dict[int, dict[str, float]] = {}
        self._complete: list[int] = []  # numbers
        self._ranked: list[tuple[float, int]] = []  # complete trials that can be incumbents, best first
        self._folds: dict[int, list[list[float]]] = {}  # of these and of those in training
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
        """Without Optuna's copy of the trial, which is there for readers in other threads."""
        self.get_trial(trial_id).intermediate_values[step] = intermediate_value

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if self._bound == math.inf:
            trials = super().get_all_trials(study_id, deepcopy, states)
            return trials if self._horizon == math.inf else [trial for trial in trials if trial.number < self._horizon]
        seen = {number: self.get_trial(number) for number in self._running}
        seen |= dict(self._recent)
        seen |= {trial.number: trial for _, trial in self._best}
        trials = [seen[number] for number in sorted(seen) if states is None or seen[number].state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    @contextmanager
    def before(self, number: float) -> Iterator[None]:
        """Within it, no trial of that number or above is seen."""
        self._horizon = number
        try:
            yield
        finally:
            self._horizon = math.inf

    @property
    def complete(self) -> int:
        """How many complete trials are seen."""
        return bisect_left(self._complete, self._horizon)

    def inner(self, trial: FrozenTrial) -> dict[str, float]:
        """The parameters of a trial, which was asked already, as samplers count with them."""
        if trial.number not in self._inner:
            known = trial.distributions
            self._inner[trial.number] = {
                name: known[name].to_internal_repr(value) for name, value in trial.params.items()
            }
        return self._inner[trial.number]

    def percentile(self, step: int, percent: float) -> tuple[float, int]:
        """That percentile of what all complete trials reported at `step`, as numpy computes it, and how many these are."""
        values = self._values.get(step, array("d"))
        if beyond := self._complete[self.complete :]:
            values = values[:]
            for number in beyond:
                value = self.get_trial(number).intermediate_values.get(step, math.nan)
                if not math.isnan(value):
                    del values[bisect_left(values, value)]
        if not values:
            return math.nan, 0
        place = percent / 100 * (len(values) - 1)
        below = math.floor(place)
        a, b, share = values[below], values[min(below + 1, len(values) - 1)], place - below
        return (a + (b - a) * share if share < 0.5 else b - (b - a) * (1 - share)), len(values)

    def show_folds(self, number: int, curve: Sequence[Sequence[float]]) -> None:
        """Keeps what a trial has shown of every fold, by epoch, then by fold; that of a trial that cannot be an incumbent is
        empty, and forgotten."""
        self._folds[number] = [[self.sign * value for value in values] for values in curve]
        if not curve:
            del self._folds[number]

    def show_epoch(self, number: int, values: Sequence[float]) -> None:
        """Keeps one more epoch of every fold."""
        self._folds.setdefault(number, []).append([self.sign * value for value in values])

    def folds(self, number: int) -> np.ndarray:
        """What a trial has shown of every fold, (epochs, folds); less is better."""
        return np.array(self._folds[number])

    def incumbent(self, number: int, epochs: int) -> np.ndarray | None:
        """What trial `number` is held against after so many epochs: the same of the complete trial with the best value that is seen.
        While none is complete, the best of those in training that have come as far; None if there is none either."""
        for _, complete in self._ranked:
            if complete < self._horizon:
                return self.folds(complete)[:epochs]
        others = [n for n in sorted(self._running) if n != number and n < self._horizon]
        as_far = [self.folds(n)[:epochs] for n in others if len(self._folds.get(n, ())) >= epochs]
        return min(as_far, key=lambda curve: float(np.fmin.reduce(curve).mean()), default=None)

    def _end(self, number: int) -> None:
        trial = self.get_trial(number)
        self._running.discard(number)
        insort(self._recent, (number, trial))
        if len(self._recent) > self._bound:
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
        """Best first, in the order of TPE: by value, and behind them the pruned ones, those that came farthest first."""
        value = self.sign * trial.values[0] if trial.values else math.inf
        if trial.state == TrialState.COMPLETE:
            return (0, 0, value, trial.number)
        return (1, -(trial.last_step or 0), value, trial.number)
