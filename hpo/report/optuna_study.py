"""A search as Optuna draws it: history, importances, slices, contour, Pareto front. Its study is made anew of what was trained, so
that "off" has a place on a log axis."""

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
from hpo.report.axis import Scale
from hpo.space.space import Space

_LEAST = 15  # complete trials, below which a forest explains nothing
_TREES = 32  # half of Optuna's own number, in half the time


class Past:
    """The complete trials of a search as a study of Optuna's, once with the score as value, once with the train–valid gap."""

    def __init__(self, space: Space, scales: Mapping[str, Scale], complete: Sequence[Outcome]) -> None:
        """`complete`: those with a value, in the order in which they were proposed."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # that a parameter had one value is no news of its own
        self._space, self._scales = space, scales
        self.complete = [
            o for o in complete if all(s.has(o.trial.params) for s in scales.values() if s.key in o.trial.params)
        ]

    @cached_property
    def _score(self) -> optuna.Study:
        return self._study([self._space.objective_names[0]], lambda outcome: [outcome.value])

    @cached_property
    def _gap(self) -> optuna.Study:
        return self._study(["gap"], lambda outcome: [outcome.valid["loss"] - outcome.train["loss"]])

    def _study(self, goals: Sequence[str], values: Callable[[Outcome], Sequence[float | None]]) -> optuna.Study:
        directions = [
            StudyDirection.MINIMIZE if objectives.sign(goal) == 1 else StudyDirection.MAXIMIZE for goal in goals
        ]
        study = optuna.create_study(directions=directions, study_name=self._space.study)
        study.add_trials([self._trial(outcome, values(outcome)) for outcome in self.complete])
        return study

    def _trial(self, outcome: Outcome, values: Sequence[float | None]) -> FrozenTrial:
        scales = [s for s in self._scales.values() if s.key in outcome.trial.params]
        return optuna.trial.create_trial(
            state=TrialState.COMPLETE,
            values=[float(value) for value in values if value is not None],
            params={s.key: _told(s, outcome.trial.params[s.key]) for s in scales},
            distributions={s.key: _distribution(s) for s in scales},
        )

    def importances(self) -> dict[str, dict[str, float]]:
        """Of every parameter, which share of the variance of the trials' ranks it explains, by `score` and by `gap`, each summing to 1,
        the most important first; {} of too few trials.

        By functional ANOVA. Of ranks, since a few trials that went astray would explain all the variance of a loss; and not by Optuna's
        default, PED-ANOVA, which calls a value most important that one of the best trials and hardly another has had.
        """
        if len(self.complete) < _LEAST or len(self._scales) < 2:
            return {}
        return {
            name: _normed(get_param_importances(study, evaluator=self._evaluator))
            for name, study in self._ranked.items()
        }

    @cached_property
    def _ranked(self) -> dict[str, optuna.Study]:
        by = {
            "score": [float(o.value or 0.0) for o in self.complete],
            "gap": [o.valid["loss"] - o.train["loss"] for o in self.complete],
        }
        ranks = {
            name: dict(zip((o.trial.label for o in self.complete), rankdata(values).tolist(), strict=True))
            for name, values in by.items()
        }
        return {name: self._study(["gap"], lambda o, own=own: [own[o.trial.label]]) for name, own in ranks.items()}  # type: ignore[misc]

    @property
    def _evaluator(self) -> FanovaImportanceEvaluator:
        return FanovaImportanceEvaluator(n_trees=_TREES, seed=0)

    def importance(self, found: Mapping[str, Mapping[str, float]]) -> Figure:
        """What `importances` has found, the bars of a parameter one below the other."""
        figures = [
            visualization.plot_param_importances(study, evaluator=_Known(found[name]))
            for name, study in self._ranked.items()
        ]
        figure = Figure(data=[*figures[0].data, *figures[1].data], layout=figures[0].layout)
        for bars, name in zip(figure.data, found, strict=True):
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
        goals = self._space.objective_names[:2]
        study = self._study(goals, lambda outcome: [outcome.values[goal] for goal in goals])
        return visualization.plot_pareto_front(study, target_names=[goal.replace("_", " ") for goal in goals])


class _Known(BaseImportanceEvaluator):
    """Importances that have been computed: Optuna's plot would compute them again."""

    def __init__(self, found: Mapping[str, float]) -> None:
        self._found = found

    def evaluate(
        self,
        study: optuna.Study,
        params: list[str] | None = None,
        *,
        target: Callable[[FrozenTrial], float] | None = None,
    ) -> dict[str, float]:
        del study, params, target
        return dict(self._found)


def _normed(found: Mapping[str, float]) -> dict[str, float]:
    return {key: float(value) for key, value in found.items()}


def _told(scale: Scale, value: Any) -> Any:
    return value if scale.choices else scale.place(value)


def _distribution(scale: Scale) -> BaseDistribution:
    if scale.choices:
        return CategoricalDistribution(scale.choices)
    return FloatDistribution(scale.low, scale.high, log=scale.log)
