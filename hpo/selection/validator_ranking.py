"""How far criteria without labels of the other domain would have led: against what labels of it say of the same networks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scipy.stats import spearmanr

from hpo.core.metrics import METRICS, VALIDATORS
from hpo.core.trial import Outcome

_FEWEST = 3  # trials: of two, a rank correlation is a coin


@dataclass(frozen=True)
class ValidatorRanking:
    """A criterion beside the truth: Spearman's correlation of both over so many `trials`, 1 if they rank alike whatever "better" is
    for each; the trial that it would choose, and by how much the best trial is truly better (`regret`)."""

    criterion: str
    trials: int
    spearman: float
    chosen: str
    regret: float


def rank(outcomes: Iterable[Outcome], metric: str) -> list[ValidatorRanking]:
    """Every criterion that was measured, those first that rank most like `metric` does, which must be of labelled rows of the other
    domain. Trials count that came to their end, each at its best epoch."""
    whole = [o for o in outcomes if o.state == "complete" and math.isfinite(o.valid.get(metric, math.nan))]
    found = [
        _ranked(name, [o for o in whole if math.isfinite(o.valid.get(name, math.nan))], metric) for name in VALIDATORS
    ]
    return sorted((one for one in found if one), key=lambda one: (math.isnan(one.spearman), -one.spearman, one.regret))


def _ranked(name: str, outcomes: list[Outcome], metric: str) -> ValidatorRanking | None:
    if len(outcomes) < _FEWEST:
        return None
    theirs = [METRICS[name].sign * o.valid[name] for o in outcomes]
    true = [METRICS[metric].sign * o.valid[metric] for o in outcomes]
    chosen = min(range(len(outcomes)), key=lambda i: (theirs[i], outcomes[i].trial.label))
    differ = len(set(theirs)) > 1 and len(set(true)) > 1
    correlation = float(spearmanr(theirs, true).statistic) if differ else math.nan
    return ValidatorRanking(name, len(outcomes), correlation, outcomes[chosen].trial.label, true[chosen] - min(true))
