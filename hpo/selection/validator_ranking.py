"""How well validators, which use no target labels, rank the trials of a search, judged by labelled target rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scipy.stats import spearmanr

from hpo.core.metrics import METRICS, VALIDATORS
from hpo.core.trial import Outcome

MIN_TRIALS = 3  # with two trials, a rank correlation is always 1 or -1


@dataclass(frozen=True)
class ValidatorRanking:
    """A validator compared with a metric of labelled target rows over `trials` trials.

    `spearman` is the rank correlation, 1 if both rank the trials alike (whether higher or lower values are better).
    `chosen` is the trial with the best value of the validator; `regret` is by how much the best trial is better in the
    metric.
    """

    validator: str
    trials: int
    spearman: float
    chosen: str
    regret: float


def rank(outcomes: Iterable[Outcome], metric: str) -> list[ValidatorRanking]:
    """Compare every validator that was computed with `metric`, best rank correlation first.

    Only complete trials count, each at its best epoch.
    """
    complete = [o for o in outcomes if o.state == "complete" and math.isfinite(o.valid.get(metric, math.nan))]
    rankings = [
        _compare(name, [o for o in complete if math.isfinite(o.valid.get(name, math.nan))], metric)
        for name in VALIDATORS
    ]
    return sorted((r for r in rankings if r), key=lambda r: (math.isnan(r.spearman), -r.spearman, r.regret))


def _compare(name: str, outcomes: list[Outcome], metric: str) -> ValidatorRanking | None:
    if len(outcomes) < MIN_TRIALS:
        return None
    values = [METRICS[name].minimised(o.valid[name]) for o in outcomes]
    truth = [METRICS[metric].minimised(o.valid[metric]) for o in outcomes]
    chosen = min(range(len(outcomes)), key=lambda i: (values[i], outcomes[i].trial.label))
    constant = len(set(values)) == 1 or len(set(truth)) == 1
    correlation = math.nan if constant else float(spearmanr(values, truth).statistic)
    return ValidatorRanking(name, len(outcomes), correlation, outcomes[chosen].trial.label, truth[chosen] - min(truth))
