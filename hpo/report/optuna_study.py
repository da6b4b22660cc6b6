"""The finished search as an Optuna study, for Optuna's importances and plots.

The study is rebuilt from the outcomes, so that "off" has a position on a logarithmic axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import optuna
from optuna import visualization
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from plotly.graph_objects import Figure
from scipy.stats import rankdata

from hpo.core import objectives
from hpo.core.trial import Outcome
from hpo.report.axis import Axis
from hpo.space.space import Space

_MIN_TRIALS = 15  # with fewer complete trials, importances are meaningless
_TREES = 32  # half of Optuna's default, for half the time


class OptunaStudy:
    """The complete trials of a search as Optuna studies, whose value is the score or the train–valid gap."""

    def __init__(self, space: Space, axes: Mapping[str, Axis], complete: Sequence[Outcome]) -> None:
        """`complete` holds the outcomes that have a value, in the order in which they were proposed."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # Optuna warns about hyperparameters with one value
        self._space, self._axes = space, axes
        self.complete = [
            o for o in complete if all(a.covers(o.trial.params) for a in axes.values() if a.key in o.trial.params)
        ]

    @cached_property
    def _score(self) -> optuna.Study:
        return self._study([self._space.objective_names[0]], lambda outcome: [outcome.value])

    @cached_property
    def _gap(self) -> optuna.Study:
        return self._study(["gap"], lambda outcome: [outcome.gap])

    def _study(self, goals: Sequence[str], values: Callable[[Outcome], Sequence[float | None]]) -> optuna.Study:
        directions = [
            StudyDirection.MINIMIZE if objectives.lower_is_better(goal) else StudyDirection.MAXIMIZE for goal in goals
        ]
        study = optuna.create_study(directions=directions, study_name=self._space.study)
        study.add_trials([self._trial(outcome, values(outcome)) for outcome in self.complete])
        return study

    def _trial(self, outcome: Outcome, values: Sequence[float | None]) -> FrozenTrial:
        axes = [axis for axis in self._axes.values() if axis.key in outcome.trial.params]
        return optuna.trial.create_trial(
            state=TrialState.COMPLETE,
            values=[float(value) for value in values if value is not None],
            params={axis.key: _optuna_value(axis, outcome.trial.params[axis.key]) for axis in axes},
            distributions={axis.key: _distribution(axis) for axis in axes},
        )

    def importances(self) -> dict[str, dict[str, float]]:
        """Return the importance of each hyperparameter for the `score` and for the `gap`, the most important first.

        The importances for each of the two sum to 1. If there are too few trials, the result is {}. An importance is
        the share of the variance of the trials' ranks that a hyperparameter explains, by functional ANOVA. Ranks are
        used because a few failed trials would explain all the variance of a loss. Optuna's default, PED-ANOVA, is not
        used: it gives the highest importance to a value of one of the best trials that is rare among the other trials.
        """
        if len(self.complete) < _MIN_TRIALS or len(self._axes) < 2:
            return {}
        return {
            name: _as_floats(get_param_importances(study, evaluator=self._evaluator))
            for name, study in self._ranked.items()
        }

    @cached_property
    def _ranked(self) -> dict[str, optuna.Study]:
        values = {
            "score": [float(o.value or 0.0) for o in self.complete],
            "gap": [o.gap for o in self.complete],
        }
        ranks = {
            name: dict(zip((o.trial.label for o in self.complete), rankdata(scores).tolist(), strict=True))
            for name, scores in values.items()
        }
        return {name: self._ranked_study(rank) for name, rank in ranks.items()}

    def _ranked_study(self, rank: Mapping[str, float]) -> optuna.Study:
        return self._study(["gap"], lambda outcome: [rank[outcome.trial.label]])

    @property
    def _evaluator(self) -> FanovaImportanceEvaluator:
        return FanovaImportanceEvaluator(n_trees=_TREES, seed=0)

    def importance(self, importances: Mapping[str, Mapping[str, float]]) -> Figure:
        """Plot the result of `importances`, with both bars of a hyperparameter next to each other."""
        figures = [
            visualization.plot_param_importances(study, evaluator=_FixedImportances(importances[name]))
            for name, study in self._ranked.items()
        ]
        figure = Figure(data=[*figures[0].data, *figures[1].data], layout=figures[0].layout)
        for bars, name in zip(figure.data, importances, strict=True):
            bars.name = name
        return figure

    def history(self, metric: str) -> Figure:
        return visualization.plot_optimization_history(self._score, target_name=metric)

    def slice(self, key: str, gap: bool) -> Figure:
        """Plot the gap or the score of each trial against one hyperparameter."""
        return visualization.plot_slice(self._gap if gap else self._score, params=[key])

    def contour(self, x: str, y: str, metric: str) -> Figure:
        return visualization.plot_contour(self._score, params=[x, y], target_name=metric)

    def front(self) -> Figure:
        """Plot the Pareto front of the first two objectives."""
        goals = self._space.objective_names[:2]
        study = self._study(goals, lambda outcome: [outcome.values[goal] for goal in goals])
        return visualization.plot_pareto_front(study, target_names=[goal.replace("_", " ") for goal in goals])


class _FixedImportances(BaseImportanceEvaluator):
    """Importances that are already known, so that Optuna's plot does not compute them again."""

    def __init__(self, importances: Mapping[str, float]) -> None:
        self._importances = importances

    def evaluate(
        self,
        study: optuna.Study,
        params: list[str] | None = None,
        *,
        target: Callable[[FrozenTrial], float] | None = None,
    ) -> dict[str, float]:
        del study, params, target
        return dict(self._importances)


def _as_floats(importances: Mapping[str, float]) -> dict[str, float]:
    return {key: float(value) for key, value in importances.items()}


def _optuna_value(axis: Axis, value: Any) -> Any:
    return value if axis.choices else axis.position(value)


def _distribution(axis: Axis) -> BaseDistribution:
    if axis.choices:
        return CategoricalDistribution(axis.choices)
    return FloatDistribution(axis.low, axis.high, log=axis.log)
