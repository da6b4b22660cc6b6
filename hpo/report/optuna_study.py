"""The finished search as an Optuna study, for Optuna's importances and plots.

The study is rebuilt from the outcomes, so that "off" has a position on a logarithmic axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import optuna
from optuna import visualization
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from plotly.graph_objects import Figure
from scipy.stats import rankdata

from hpo.core import objectives
from hpo.core.trial import Outcome
from hpo.report.axis import Axis
from hpo.report.importance import Importance, summarize
from hpo.space.space import Space

_MIN_TRIALS = 15  # with fewer complete trials, importances are meaningless
_SAMPLES = 16  # bootstrap samples of the trials
_TREES = 2  # per bootstrap sample: together half of Optuna's default, for half the time


class OptunaStudy:
    """The complete trials of a search as Optuna studies."""

    def __init__(self, space: Space, axes: Mapping[str, Axis], complete: Sequence[Outcome]) -> None:
        """`complete` holds the outcomes that have a value, in the order in which they were proposed."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # Optuna warns about hyperparameters with one value
        self._space, self._axes = space, axes
        self.complete = [
            o for o in complete if all(a.covers(o.trial.params) for a in axes.values() if a.key in o.trial.params)
        ]

    @cached_property
    def _score(self) -> optuna.Study:
        return self._study([self._space.objective_names[0]], lambda i: [self.complete[i].value])

    def _study(
        self, goals: Sequence[str], values: Callable[[int], Sequence[float | None]], drawn: Sequence[int] | None = None
    ) -> optuna.Study:
        """Return a study of the complete trials at the positions `drawn` (default: all), whose values `values` maps
        from the position."""
        directions = [
            StudyDirection.MINIMIZE if objectives.lower_is_better(goal) else StudyDirection.MAXIMIZE for goal in goals
        ]
        study = optuna.create_study(directions=directions, study_name=self._space.study)
        positions = range(len(self.complete)) if drawn is None else drawn
        study.add_trials([self._trial(self.complete[i], values(i)) for i in positions])
        return study

    def _trial(self, outcome: Outcome, values: Sequence[float | None]) -> FrozenTrial:
        axes = [axis for axis in self._axes.values() if axis.key in outcome.trial.params]
        return optuna.trial.create_trial(
            state=TrialState.COMPLETE,
            values=[float(value) for value in values if value is not None],
            params={axis.key: _optuna_value(axis, outcome.trial.params[axis.key]) for axis in axes},
            distributions={axis.key: _distribution(axis) for axis in axes},
        )

    def importances(self) -> dict[str, dict[str, Importance]]:
        """Return the importance of each hyperparameter for the `score` and for the `gap`, the most important first.

        If there are too few trials, or if nearly all of them are equal, the result is {}. An importance is the share of
        the variance of the trials' ranks that a hyperparameter explains, by functional ANOVA, averaged over bootstrap
        samples of the trials. Ranks are used because a few failed trials would explain all the variance of a loss.
        Optuna's default, PED-ANOVA, is not used: it gives the highest importance to a value of one of the best trials
        that is rare among the other trials.
        """
        if len(self.complete) < _MIN_TRIALS or len(self._axes) < 2:
            return {}
        samples = {name: self._samples(ranks) for name, ranks in self._ranks.items()}
        return {name: summarize(found) for name, found in samples.items()} if all(samples.values()) else {}

    def _samples(self, ranks: Sequence[float]) -> list[dict[str, float]]:
        """Return the importances in bootstrap samples of the trials, without samples in which all ranks are equal; none
        if there are fewer than two others."""
        rng, samples = np.random.default_rng(0), []
        for seed in range(_SAMPLES):
            study = self._study(["gap"], lambda i: [ranks[i]], rng.integers(len(ranks), size=len(ranks)).tolist())
            evaluator = FanovaImportanceEvaluator(n_trees=_TREES, seed=seed)
            try:
                samples.append(_as_floats(get_param_importances(study, evaluator=evaluator)))
            except RuntimeError:  # Optuna's way to say that no tree has any variance
                continue
        return samples if len(samples) > 1 else []

    @cached_property
    def _ranks(self) -> dict[str, list[float]]:
        """The ranks of the complete trials, in their order, by `score` and by `gap`."""
        score = rankdata([float(o.value or 0.0) for o in self.complete])
        return {"score": score.tolist(), "gap": rankdata([o.gap for o in self.complete]).tolist()}

    def history(self, metric: str) -> Figure:
        return visualization.plot_optimization_history(self._score, target_name=metric)

    def contour(self, x: str, y: str, metric: str) -> Figure:
        return visualization.plot_contour(self._score, params=[x, y], target_name=metric)

    def front(self) -> Figure:
        """Plot the Pareto front of the first two objectives."""
        goals = self._space.objective_names[:2]
        study = self._study(goals, lambda i: [self.complete[i].values[goal] for goal in goals])
        return visualization.plot_pareto_front(study, target_names=[goal.replace("_", " ") for goal in goals])


def _as_floats(importances: Mapping[str, float]) -> dict[str, float]:
    return {key: float(value) for key, value in importances.items()}


def _optuna_value(axis: Axis, value: Any) -> Any:
    return value if axis.choices else axis.position(value)


def _distribution(axis: Axis) -> BaseDistribution:
    if axis.choices:
        return CategoricalDistribution(axis.choices)
    return FloatDistribution(axis.low, axis.high, log=axis.log)
