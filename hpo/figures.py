"""A search as Optuna draws it: history, importances, slices, contour, Pareto front. Its study is made anew of what was trained, so
that "off" has a place on a log axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import optuna
from optuna import visualization
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.study import StudyDirection
from optuna.trial import TrialState
from plotly.graph_objects import Figure

from hpo import objectives
from hpo.scale import Scale
from hpo.space import Space
from hpo.trial import Outcome

_AMONG_BEST = 0.2  # the share of trials that importances are about
_LEAST = 15  # complete trials, so that three are among the best


class Past:
    """The complete trials of a search as a study of Optuna's, once with the score as value, once with the train–valid gap."""

    def __init__(self, space: Space, scales: Mapping[str, Scale], complete: Sequence[Outcome]) -> None:
        """`complete`: those with a value, in the order in which they were proposed."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._scales = space, scales
        self.complete = [o for o in complete if all(s.has(o.trial.params) for s in scales.values() if s.key in o.trial.params)]

    @cached_property
    def _score(self) -> optuna.Study:
        return self._study([self._space.goals[0]], lambda outcome: [outcome.value])

    @cached_property
    def _gap(self) -> optuna.Study:
        return self._study(["gap"], lambda outcome: [outcome.valid["loss"] - outcome.train["loss"]])

    def _study(self, goals: Sequence[str], values: Callable[[Outcome], Sequence[float | None]]) -> optuna.Study:
        directions = [StudyDirection.MINIMIZE if objectives.sign(goal) == 1 else StudyDirection.MAXIMIZE for goal in goals]
        study = optuna.create_study(directions=directions, study_name=self._space.study)
        study.add_trials([self._trial(outcome, values(outcome)) for outcome in self.complete])
        return study

    def _trial(self, outcome: Outcome, values: Sequence[float | None]) -> optuna.trial.FrozenTrial:
        scales = [s for s in self._scales.values() if s.key in outcome.trial.params]
        return optuna.trial.create_trial(
            state=TrialState.COMPLETE,
            values=[float(value) for value in values if value is not None],
            params={s.key: _told(s, outcome.trial.params[s.key]) for s in scales},
            distributions={s.key: _distribution(s) for s in scales},
        )

    def importances(self) -> dict[str, dict[str, float]]:
        """Of every parameter for being among the best fifth, by `score` and by `gap`, each summing to 1; {} of too few trials."""
        if len(self.complete) < _LEAST:
            return {}
        return {
            name: {k: float(v) for k, v in optuna.importance.get_param_importances(study, evaluator=_evaluator()).items()}
            for name, study in (("score", self._score), ("gap", self._gap))
        }

    def importance(self) -> Figure:
        """Both, the bars of a parameter one below the other."""
        figures = [visualization.plot_param_importances(s, evaluator=_evaluator()) for s in (self._score, self._gap)]
        figure = Figure(data=[*figures[0].data, *figures[1].data], layout=figures[0].layout)
        for bars, name in zip(figure.data, ("score", "gap"), strict=True):
            bars.name = name
        return figure

    def history(self, metric: str) -> Figure:
        return visualization.plot_optimization_history(self._score, target_name=metric)

    def slice(self, key: str, gap: bool) -> Figure:
        """The gap, or the score, of every trial against one parameter."""
        return visualization.plot_slice(self._gap if gap else self._score, params=[key])

    def contour(self, x: str, y: str, metric: str) -> Figure:
        return visualization.plot_contour(self._score, params=[x, y], target_name=metric)

    def front(self) -> Figure:
        """The front in the first two objectives."""
        goals = self._space.goals[:2]
        study = self._study(goals, lambda outcome: [outcome.values[goal] for goal in goals])
        return visualization.plot_pareto_front(study, target_names=[goal.replace("_", " ") for goal in goals])


def _evaluator() -> PedAnovaImportanceEvaluator:
    return PedAnovaImportanceEvaluator(target_quantile=_AMONG_BEST)


def _told(scale: Scale, value: Any) -> Any:
    return value if scale.choices else scale.place(value)


def _distribution(scale: Scale) -> BaseDistribution:
    if scale.choices:
        return CategoricalDistribution(scale.choices)
    return FloatDistribution(scale.low, scale.high, log=scale.log)
