"""Statistics of the trials of a search: trends, the ridge and stacks. Pure functions of outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from hpo.core.metrics import METRICS
from hpo.core.trial import Outcome
from hpo.regularizers import STRENGTHS
from hpo.report.inputs import ReportInputs

_ALPHA = 0.05  # level of the test of a correlation
_MIN_RHO = 0.3  # the smallest absolute value of a clear correlation
MIN_TRIALS = 10  # with fewer trials, no correlation is computed
MIN_RIDGE_TRIALS = 2 * MIN_TRIALS  # with fewer trials that have weight decay, the best ones do not differ from the rest


@dataclass(frozen=True)
class Trend:
    """Spearman's rank correlation over `trials`, and its p-value."""

    rho: float
    p_value: float
    trials: int

    @property
    def is_clear(self) -> bool:
        return abs(self.rho) >= _MIN_RHO and self.p_value < _ALPHA


def trend(x: Sequence[float], y: Sequence[float]) -> Trend | None:
    """Return the rank correlation; None for too few values or if all values are equal."""
    if len(x) < MIN_TRIALS or len(set(x)) < 2 or len(set(y)) < 2:
        return None
    correlation = spearmanr(x, y)
    return Trend(float(correlation.statistic), float(correlation.pvalue), len(x))


def gap_trends(inputs: ReportInputs) -> dict[str, Trend | None]:
    """Return the correlation of the gap with each sampled hyperparameter; None for choices without an order."""
    trends: dict[str, Trend | None] = {}
    for key, axis in inputs.axes.items():
        trials = [o for o in inputs.complete_trials if axis.covers(o.trial.params)]
        is_ordered = all(isinstance(choice, int | float) for choice in axis.choices)
        values = [axis.fraction(o.trial.params[key]) for o in trials] if is_ordered else []
        trends[key] = trend(values, [o.gap for o in trials]) if is_ordered else None
    return trends


@dataclass(frozen=True)
class Ridge:
    """Learning rate and weight decay of the best quarter of the trials that have both.

    `trend` is the correlation of the two; `product` is the median of learning rate × weight decay, `low` and `high` its
    quartiles.
    """

    trend: Trend | None
    product: float
    low: float
    high: float
    trials: int

    @property
    def is_ridge(self) -> bool:
        """Whether a higher learning rate clearly goes with a lower weight decay."""
        return self.trend is not None and self.trend.is_clear and self.trend.rho < 0


def ridge(inputs: ReportInputs) -> Ridge | None:
    """Relate learning rate and weight decay; None if they were not sampled together, or in too few trials."""
    keys = ("learning_rate", "weight_decay")
    if not all(key in inputs.axes for key in keys):
        return None
    metric = METRICS[inputs.space.train.metric]
    decayed = [o for o in inputs.complete_trials if o.trial.params["weight_decay"] > 0]
    if len(decayed) < MIN_RIDGE_TRIALS:
        return None
    best = sorted(decayed, key=lambda o: metric.minimized(o.value or 0.0))[: max(MIN_TRIALS, len(decayed) // 4)]
    rate, decay = ([float(o.trial.params[key]) for o in best] for key in keys)
    low, median, high = np.quantile(np.multiply(rate, decay), (0.25, 0.5, 0.75)).tolist()
    return Ridge(trend(rate, decay), median, low, high, len(best))


@dataclass(frozen=True)
class Stack:
    """Configurations that trained as one batched program.

    `shape` holds the hyperparameters that all of them share, and `trials` is their number. If there is only one trial,
    `only_trial` is its label, otherwise "". `mean` and `peak` count the networks in training at the same time.
    """

    shape: Mapping[str, Any]
    trials: int
    mean: float
    peak: int
    only_trial: str


def stack_usage(inputs: ReportInputs) -> list[Stack]:
    """Return the stacks, the one with the most trials first.

    The networks in training are counted over all workers, by the rounds in which their trials were in training. Only
    trials within the budget are counted.
    """
    groups: dict[object, list[Outcome]] = {}
    for outcome in inputs.outcomes.values():
        if outcome.trial.in_budget:
            groups.setdefault(inputs.stack_key(outcome.trial.params), []).append(outcome)
    keys = [key for key in inputs.axes if key not in STRENGTHS and key != "learning_rate"]
    stacks = [_stack(members, keys) for members in groups.values()]
    return sorted(stacks, key=lambda stack: (-stack.trials, str(stack.shape)))


def _stack(members: Sequence[Outcome], keys: Sequence[str]) -> Stack:
    first = members[0].trial.params
    shape = {key: first.get(key) for key in keys if all(o.trial.params.get(key) == first.get(key) for o in members)}
    networks: dict[int, int] = {}  # number of networks in training, by round
    for outcome in members:
        fits = len(next(iter(outcome.fold_curves.values()), [[0]])[0]) if outcome.fold_curves else 1
        for number in range(outcome.rounds[0], outcome.rounds[1] + 1):
            networks[number] = networks.get(number, 0) + fits
    only_trial = members[0].trial.label if len(members) == 1 else ""
    return Stack(shape, len(members), float(np.mean(list(networks.values()))), max(networks.values()), only_trial)


def still_improving(trainings: Mapping[str, Outcome]) -> list[str]:
    """Return the names of the configurations whose best epoch is their last one."""
    return [name for name, outcome in trainings.items() if outcome.best_epoch >= outcome.epochs]


def best_so_far(outcomes: Sequence[Outcome], metric: str) -> list[tuple[int, float]]:
    """Return (number, score) of each trial that improved the best score."""
    minimized = METRICS[metric].minimized
    steps: list[tuple[int, float]] = []
    for outcome in outcomes:
        value = outcome.value
        if value is not None and (not steps or minimized(value) < minimized(steps[-1][1])):
            steps.append((outcome.trial.key.number, value))
    return steps
