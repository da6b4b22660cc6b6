"""The study that Optuna's sampler and pruner see. It is kept in memory, where proposals and reports are fast.

It is rebuilt from the stored proposals, and from the outcomes in the order in which the sampler received them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpo.core import objectives
from hpo.core.trial import Outcome
from hpo.space import priors
from hpo.space.space import Space
from hpo.study import samplers

_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    # Samplers ignore FAIL and would propose a diverging configuration again: it is complete, with the worst value.
    "failed": TrialState.COMPLETE,
}


class InMemoryStudy:
    """An Optuna study in memory. Trials are identified by their numbers, which equal Optuna's trial ids."""

    def __init__(self, space: Space, lag: int | None = None) -> None:
        """With a `lag`, the pruner of a trial sees only trials that are older by more than that many numbers."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._lag = lag
        self.directions = [
            StudyDirection.MINIMIZE if objectives.lower_is_better(name) else StudyDirection.MAXIMIZE
            for name in space.objective_names
        ]
        self._distributions = samplers.distributions(space.hyperparameters)
        self._history = samplers.history(space, self.directions[0])
        self._pruner = samplers.pruner(space, self._history)
        self._study = optuna.create_study(
            storage=self._history, study_name=space.study, directions=self.directions, pruner=self._pruner
        )
        self._id = self._history.get_study_id_from_name(space.study)
        self.proposed = 0
        self.worst: dict[str, float] = {}  # the worst finite value of any trial, by objective

    def attrs(self) -> dict[str, Any]:
        """The attributes that samplers store with the study, such as their position in a sequence."""
        return self._history.get_study_system_attrs(self._id)

    def restore(self, attrs: Mapping[str, Any], trials: list[FrozenTrial]) -> None:
        """Restore the study's attributes, and every trial as it was proposed, in the order of numbers."""
        for key, value in attrs.items():
            self._history.set_study_system_attr(self._id, key, value)
        for trial in trials:
            proposed = copy.copy(trial)
            proposed.state, proposed.values, proposed.datetime_complete = TrialState.RUNNING, None, None
            proposed.user_attrs, proposed.intermediate_values = {}, {}
            proposed.system_attrs = dict(trial.system_attrs)
            self._history.create_new_trial(self._id, proposed)
        self.proposed = len(trials)

    def propose(self) -> FrozenTrial:
        """The next trial: proposed by the sampler, or a point that follows from the priors (see `hpo.space.priors`)."""
        number = self.proposed
        self._study.sampler = samplers.sampler(self._space, number)
        if point := priors.prior_point(self._space.hyperparameters, self._space.seed, number):
            self._study.enqueue_trial(point)
        # The QMC sampler warns about trials with some fixed parameters, as if the space were conditional.
        optuna.logging.set_verbosity(optuna.logging.ERROR if point else optuna.logging.WARNING)
        self._study.ask(self._distributions)
        self.proposed += 1
        return self._history.get_trial(number)

    def trials(self) -> list[FrozenTrial]:
        """The trials that the sampler sees."""
        return self._study.trials

    def prune(self, number: int, epoch: int, value: float, folds: Sequence[float]) -> bool:
        """Record an epoch of a trial: the mean of its followed metric and the values of its folds.

        Returns whether the pruner stops the trial. Call it once per epoch.
        """
        if len(folds) > 1:
            self._history.add_epoch(number, folds)
        self._history.set_trial_intermediate_value(number, epoch, value)
        with self._history.before(math.inf if self._lag is None else number - self._lag):
            return self._pruner.prune(self._study, self._history.get_trial(number))

    def replay(self, outcome: Outcome, epochs: int) -> None:
        """Record the first epochs of a trial that has ended, as `prune` did while the trial was in training."""
        number = outcome.trial.key.number
        reported, folds = self._reported(outcome)[:epochs], outcome.fold_curves.get(self._space.train.metric_key, [])
        for epoch in range(len(self._history.get_trial(number).intermediate_values), len(reported)):
            self.prune(number, epoch + 1, reported[epoch], folds[epoch] if folds else ())

    def trial_attrs(self, number: int) -> dict[str, Any]:
        """The attributes that sampler and pruner have stored with a trial."""
        return dict(self._history.get_trial(number).system_attrs)

    def tell(self, outcome: Outcome, attrs: Mapping[str, Any] | None) -> None:
        """Report the outcome of a trial to sampler and pruner.

        `attrs` are the attributes that they stored with the trial after its proposal. For a trial that was not
        proposed, `attrs` is None, and only its worst values are recorded.
        """
        if attrs is not None:
            self._tell(outcome.trial.key.number, outcome, attrs)
        curve = outcome.curves.get(self._space.train.metric_key, [])
        for name in self._space.objective_names:
            values = [outcome.values.get(name, math.nan), self.worst.get(name, math.nan)]
            values += curve if name == self._space.train.metric_key else []
            if finite := [value for value in values if math.isfinite(value)]:
                self.worst[name] = max(finite, key=partial(objectives.minimized, name))

    def _tell(self, number: int, outcome: Outcome, attrs: Mapping[str, Any]) -> None:
        state = _STATES[outcome.state]
        values = [outcome.values.get(name, math.nan) for name in self._space.objective_names]
        trial = self._history.get_trial(number)
        trial.intermediate_values = dict(enumerate(self._reported(outcome), 1))
        trial.system_attrs = {**trial.system_attrs, **attrs}
        folds = outcome.fold_curves.get(self._space.train.metric_key, []) if outcome.state == "complete" else []
        self._history.set_folds(number, folds)
        if outcome.state == "failed":
            values = [self.worst.get(name, math.nan) for name in self._space.objective_names]
            self._history.set_trial_user_attr(number, "diverged", outcome.reason)
        elif outcome.state == "pruned" and (self._space.sampler.kind == "gp" or len(values) > 1):
            # GP ignores pruned trials and would propose the same point repeatedly; TPE cannot rank them by two values.
            state = TrialState.COMPLETE
        elif outcome.state == "pruned":
            values = [trial.intermediate_values[outcome.epochs]]  # as Optuna's own `tell` does
        finite = all(map(math.isfinite, values))
        if state == TrialState.COMPLETE and not finite:
            state = TrialState.FAIL
        self._history.set_trial_state_values(number, state, values if finite else None)

    def _reported(self, outcome: Outcome) -> list[float]:
        """The epochs that the pruner has seen: all but the last one, or all of them if the trial was pruned."""
        curve = outcome.curves.get(self._space.train.metric_key, [])
        return curve if outcome.state == "pruned" else curve[:-1]
