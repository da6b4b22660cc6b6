"""The finals: the best trials and the baselines, trained again on fresh splits from fresh seeds. Selection reads these alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hpo.core import statistics
from hpo.core.metrics import METRICS
from hpo.core.samples import Samples
from hpo.core.trial import Outcome, Trial
from hpo.data.dataset import Dataset
from hpo.regularizers import active
from hpo.selection import rules
from hpo.selection.rules import Candidate
from hpo.space import regularization
from hpo.space.settings import SELECTION_RULES
from hpo.space.space import Space
from hpo.study import ranking
from hpo.study.study import Study
from hpo.training.builder import NetworkBuilder

TrainFixed = Callable[[Sequence[Trial], Callable[[], Samples]], None]
_DRAWS = 2  # fresh splits of the rows, each with as many folds as keep the training part as large as it was


def n_draws(data: Dataset) -> int:
    """How many fresh splits there are. Over time all would be one and the same, and seeds alone say nothing of other rows."""
    return 1 if data.ordered else _DRAWS


@dataclass
class Finalist:
    """A configuration of the search and how it did on fresh splits, an outcome a draw."""

    searched: Outcome
    space: Space
    fresh: list[Outcome] = field(default_factory=list)

    @property
    def label(self) -> str:
        return self.searched.trial.label

    def scores(self, metric: str) -> np.ndarray:
        """What it scores on each fresh fold, (fits,), stopped where the other folds of the draw stop; not a number where it diverged,
        or where the fold's rows do not define the metric."""
        return np.concatenate([self._scores(outcome)[f"valid_{metric}"] for outcome in self.fresh])

    def mean(self, metric: str) -> float:
        """Over the fresh folds that define the metric; not a number if none does."""
        known = self.finite_scores(metric)
        return float(known.mean()) if len(known) else math.nan

    def finite_scores(self, metric: str) -> np.ndarray:
        """Its scores on the fresh folds that define the metric."""
        scores = self.scores(metric)
        defined: np.ndarray = scores[np.isfinite(scores)]
        return defined

    @cached_property
    def epochs(self) -> int:
        """How many epochs it is best trained for, by the mean of all fresh curves."""
        curves = [self._curves(o)[self.space.train.metric_key] for o in self.fresh if o.state == "complete"]
        return statistics.best_epoch(curves, self._sign) if curves else max(1, self.searched.best_epoch)

    def candidate(self, networks: NetworkBuilder, defined: np.ndarray) -> Candidate:
        """Itself as the rules see it: lower is better, and infinite where it diverged; on the fresh folds `defined` alone."""
        network = networks.network_for(self.searched.trial.params)
        weights = sum(math.prod(p.shape) for p in network.parameters)
        followed = self._sign * self.scores(self.space.train.metric)
        return Candidate(
            self.label,
            np.where(np.isfinite(followed), followed, np.inf)[defined[: len(followed)]],
            amount=regularization.amount(self.space.hyperparameters, self.searched.trial.params),
            work=weights * float(np.mean([o.best_epoch for o in self.fresh])),
            nonzero=weights * float(np.mean([o.nonzero_share for o in self.fresh])),
        )

    def undefined(self) -> np.ndarray:
        """Which fresh folds do not define the followed metric, as far as it did not diverge; (fits,)."""
        found = [
            np.isnan(self._curves(o)[self.space.train.metric_key]).all(0) & (o.state == "complete") for o in self.fresh
        ]
        return np.concatenate(found)

    @property
    def _sign(self) -> int:
        return METRICS[self.space.train.metric].sign

    def _scores(self, outcome: Outcome) -> dict[str, np.ndarray]:
        curves = self._curves(outcome)
        if outcome.state == "complete":
            return statistics.scores_at_common_stop(curves, self.space.train.metric_key, self._sign)
        return {name: np.full(curve.shape[1], np.nan) for name, curve in curves.items()}

    def _curves(self, outcome: Outcome) -> dict[str, np.ndarray]:
        return {name: np.array(curve) for name, curve in outcome.fold_curves.items()}


class Finals:
    """Trains finalists until it is plain who is best, or there is no further draw."""

    def __init__(self, space: Space, data: Dataset, networks: NetworkBuilder, study: Study, train: TrainFixed) -> None:
        """`train` trains trials on samples to their end, as far as the study has not seen them end; the samples are made if it must."""
        self._space, self._data, self._networks, self._study, self._train = space, data, networks, study, train
        self.finalists: dict[str, Finalist] = {}

    @cached_property
    def test_train_ratio(self) -> float:
        """Validation rows over training rows of the fresh splits."""
        return sum(valid for _, valid in self._sizes) / sum(train for train, _ in self._sizes)

    @cached_property
    def valid_rows(self) -> float:
        """How many rows a fresh fold is judged by, on average."""
        return sum(valid for _, valid in self._sizes) / len(self._sizes)

    @cached_property
    def _sizes(self) -> list[tuple[int, int]]:
        return self._data.sizes(1)

    def run(self, entering: Iterable[Outcome]) -> None:
        """Trains what enters on one draw after another. Who is plainly behind is left out of the next; the defaults, with
        which all are compared, are in each."""
        self.finalists = {o.trial.label: Finalist(o, self._space) for o in entering}
        staying = list(self.finalists.values())
        for draw in range(1, n_draws(self._data) + 1):
            self._again(staying, draw)
            out = rules.dropped(self.candidates(), self.test_train_ratio) - {rules.DEFAULT}
            staying = [f for f in staying if f.label not in out]
            if len(staying) < 2:
                return

    def evaluate_like(self, outcome: Outcome, other: Finalist) -> Finalist:
        """Trains a configuration that is compared with a finalist, but cannot be selected, on the draws that the other had."""
        found = Finalist(outcome, self._space)
        for draw in range(1, len(other.fresh) + 1):
            self._again([found], draw)
        return found

    def candidates(self) -> list[Candidate]:
        everyone = list(self.finalists.values())
        longest = max(everyone, key=lambda f: len(f.fresh))
        undefined = np.zeros(len(longest.undefined()), dtype=bool)
        for finalist in everyone:
            own = finalist.undefined()
            undefined[: len(own)] |= own
        return [f.candidate(self._networks, ~undefined) for f in everyone]

    def choices(self) -> dict[str, str]:
        """What each rule selects."""
        candidates = self.candidates()
        return {rule: rules.choose(rule, candidates, self.test_train_ratio) for rule in SELECTION_RULES}

    def _again(self, finalists: Sequence[Finalist], draw: int) -> None:
        seed = ranking.fresh_seed(self._space, f"fresh-{draw}")  # the same for all: they are compared in pairs
        trials = [Trial(f"{f.label}-fresh-{draw}", "finalist", f.searched.trial.params, seed) for f in finalists]
        self._train(trials, lambda: self._data.fresh(draw))
        for finalist, trial in zip(finalists, trials, strict=True):
            finalist.fresh.append(self._study.outcomes[trial.label])


def select_finalists(study: Study, space: Space) -> list[Outcome]:
    """The baselines, and the best trials of the search that differ from each other and from them."""
    found = [study.outcomes[label] for label in ("none", "defaults")]
    for outcome in ranking.ranked(study.search_outcomes(), METRICS[space.train.metric]):
        if len(found) >= 2 + space.finalists:
            break
        if all(active(outcome.trial.params) != active(other.trial.params) for other in found):
            found.append(outcome)
    return found
