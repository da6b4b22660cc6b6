"""Whether the selected configuration is over- or under-regularized, judged by the re-evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hpo.core.metrics import METRICS
from hpo.core.trial import Outcome
from hpo.regularizers import FAMILY
from hpo.regularizers.active import is_regularized
from hpo.report.analysis import Trend, trend
from hpo.report.inputs import ReportInputs
from hpo.selection.result_parts import ExpectedGain
from hpo.space import regularization

_BOUND_MARGIN = 0.05  # share of a range: a value this close to a bound counts as being at the bound
_SMALL_GAP = 0.1  # share of the validation loss, below which a gap is too small to matter

Standing = Literal[
    "over",  # it is measurably better without regularization, or without one of its strengths
    "more",  # regularization helps measurably, and more of it goes with better scores
    "less",  # regularization helps measurably, and less of it goes with better scores
    "well",  # regularization helps measurably, and neither more nor less of it goes with better scores
    "helps",  # regularization helps measurably; too few trials for a trend
    "little",  # no measurable effect, and little overfitting without regularization
    "unclear",  # no measurable effect, although there is overfitting without regularization
    "none",  # it has no regularization, and the re-evaluated configurations with some are clearly not better
    "none_unclear",  # it has no regularization, and whether those with some are better is uncertain
    "unmeasured",  # the effect of regularization was not measured
]


@dataclass(frozen=True)
class Balance:
    """The standing of the selected configuration, and the numbers behind it.

    `effect` is its gain over the same configuration without regularization; `harmful` are the strengths without which
    it is measurably better. `gap` is its train–valid gap, and `gap_without` that without regularization; the shares are
    relative to its validation loss. `trend` correlates the amount of regularization with the score among the better
    half of the trials; if it is negative, more regularization goes with better scores. `amount` is the amount of
    regularization of the selected configuration, `best_amount` its median over the best tenth of the trials.
    `at_bounds` are strengths at the most regularized end of their ranges.
    """

    standing: Standing
    effect: ExpectedGain | None
    harmful: tuple[str, ...]
    gap: float | None
    gap_without: float | None
    gap_share: float
    gap_share_without: float
    trend: Trend | None
    amount: float
    best_amount: float | None
    at_bounds: tuple[str, ...]


def balance(inputs: ReportInputs) -> Balance:
    """Judge the selected configuration by its ablation and, where that shows an effect, by the other trials."""
    result = inputs.result
    selected, ablation = result.configurations["selected"], result.baselines.get("ablation")
    loss = (selected.reevaluated or selected.valid).get("loss")
    gap_without = ablation.gap if ablation else None
    amount = regularization.amount(inputs.space.hyperparameters, result.selected)
    amount_trend, best_amount = _amounts(inputs)
    bounds, harmful = _at_bounds(inputs), _harmful(inputs)
    share, share_without = (gap / loss if gap is not None and loss else 0.0 for gap in (selected.gap, gap_without))
    return Balance(
        standing=_standing(
            inputs,
            harmful,
            share_without if gap_without is not None else share,
            _direction(amount_trend, amount, best_amount, at_bound=bool(bounds) and share > _SMALL_GAP),
        ),
        effect=result.regularization,
        harmful=harmful,
        gap=selected.gap,
        gap_without=gap_without,
        gap_share=share,
        gap_share_without=share_without,
        trend=amount_trend,
        amount=amount,
        best_amount=best_amount,
        at_bounds=bounds,
    )


def _standing(
    inputs: ReportInputs,
    harmful: Sequence[str],
    overfitting: float,
    direction: Literal["more", "less", "well", "helps"],
) -> Standing:
    """Judge by the measured effect of regularization. `overfitting` is the gap without regularization as a share of the
    loss; `direction`, which comes from the trials of the search, only counts if regularization helps measurably."""
    effect = inputs.result.regularization
    if not is_regularized(inputs.result.selected):
        return _without_regularization(inputs)
    if effect is None:
        return "unmeasured"
    if effect.high < 0 or harmful:
        return "over"
    if effect.low > 0:
        return direction
    return "little" if overfitting < _SMALL_GAP else "unclear"


def _direction(
    trend: Trend | None, amount: float, best_amount: float | None, at_bound: bool
) -> Literal["more", "less", "well", "helps"]:
    """Return what the trials of the search say about more or less regularization than the selected configuration has;
    `at_bound` is whether a strength is at the end of its range although there is a gap."""
    rho = trend.rho if trend and trend.is_clear and best_amount is not None else 0.0
    if at_bound or (rho < 0 and best_amount is not None and amount < best_amount):
        return "more"
    if rho > 0 and best_amount is not None and amount > best_amount:
        return "less"
    return "well" if trend else "helps"


def _without_regularization(inputs: ReportInputs) -> Standing:
    """Judge a selected configuration that has no regularization by the re-evaluated configurations that have some."""
    finalists, selected = inputs.result.finalists, inputs.result.finalists.get(inputs.result.trial)
    gains = [
        scores.gain
        for label, scores in finalists.items()
        if scores.gain is not None and is_regularized(inputs.training(label).trial.params)
    ]
    if selected is None or selected.gain is None or not gains:
        return "unmeasured"
    return "none" if max(gain.high for gain in gains) < selected.gain.gain else "none_unclear"


def _harmful(inputs: ReportInputs) -> tuple[str, ...]:
    return tuple(key for key, gain in inputs.result.contributions.items() if gain.high < 0)


def _amounts(inputs: ReportInputs) -> tuple[Trend | None, float | None]:
    """Return the correlation of the amount of regularization with the score among the better half of the complete
    trials, and the median amount of the best tenth."""
    metric, hyperparameters = METRICS[inputs.space.train.metric], inputs.space.hyperparameters

    def score(outcome: Outcome) -> float:
        return metric.minimized(outcome.value or 0.0)

    ranked = sorted(inputs.complete_trials, key=score)
    amounts = [regularization.amount(hyperparameters, o.trial.params) for o in ranked]
    half, tenth = math.ceil(len(ranked) / 2), math.ceil(len(ranked) / 10)
    best = float(np.median(amounts[:tenth])) if ranked else None
    return trend(amounts[:half], list(map(score, ranked[:half]))), best


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
