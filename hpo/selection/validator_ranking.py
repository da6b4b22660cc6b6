"""Use labelled target rows to measure how well validators, which use no target labels, rank the trials of a search."""

from __future__ import annotations

import math
from collections.abc import Iterable

from scipy.stats import spearmanr

from hpo.core.metrics import METRICS, VALIDATORS
from hpo.core.trial import Outcome
from hpo.selection.result_parts import ValidatorScore

MIN_TRIALS = 3  # with two trials, a rank correlation is always 1 or -1


def rank(outcomes: Iterable[Outcome], metric: str) -> list[ValidatorScore]:
    """Compare every computed validator with `metric`; the best rank correlation comes first.

    Only complete trials count, each at its best epoch.
    """
    complete = [o for o in outcomes if o.state == "complete" and math.isfinite(o.valid.get(metric, math.nan))]
    scores = [
        _score(name, [o for o in complete if math.isfinite(o.valid.get(name, math.nan))], metric) for name in VALIDATORS
    ]
    return sorted((score for score in scores if score), key=_order)


def _order(score: ValidatorScore) -> tuple[float, float]:
    return (math.inf, 0.0) if score.spearman is None else (-score.spearman, score.regret)


def _score(name: str, outcomes: list[Outcome], metric: str) -> ValidatorScore | None:
    if len(outcomes) < MIN_TRIALS:
        return None
    values = [METRICS[name].minimized(o.valid[name]) for o in outcomes]
    truth = [METRICS[metric].minimized(o.valid[metric]) for o in outcomes]
    chosen = min(range(len(outcomes)), key=lambda i: (values[i], outcomes[i].trial.label))
    constant = len(set(values)) == 1 or len(set(truth)) == 1
    correlation = None if constant else float(spearmanr(values, truth).statistic)
    return ValidatorScore(name, len(outcomes), correlation, outcomes[chosen].trial.label, truth[chosen] - min(truth))
