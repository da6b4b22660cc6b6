"""The working study: what Optuna's sampler and pruner see. It lives in memory, where asking and reporting are cheap, and
follows from what is stored: proposals, and how trials ended, in the order in which that was told."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
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
    # Samplers ignore FAIL, so a configuration that diverges would come back: it is told as the worst seen.
    "failed": TrialState.COMPLETE,
}


class InMemoryStudy:
    """One study in memory. Trials are named by their numbers, which are their ids as well: there is one study."""

    def __init__(self, space: Space, lag: int | None = None) -> None:
        """With a `lag`, a trial's pruner knows just those that are older by more than so many numbers."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._lag = lag
        self._signs = [objectives.sign(name) for name in space.objective_names]
        self.directions = [StudyDirection.MINIMIZE if sign == 1 else StudyDirection.MAXIMIZE for sign in self._signs]
        self._distributions = samplers.distributions(space.hyperparameters)
        self._memory = samplers.history(space, self.directions[0])
        self._pruner = samplers.pruner(space, self._memory)
        self._study = optuna.create_study(
            storage=self._memory, study_name=space.study, directions=self.directions, pruner=self._pruner
        )
        self._id = self._memory.get_study_id_from_name(space.study)
        self.proposed = 0
        self.worst: dict[str, float] = {}  # finite value that any trial has shown, by objective

    def attrs(self) -> dict[str, Any]:
        """What samplers keep in the study, such as the place in a sequence."""
        return self._memory.get_study_system_attrs(self._id)

    def restore(self, attrs: Mapping[str, Any], trials: list[FrozenTrial]) -> None:
        """Brings back `attrs`, and every trial as it was proposed, in the order of their numbers."""
        for key, value in attrs.items():
            self._memory.set_study_system_attr(self._id, key, value)
        for trial in trials:
            again = copy.copy(trial)
            again.state, again.values, again.datetime_complete = TrialState.RUNNING, None, None
            again.user_attrs, again.intermediate_values = {}, {}
            again.system_attrs = dict(trial.system_attrs)
            self._memory.create_new_trial(self._id, again)
        self.proposed = len(trials)

    def propose(self) -> FrozenTrial:
        """The next trial, as the sampler proposes it, or with what the space expects (see `hpo.space.priors`)."""
        number = self.proposed
        self._study.sampler = samplers.sampler(self._space, number, self._memory)
        if expected := priors.expected(self._space.hyperparameters, self._space.seed, number):
            self._study.enqueue_trial(expected)
        # The sampler qmc takes it for a condition, and says so, that some parameters of such a trial are there before others.
        optuna.logging.set_verbosity(optuna.logging.ERROR if expected else optuna.logging.WARNING)
        self._study.ask(self._distributions)
        self.proposed += 1
        return self._memory.get_trial(number)

    def trials(self) -> list[FrozenTrial]:
        """All that the sampler sees."""
        return self._study.trials

    def prune(self, number: int, epoch: int, value: float, folds: Sequence[float]) -> bool:
        """Takes in an epoch of a trial that goes on, its followed metric and that of every fold; whether the pruner stops it. To be
        called once an epoch."""
        if len(folds) > 1:
            self._memory.show_epoch(number, folds)
        self._memory.set_trial_intermediate_value(number, epoch, value)
        with self._memory.before(math.inf if self._lag is None else number - self._lag):
            return self._pruner.prune(self._study, self._memory.get_trial(number))

    def replay(self, outcome: Outcome, epochs: int) -> None:
        """Takes in what a trial that has ended had shown after so many epochs, as `prune` did at the time."""
        number = int(outcome.trial.label)
        shown, folds = self._shown(outcome)[:epochs], outcome.fold_curves.get(self._space.train.metric_key, [])
        for epoch in range(len(self._memory.get_trial(number).intermediate_values), len(shown)):
            self.prune(number, epoch + 1, shown[epoch], folds[epoch] if folds else ())

    def trial_attrs(self, number: int) -> dict[str, Any]:
        """What sampler and pruner have noted in a trial."""
        return dict(self._memory.get_trial(number).system_attrs)

    def tell(self, outcome: Outcome, noted: Mapping[str, Any] | None) -> None:
        """Has sampler and pruner know how a trial ended, with what was `noted` in it; of one that was not proposed (None) only
        how bad it was."""
        if noted is not None:
            self._tell(int(outcome.trial.label), outcome, noted)
        curve = outcome.curves.get(self._space.train.metric_key, [])
        for name, sign in zip(self._space.objective_names, self._signs, strict=True):
            shown = [outcome.values.get(name, math.nan), self.worst.get(name, math.nan)]
            shown += curve if name == self._space.train.metric_key else []
            if finite := [value for value in shown if math.isfinite(value)]:
                self.worst[name] = max(finite, key=lambda value, sign=sign: value * sign)  # type: ignore[misc]

    def _tell(self, number: int, outcome: Outcome, noted: Mapping[str, Any]) -> None:
        state = _STATES[outcome.state]
        values = [outcome.values.get(name, math.nan) for name in self._space.objective_names]
        trial = self._memory.get_trial(number)
        trial.intermediate_values = dict(enumerate(self._shown(outcome), 1))
        trial.system_attrs = {**trial.system_attrs, **noted}
        folds = outcome.fold_curves.get(self._space.train.metric_key, []) if outcome.state == "complete" else []
        self._memory.show_folds(number, folds)
        if outcome.state == "failed":
            values = [self.worst.get(name, math.nan) for name in self._space.objective_names]
            self._memory.set_trial_user_attr(number, "diverged", outcome.reason)
        elif outcome.state == "pruned" and (self._space.sampler.kind == "gp" or len(values) > 1):
            # GP does not see pruned trials, and would propose the same point for ever; TPE cannot rank them by two objectives.
            state = TrialState.COMPLETE
        elif outcome.state == "pruned":
            values = [trial.intermediate_values[outcome.epochs]]  # as Optuna's own `tell` has it
        known = all(map(math.isfinite, values))
        if state == TrialState.COMPLETE and not known:
            state = TrialState.FAIL
        self._memory.set_trial_state_values(number, state, values if known else None)

    def _shown(self, outcome: Outcome) -> list[float]:
        """What the pruner was told: all epochs but the one that ended the trial, unless that is where it was pruned."""
        curve = outcome.curves.get(self._space.train.metric_key, [])
        return curve if outcome.state == "pruned" else curve[:-1]
