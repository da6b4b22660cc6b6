"""A finalist: a configuration and the outcomes of its re-evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from hpo.core import statistics
from hpo.core.metrics import METRICS, Metric
from hpo.core.trial import Outcome, Trial
from hpo.space.space import Space


@dataclass
class Finalist:
    """A configuration and the outcomes of its re-evaluation, one per draw of new splits.

    `searched` is its outcome in the search, or None if it was not a trial of the search.
    """

    trial: Trial
    space: Space
    searched: Outcome | None = None
    reevaluations: list[Outcome] = field(default_factory=list)

    @classmethod
    def from_outcome(cls, outcome: Outcome, space: Space, reevaluations: Iterable[Outcome] = ()) -> Finalist:
        """Make the finalist of a trial of the search."""
        return cls(outcome.trial, space, outcome, list(reevaluations))

    @property
    def label(self) -> str:
        """The label of its trial."""
        return self.trial.label

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes that describe its training: those of the re-evaluation or, without any, that of the search."""
        return self.reevaluations or [o for o in (self.searched,) if o]

    def scores(self, metric: str) -> np.ndarray:
        """Return the score of each re-evaluation fit, (fits,), at the epoch where the other folds of its draw stop.

        A score is NaN if the fit diverged, or if the validation rows of the fold do not define the metric. There are no
        scores if the time was up before the re-evaluation.
        """
        return np.concatenate([np.empty(0), *(self._scores(o)[f"valid_{metric}"] for o in self.reevaluations)])

    def mean(self, metric: str) -> float:
        """Return the mean of the finite scores, NaN if there are none."""
        scores = self.finite_scores(metric)
        return float(scores.mean()) if len(scores) else math.nan

    def finite_scores(self, metric: str) -> np.ndarray:
        """Return the scores of the folds that define the metric and did not diverge."""
        scores = self.scores(metric)
        finite: np.ndarray = scores[np.isfinite(scores)]
        return finite

    @property
    def gap(self) -> float:
        """The mean train–valid gap at the best epoch: of the re-evaluation or, without one, of the search. NaN if a fit
        diverged in its first epoch, so that there is no best one."""
        return float(np.mean([outcome.gap if outcome.valid else math.nan for outcome in self.outcomes]))

    @property
    def complete(self) -> bool:
        """Whether it was re-evaluated and no fit diverged."""
        return bool(self.reevaluations) and all(o.state == "complete" for o in self.reevaluations)

    @property
    def epochs(self) -> int:
        """The best number of epochs by the mean of all complete re-evaluation curves or, without any, by the search."""
        curves = [self._curves(o)[self.space.train.metric_key] for o in self.reevaluations if o.state == "complete"]
        if curves:
            return statistics.best_epoch(curves, self._metric)
        return max(1, *(o.best_epoch for o in self.outcomes))

    @property
    def _metric(self) -> Metric:
        return METRICS[self.space.train.metric]

    def _scores(self, outcome: Outcome) -> dict[str, np.ndarray]:
        curves = self._curves(outcome)
        if outcome.state == "complete":
            return statistics.scores_at_common_stop(curves, self._metric)
        return {name: np.full(curve.shape[1], np.nan) for name, curve in curves.items()}

    def _curves(self, outcome: Outcome) -> dict[str, np.ndarray]:
        return {name: np.array(curve) for name, curve in outcome.fold_curves.items()}
