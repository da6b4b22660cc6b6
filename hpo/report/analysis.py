"""What the trials of a search say about regularization: pure functions of outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import spearmanr

from hpo.core.metrics import METRICS
from hpo.core.trial import Outcome
from hpo.regularizers import FAMILY, STRENGTHS
from hpo.report.inputs import ReportInputs, gap
from hpo.space import regularization
from hpo.study import ranking

_SURE = 0.05  # the chance of a correlation as strong where there is none
_STRONG = 0.3
_FEW = 10  # trials, below which nothing is said
_EDGE = 0.05  # of a range
_SMALL = 0.1  # of the validation loss

Standing = Literal["over", "under", "well", "little"]


@dataclass(frozen=True)
class Trend:
    """Spearman's rank correlation over so many trials, and the chance of one as strong where there is none."""

    rho: float
    chance: float
    trials: int

    @property
    def clear(self) -> bool:
        return abs(self.rho) >= _STRONG and self.chance < _SURE


@dataclass(frozen=True)
class Balance:
    """Whether the selected configuration is over- or under-regularized, and by which numbers.

    `gap` and `gap_without` regularization are of the search, `share` is the gap's of the validation loss; `trend` is of amount
    of regularization and score (negative: more is better) among the better half; `amount` is the selected one's, `best` the median
    of the best tenth; `edges` are strengths at the most regularized end of their ranges.
    """

    standing: Standing
    gap: float
    gap_without: float | None
    share: float
    trend: Trend | None
    amount: float
    best: float | None
    edges: tuple[str, ...]


def trend(x: Sequence[float], y: Sequence[float]) -> Trend | None:
    """None of too few values, or of values that are all the same."""
    if len(x) < _FEW or len(set(x)) < 2 or len(set(y)) < 2:
        return None
    found = spearmanr(x, y)
    return Trend(float(found.statistic), float(found.pvalue), len(x))


def gap_trends(material: ReportInputs) -> dict[str, Trend | None]:
    """Of every sampled parameter, how the gap goes with it; none for choices that have no order."""
    found: dict[str, Trend | None] = {}
    for key, scale in material.scales.items():
        trials = [o for o in material.complete if scale.has(o.trial.params)]
        ordered = all(isinstance(c, int | float) for c in scale.choices)
        found[key] = (
            trend([scale.share(o.trial.params[key]) for o in trials], [gap(o) for o in trials]) if ordered else None
        )
    return found


def balance(material: ReportInputs) -> Balance:
    sign, domains = METRICS[material.space.train.metric].sign, material.space.hyperparameters
    whole = sorted(material.complete, key=lambda o: sign * (o.value or 0.0))
    amounts = {o.trial.label: regularization.amount(domains, o.trial.params) for o in [*whole, material.selected]}
    half = whole[: math.ceil(len(whole) / 2)]
    along = trend([amounts[o.trial.label] for o in half], [sign * (o.value or 0.0) for o in half])
    tenth = [amounts[o.trial.label] for o in whole[: math.ceil(len(whole) / 10)]]
    best = float(np.median(tenth)) if tenth else None
    mine = gap(material.selected)
    without = material.result["baselines"].get("ablation")
    gap_without = without["valid"]["loss"] - without["train"]["loss"] if without and without["valid"] else None
    share = _share(material, mine)
    amount = amounts[material.selected.trial.label]
    found = Balance("well", mine, gap_without, share, along, amount, best, _edges(material))
    return Balance(**{**vars(found), "standing": _standing(material, found)})


def _standing(material: ReportInputs, found: Balance) -> Standing:
    """Over: the same without regularization is better beyond noise, or less of it goes with better scores. Under: more of it goes with
    better scores, or a strength ends where its range does and there is a gap. Little: there is no gap worth closing."""
    gained = material.result["regularization"]
    lost = bool(gained and gained["beyond_noise"] and gained["gain"] is not None and gained["gain"] < 0)
    pull = found.trend.rho if found.trend and found.trend.clear and found.best is not None else 0.0
    if lost or (pull > 0 and found.best is not None and found.amount > found.best):
        return "over"
    if (pull < 0 and found.best is not None and found.amount < found.best) or (found.edges and found.share > _SMALL):
        return "under"
    if (found.share if found.gap_without is None else _share(material, found.gap_without)) < _SMALL:
        return "little"
    return "well"


def _share(material: ReportInputs, of: float) -> float:
    """Of the selected configuration's validation loss; none of a loss that is zero."""
    loss = material.selected.valid["loss"]
    return of / loss if loss > 0 else 0.0


