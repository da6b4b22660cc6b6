"""The finals: the best trials and the baselines, trained again on fresh splits from fresh seeds. Selection reads these alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hpo import evidence, rules, selection
from hpo.data import Dataset
from hpo.dataset import Samples
from hpo.metrics import METRICS
from hpo.networks import Networks
from hpo.rules import Candidate
from hpo.space import Space
from hpo.study import Study
from hpo.trial import Outcome, Trial

DRAWS = 2  # fresh splits of the rows, each with as many folds as keep the training part as large as it was


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
        """What it scores on each fresh fold, (fits,), stopped where the other folds of the draw stop; infinite where it
        diverged."""
        return np.concatenate([self._scores(outcome)[f"valid_{metric}"] for outcome in self.fresh])

    @cached_property
    def epochs(self) -> int:
        """How many epochs it is best trained for, by the mean of all fresh curves."""
        curves = [self._curves(o)[self.space.train.metric_key] for o in self.fresh if o.state == "complete"]
        return evidence.best_epoch(curves, self._sign) if curves else self.searched.best_epoch

    def candidate(self, networks: Networks) -> Candidate:
        """Itself as the rules see it: lower is better."""
        network = networks.of(self.searched.trial.params)
        weights = sum(math.prod(p.shape) for p in network.parameters)
        followed = self._sign * self.scores(self.space.train.metric)
        return Candidate(
            self.label,
            np.where(np.isfinite(followed), followed, np.inf),
            amount=rules.amount(self.space.domains, self.searched.trial.params),
            work=weights * float(np.mean([o.best_epoch for o in self.fresh])),
            nonzero=weights * float(np.mean([o.nonzero_share for o in self.fresh])),
        )

    @property
    def _sign(self) -> int:
        return METRICS[self.space.train.metric].sign

    def _scores(self, outcome: Outcome) -> dict[str, np.ndarray]:
        curves = self._curves(outcome)
        if outcome.state == "complete":
            return evidence.stopped(curves, self.space.train.metric_key, self._sign)
        return {name: np.full(curve.shape[1], np.nan) for name, curve in curves.items()}

    def _curves(self, outcome: Outcome) -> dict[str, np.ndarray]:
        return {name: np.array(curve) for name, curve in outcome.fold_curves.items()}


class Finals:
    """Trains finalists until it is plain who is best, or there is no further draw."""

    def __init__(
        self, space: Space, data: Dataset, networks: Networks, study: Study, train: Callable[[Sequence[Trial], Samples], None]
    ) -> None:
        """`train` trains trials on samples to their end, as far as the study has not seen them end."""
        self._space, self._data, self._networks, self._study, self._train = space, data, networks, study, train
        self._samples: dict[int, Samples] = {}
        self.finalists: dict[str, Finalist] = {}

    @cached_property
    def overlap(self) -> float:
        """Validation rows over training rows of the fresh splits."""
        folds = self._draw(1).folds
        return sum(len(f.valid) for f in folds) / sum(len(f.train) for f in folds)

    @cached_property
    def valid_rows(self) -> float:
        """How many rows a fresh fold is judged by, on average."""
        folds = self._draw(1).folds
        return sum(len(f.valid) for f in folds) / len(folds)

    def run(self, entering: Iterable[Outcome]) -> None:
        """Trains what enters on one draw after another. Who is plainly behind is left out of the next; the defaults, with
        which all are compared, are in each."""
        self.finalists = {o.trial.label: Finalist(o, self._space) for o in entering}
        staying = list(self.finalists.values())
        for draw in range(1, DRAWS + 1):
            self._again(staying, draw)
            out = rules.dropped(self.candidates(), self.overlap) - {rules.DEFAULT}
            staying = [f for f in staying if f.label not in out]
            if len(staying) < 2:
                return

    def beside(self, outcome: Outcome, other: Finalist) -> Finalist:
        """Trains a configuration that is compared with a finalist, but cannot be selected, on the draws that the other had."""
        found = Finalist(outcome, self._space)
        for draw in range(1, len(other.fresh) + 1):
            self._again([found], draw)
        return found

    def candidates(self) -> list[Candidate]:
        return [f.candidate(self._networks) for f in self.finalists.values()]

    def choices(self) -> dict[str, str]:
        """What each rule selects."""
        candidates = self.candidates()
        return {rule: rules.choose(rule, candidates, self.overlap) for rule in rules.RULES}

    def _again(self, finalists: Sequence[Finalist], draw: int) -> None:
        seed = selection.fresh_seed(self._space, f"fresh-{draw}")  # the same for all: they are compared in pairs
        trials = [Trial(f"{f.label}-fresh-{draw}", "finalist", f.searched.trial.params, seed) for f in finalists]
        self._train(trials, self._draw(draw))
        for finalist, trial in zip(finalists, trials, strict=True):
            finalist.fresh.append(self._study.outcomes[trial.label])

    def _draw(self, draw: int) -> Samples:
        if draw not in self._samples:
            self._samples = {draw: self._data.fresh(draw)}  # one at a time: each is a copy of the data for every fold
        return self._samples[draw]


def entering(study: Study, space: Space) -> list[Outcome]:
    """The baselines, and the best trials of the search that differ from each other and from them."""
    found = [study.outcomes[label] for label in ("none", "defaults")]
    for outcome in selection.ranked(study.searched(), METRICS[space.train.metric]):
        if len(found) >= 2 + space.finalists:
            break
        if all(dict(outcome.trial.params) != dict(other.trial.params) for other in found):
            found.append(outcome)
    return found
