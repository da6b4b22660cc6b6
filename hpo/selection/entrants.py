"""The configurations that enter the finals: baselines, the best trials of the search, and variants of the best."""

from __future__ import annotations

from hpo.core.metrics import METRICS
from hpo.core.trial import Outcome, Trial
from hpo.regularizers.active import active_params, active_regularization, active_strengths
from hpo.space.space import Space
from hpo.study import baselines, ranking
from hpo.study.study import Study

_NEAR = 0.03  # the distance in a range below which two values make no difference that could be measured


def variants(trial: Trial) -> list[Trial]:
    """Return a configuration without regularization, and without each of its strengths."""
    regularizing = active_regularization(trial.params)
    names = [name for name in active_strengths(trial.params) if [name] != regularizing]  # that one is the ablation
    ablation = [baselines.ablation(trial)] if regularizing else []
    return ablation + [baselines.without_strength(trial, name) for name in names]


def select_finalists(study: Study, space: Space, number: int) -> list[Outcome]:
    """Return the baselines and the best `number` trials of the search, without near-copies of better ones."""
    finalists = [study.outcomes[label] for label in ("none", "defaults")]
    for outcome in ranking.ranked(study.search_outcomes(), METRICS[space.train.metric]):
        if len(finalists) >= 2 + number:
            break
        if not any(_is_near(space, outcome.trial, finalist.trial) for finalist in finalists):
            finalists.append(outcome)
    return finalists


def _is_near(space: Space, first: Trial, second: Trial) -> bool:
    """Return whether two configurations are nearly the same: close to each other in the range of every key, with the
    same strengths on."""
    a, b = active_params(first.params), active_params(second.params)
    return a.keys() == b.keys() and all(
        abs(values.to_unit(a[key]) - values.to_unit(b[key])) < _NEAR if values.numeric else a[key] == b[key]
        for key, values in space.hyperparameters.items()
        if values.sampled and key in a
    )
