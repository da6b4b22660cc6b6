"""Statistics of the trials of a search: gap, amount of regularization, trends and stacks. Pure functions of
outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.stats import spearmanr

from hpo.core.metrics import METRICS
from hpo.core.trial import Outcome
from hpo.regularizers import FAMILY, STRENGTHS
from hpo.report.inputs import ReportInputs
from hpo.space import regularization

_ALPHA = 0.05  # level of the test of a correlation
_MIN_RHO = 0.3  # the smallest absolute value of a clear correlation
MIN_TRIALS = 10  # with fewer trials, no correlation is computed
_BOUND_MARGIN = 0.05  # share of a range: a value this close to a bound counts as being at the bound
_SMALL_GAP = 0.1  # share of the validation loss, below which a gap is too small to matter

Standing = Literal["over", "under", "well", "little"]


@dataclass(frozen=True)
class Trend:
    """Spearman's rank correlation over `trials`, and its p-value."""

    rho: float
    p_value: float
    trials: int

    @property
    def is_clear(self) -> bool:
        return abs(self.rho) >= _MIN_RHO and self.p_value < _ALPHA


@dataclass(frozen=True)
class Balance:
    """Whether the selected configuration is over- or under-regularized, with the numbers behind it.

    `gap` and `gap_without` (the gap without regularization) were measured in the search; `gap_share` is `gap` relative
    to the validation loss. `trend` correlates the amount of regularization with the score among the better half of the
    trials; if it is negative, more regularization goes with better scores. `amount` is the amount of regularization of
    the selected configuration, `best_amount` its median over the best tenth of the trials. `at_bounds` are strengths at
    the most regularized end of their ranges.
    """

    standing: Standing
    gap: float
    gap_without: float | None
    gap_share: float
    trend: Trend | None
    amount: float
    best_amount: float | None
    at_bounds: tuple[str, ...]


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


def balance(inputs: ReportInputs) -> Balance:
    """Compare the selected configuration with the other trials and with its ablation."""
    metric, hyperparameters = METRICS[inputs.space.train.metric], inputs.space.hyperparameters
    ranked = sorted(inputs.complete_trials, key=lambda o: metric.minimized(o.value or 0.0))
    amounts = {
        o.trial.label: regularization.amount(hyperparameters, o.trial.params) for o in [*ranked, inputs.selected]
    }
    half = ranked[: math.ceil(len(ranked) / 2)]
    amount_trend = trend([amounts[o.trial.label] for o in half], [metric.minimized(o.value or 0.0) for o in half])
    tenth = [amounts[o.trial.label] for o in ranked[: math.ceil(len(ranked) / 10)]]
    ablation = inputs.result.baselines.get("ablation")
    numbers = Balance(
        standing="well",
        gap=inputs.selected.gap,
        gap_without=ablation.gap if ablation else None,
        gap_share=_share_of_loss(inputs, inputs.selected.gap),
        trend=amount_trend,
        amount=amounts[inputs.selected.trial.label],
        best_amount=float(np.median(tenth)) if tenth else None,
        at_bounds=_at_bounds(inputs),
    )
    return replace(numbers, standing=_standing(inputs, numbers))


def _standing(inputs: ReportInputs, balance: Balance) -> Standing:
    """Judge the amount of regularization.

    The result is "over" if the ablation is significantly better, or if less regularization goes with better scores. It
    is "under" if more regularization goes with better scores, or if a strength is at the end of its range and there is
    a gap. It is "little" if the gap is too small to matter, otherwise "well".
    """
    effect = inputs.result.regularization
    ablation_is_better = bool(effect and effect.significant and effect.gain is not None and effect.gain < 0)
    best = balance.best_amount
    rho = balance.trend.rho if balance.trend and balance.trend.is_clear and best is not None else 0.0
    if ablation_is_better or (rho > 0 and best is not None and balance.amount > best):
        return "over"
    has_gap_at_bound = balance.at_bounds and balance.gap_share > _SMALL_GAP
    if (rho < 0 and best is not None and balance.amount < best) or has_gap_at_bound:
        return "under"
    without = balance.gap_without
    if (balance.gap_share if without is None else _share_of_loss(inputs, without)) < _SMALL_GAP:
        return "little"
    return "well"


def _share_of_loss(inputs: ReportInputs, gap: float) -> float:
    """Return a gap relative to the validation loss of the selected configuration; 0 if that loss is 0."""
    loss = inputs.selected.valid["loss"]
    return gap / loss if loss > 0 else 0.0


def _at_bounds(inputs: ReportInputs) -> tuple[str, ...]:
    params, keys = inputs.result.selected, []
    for key in inputs.strengths:
        axis = inputs.axes[key]
        if not FAMILY[key].direction or axis.choices or not axis.covers(params) or axis.is_off(params[key]):
            continue  # without a direction, neither end is the most regularized
        fraction = axis.fraction(params[key])
        if (fraction if FAMILY[key].direction > 0 else 1 - fraction) >= 1 - _BOUND_MARGIN:
            keys.append(key)
    return tuple(keys)


def best_on_and_off(inputs: ReportInputs) -> dict[str, tuple[float, float]]:
    """Return the best scores (with the strength, without it) by strength.

    Only strengths that were on in some complete trials and off in others are included.
    """
    metric, best = METRICS[inputs.space.train.metric], {}
    for key in inputs.strengths:
        on: list[float] = []
        off: list[float] = []
        for outcome in inputs.complete_trials:
            value = outcome.trial.params.get(key, STRENGTHS[key].default_value)
            (off if STRENGTHS[key].is_off(value) else on).append(metric.minimized(outcome.value or 0.0))
        if on and off:
            best[key] = (metric.minimized(min(on)), metric.minimized(min(off)))
    return best


def droppable(inputs: ReportInputs) -> list[str]:
    """Return the strengths that can be off at the cost of at most one standard error of the re-evaluated score.

    The cost is the difference in score between the best trial with the strength and the best one without it. If there
    was no re-evaluation, the list is empty.
    """
    finalist = inputs.result.finalists.get(inputs.result.trial)
    error = finalist.standard_error if finalist else None
    if error is None:
        return []
    metric = METRICS[inputs.space.train.metric]
    return [key for key, (on, off) in best_on_and_off(inputs).items() if metric.minimized(off - on) <= error]


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
    best = sorted(decayed, key=lambda o: metric.minimized(o.value or 0.0))[: max(MIN_TRIALS, len(decayed) // 4)]
    if len(best) < MIN_TRIALS:
        return None
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


def best_so_far(outcomes: Sequence[Outcome], metric: str) -> list[tuple[int, float]]:
    """Return (number, score) of each trial that improved the best score."""
    minimized = METRICS[metric].minimized
    steps: list[tuple[int, float]] = []
    for outcome in outcomes:
        value = outcome.value
        if value is not None and (not steps or minimized(value) < minimized(steps[-1][1])):
            steps.append((outcome.trial.key.number, value))
    return steps
