"""The finals: the best trials and the baselines are re-evaluated on new splits and seeds for the selection."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hpo.core import selection_rules as rules
from hpo.core import statistics
from hpo.core.metrics import METRICS, Metric
from hpo.core.samples import Samples
from hpo.core.selection_rules import SELECTION_RULES, Candidate
from hpo.core.trial import Outcome, Trial
from hpo.data.dataset import Dataset
from hpo.regularizers.active import active_params
from hpo.space import regularization
from hpo.space.space import Space
from hpo.study import ranking, seeds
from hpo.study.study import Study
from hpo.training.builder import NetworkBuilder

TrainFixed = Callable[[Sequence[Trial], Callable[[], Samples]], None]
"""Trains trials that are never pruned, except those with a stored outcome; the second argument makes the samples."""

_DRAWS = 2  # draws of new splits; each has enough folds to make its training parts as large as in the search


def n_draws(data: Dataset) -> int:
    """Return the number of new splits.

    It is 1 if the splits are not random, for example if the rows are ordered in time, because another draw would only
    change the seeds.
    """
    return 1 if data.has_single_draw else _DRAWS


@dataclass
class Finalist:
    """A configuration of the search and the outcomes of its re-evaluation, one per draw of new splits."""

    searched: Outcome
    space: Space
    reevaluations: list[Outcome] = field(default_factory=list)

    @property
    def label(self) -> str:
        """The label of the searched trial."""
        return self.searched.trial.label

    def scores(self, metric: str) -> np.ndarray:
        """Return the score of each re-evaluation fit, (fits,), at the epoch where the other folds of its draw stop.

        A score is NaN if the fit diverged, or if the validation rows of the fold do not define the metric.
        """
        return np.concatenate([self._scores(outcome)[f"valid_{metric}"] for outcome in self.reevaluations])

    def mean(self, metric: str) -> float:
        """Return the mean of the finite scores, NaN if there are none."""
        scores = self.finite_scores(metric)
        return float(scores.mean()) if len(scores) else math.nan

    def finite_scores(self, metric: str) -> np.ndarray:
        """Return the scores of the folds that define the metric and did not diverge."""
        scores = self.scores(metric)
        finite: np.ndarray = scores[np.isfinite(scores)]
        return finite

    @cached_property
    def epochs(self) -> int:
        """The best number of epochs by the mean of all complete re-evaluation curves or, without any, by the search."""
        curves = [self._curves(o)[self.space.train.metric_key] for o in self.reevaluations if o.state == "complete"]
        return statistics.best_epoch(curves, self._metric) if curves else max(1, self.searched.best_epoch)

    def candidate(self, networks: NetworkBuilder, defined: np.ndarray) -> Candidate:
        """Return the values that the selection rules use, computed on the folds of the mask `defined` (fits,)."""
        network = networks.network_for(self.searched.trial.params)
        weights = sum(math.prod(p.shape) for p in network.parameters)
        followed = self._metric.minimized(self.scores(self.space.train.metric))
        return Candidate(
            self.label,
            np.where(np.isfinite(followed), followed, np.inf)[defined[: len(followed)]],
            amount=regularization.amount(self.space.hyperparameters, self.searched.trial.params),
            work=weights * float(np.mean([o.best_epoch for o in self.reevaluations])),
            nonzero=weights * float(np.mean([o.nonzero_share for o in self.reevaluations])),
        )

    def undefined(self) -> np.ndarray:
        """Return a mask (fits,) of the folds whose rows do not define the followed metric.

        All folds of a diverged trial count as defined, because its scores are NaN for another reason.
        """
        key = self.space.train.metric_key
        masks = [np.isnan(self._curves(o)[key]).all(0) & (o.state == "complete") for o in self.reevaluations]
        return np.concatenate(masks)

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


class Finals:
    """Re-evaluates finalists on one draw of new splits after another, until a single finalist or no draw is left."""

    def __init__(self, space: Space, data: Dataset, networks: NetworkBuilder, study: Study, train: TrainFixed) -> None:
        self._space, self._data, self._networks, self._study, self._train = space, data, networks, study, train
        self.finalists: dict[str, Finalist] = {}

    @cached_property
    def test_train_ratio(self) -> float:
        """The number of validation rows in the new splits, divided by the number of their training rows."""
        return sum(valid for _, valid in self._sizes) / sum(train for train, _ in self._sizes)

    @cached_property
    def valid_rows(self) -> float:
        """The mean number of validation rows per fold of the new splits."""
        return sum(valid for _, valid in self._sizes) / len(self._sizes)

    @cached_property
    def _sizes(self) -> list[tuple[int, int]]:
        return self._data.new_fold_sizes(1)

    def run(self, outcomes: Iterable[Outcome]) -> None:
        """Re-evaluate the trials of `outcomes` draw by draw.

        A finalist that is clearly behind the best drops out before the next draw. The defaults never drop out, because
        all others are compared with them.
        """
        self.finalists = {o.trial.label: Finalist(o, self._space) for o in outcomes}
        remaining = list(self.finalists.values())
        for draw in range(1, n_draws(self._data) + 1):
            self._reevaluate(remaining, draw)
            dropped = rules.dropped(self.candidates(), self.test_train_ratio) - {rules.DEFAULT}
            remaining = [f for f in remaining if f.label not in dropped]
            if len(remaining) < 2:
                return

    def evaluate_like(self, outcome: Outcome, finalist: Finalist) -> Finalist:
        """Re-evaluate, on the draws of `finalist`, a configuration that is compared with it but cannot be selected."""
        reference = Finalist(outcome, self._space)
        for draw in range(1, len(finalist.reevaluations) + 1):
            self._reevaluate([reference], draw)
        return reference

    def candidates(self) -> list[Candidate]:
        """Return all finalists as candidates for the selection rules.

        Their scores leave out the folds that do not define the followed metric.
        """
        finalists = list(self.finalists.values())
        longest = max(finalists, key=lambda f: len(f.reevaluations))
        undefined = np.zeros(len(longest.undefined()), dtype=bool)
        for finalist in finalists:
            mask = finalist.undefined()
            undefined[: len(mask)] |= mask
        return [f.candidate(self._networks, ~undefined) for f in finalists]

    def choices(self) -> dict[str, str]:
        """Return the label of the finalist that each rule selects."""
        candidates = self.candidates()
        return {rule: rules.choose(rule, candidates, self.test_train_ratio) for rule in SELECTION_RULES}

    def _reevaluate(self, finalists: Sequence[Finalist], draw: int) -> None:
        seed = seeds.derived_seed(
            self._space, f"fresh-{draw}"
        )  # the same seed for all finalists, so that their scores are paired
        trials = [
            Trial(f.searched.trial.key.reevaluation(draw), "finalist", f.searched.trial.params, seed) for f in finalists
        ]
        self._train(trials, lambda: self._data.new_folds(draw))
        for finalist, trial in zip(finalists, trials, strict=True):
            finalist.reevaluations.append(self._study.outcomes[trial.label])


def select_finalists(study: Study, space: Space) -> list[Outcome]:
    """Return the baselines and the best trials of the search, each with a different configuration."""
    finalists = [study.outcomes[label] for label in ("none", "defaults")]
    for outcome in ranking.ranked(study.search_outcomes(), METRICS[space.train.metric]):
        if len(finalists) >= 2 + space.finalists:
            break
        params = active_params(outcome.trial.params)
        if all(params != active_params(finalist.trial.params) for finalist in finalists):
            finalists.append(outcome)
    return finalists