def _edges(material: ReportInputs) -> tuple[str, ...]:
    params, found = material.result["selected"], []
    for key in material.strengths:
        scale = material.scales[key]
        if not FAMILY[key].direction or scale.choices or not scale.has(params) or scale.is_off(params[key]):
            continue  # without a direction no end is the most regularized
        share = scale.share(params[key])
        if (share if FAMILY[key].direction > 0 else 1 - share) >= 1 - _EDGE:
            found.append(key)
    return tuple(found)


def without(material: ReportInputs) -> dict[str, tuple[float, float]]:
    """Of every strength that was off in some complete trials and on in others: the best scores with it, and without it."""
    sign, found = METRICS[material.space.train.metric].sign, {}
    for key in material.strengths:
        on: list[float] = []
        off: list[float] = []
        for outcome in material.complete:
            value = outcome.trial.params.get(key, STRENGTHS[key].default_value)
            (off if value == STRENGTHS[key].default_value else on).append(sign * (outcome.value or 0.0))
        if on and off:
            found[key] = (sign * min(on), sign * min(off))
    return found


def droppable(material: ReportInputs) -> list[str]:
    """The strengths without which the best score is worse by less than the standard error of the selected one's fresh score; none
    where that is not known."""
    known = material.result["finalists"].get(material.result["trial"], {}).get("standard_error")
    if known is None:
        return []
    sign = METRICS[material.space.train.metric].sign
    return [key for key, (on, off) in without(material).items() if sign * (off - on) <= known]


@dataclass(frozen=True)
class Ridge:
    """Learning rate and weight decay among the best quarter of the trials that have both: how they go together, and what their
    product is, with its quartiles."""

    trend: Trend | None
    product: float
    low: float
    high: float
    trials: int

    @property
    def is_one(self) -> bool:
        """Whether the higher the one, the lower the other."""
        return self.trend is not None and self.trend.clear and self.trend.rho < 0


def ridge(material: ReportInputs) -> Ridge | None:
    """None where they were not sampled together, or too seldom."""
    keys = ("learning_rate", "weight_decay")
    if not all(key in material.scales for key in keys):
        return None
    sign = METRICS[material.space.train.metric].sign
    having = [o for o in material.complete if o.trial.params["weight_decay"] > 0]
    best = sorted(having, key=lambda o: sign * (o.value or 0.0))[: max(_FEW, len(having) // 4)]
    if len(best) < _FEW:
        return None
    rate, decay = ([float(o.trial.params[key]) for o in best] for key in keys)
    low, middle, high = np.quantile(np.multiply(rate, decay), (0.25, 0.5, 0.75)).tolist()
    return Ridge(trend(rate, decay), middle, low, high, len(best))


@dataclass(frozen=True)
class Stack:
    """Configurations that trained together: the parameters that all of them share, how many trials these were (`only`: the one), and how many
    networks were in training at once, on average and at most."""

    shape: Mapping[str, Any]
    trials: int
    mean: float
    most: int
    only: str


def stacks(material: ReportInputs) -> list[Stack]:
    """By the rounds in which the trials of the budget were in training, over all workers; the largest first."""
    groups: dict[object, list[Outcome]] = {}
    for outcome in material.outcomes.values():
        if outcome.trial.in_budget:
            groups.setdefault(material.alike(outcome.trial.params), []).append(outcome)
    sampled = [key for key in material.scales if key not in STRENGTHS and key != "learning_rate"]
    found: list[Stack] = []
    for members in groups.values():
        first = members[0].trial.params
        shape = {
            key: first.get(key) for key in sampled if all(o.trial.params.get(key) == first.get(key) for o in members)
        }
        rows: dict[int, int] = {}
        for outcome in members:
            fits = len(next(iter(outcome.fold_curves.values()), [[0]])[0]) if outcome.fold_curves else 1
            for moment in range(outcome.rounds[0], outcome.rounds[1] + 1):
                rows[moment] = rows.get(moment, 0) + fits
        found.append(
            Stack(
                shape,
                len(members),
                float(np.mean(list(rows.values()))),
                max(rows.values()),
                members[0].trial.label if len(members) == 1 else "",
            )
        )
    return sorted(found, key=lambda s: (-s.trials, str(s.shape)))


def best_score(outcomes: Sequence[Outcome], metric: str) -> list[tuple[int, float]]:
    """After which trials the best score so far was a better one: (its number, the score)."""
    sign = METRICS[metric].sign
    found: list[tuple[int, float]] = []
    for outcome in outcomes:
        value = outcome.value
        if value is not None and (not found or sign * value < sign * found[-1][1]):
            found.append((int(outcome.trial.label), value))
    return found


def regularized(material: ReportInputs) -> bool:
    """Whether any strength of the selected configuration is on."""
    return ranking.regularized(material.result["selected"])
