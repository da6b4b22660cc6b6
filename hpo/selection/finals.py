"""The finals: the best trials and the baselines are re-evaluated on new splits and seeds for the selection."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import numpy as np

from hpo.core import posterior
from hpo.core import selection_rules as rules
from hpo.core.metrics import METRICS, Metric, labelled_metric
from hpo.core.posterior import Gain, Measurement
from hpo.core.samples import Samples
from hpo.core.selection_rules import DEFAULT, Candidate
from hpo.core.trial import Trial
from hpo.data.dataset import Dataset
from hpo.regularizers.active import active_params
from hpo.selection import evidence, expectation, out_of_fold
from hpo.selection.entrants import variants
from hpo.selection.evidence import Evidence
from hpo.selection.expectation import Expectation
from hpo.selection.finalist import Finalist
from hpo.selection.out_of_fold import DrawPredictions
from hpo.space import regularization
from hpo.space.space import Space
from hpo.study import baselines, seeds
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.training.builder import NetworkBuilder

TrainFixed = Callable[[Sequence[Trial], Callable[[], Samples]], None]
"""Trains trials that are never pruned, except those with a stored outcome; the second argument makes the samples."""

_DRAWS = 2  # draws of new splits; each has enough folds to make its training parts as large as in the search
_ENOUGH_ROWS = 10_000  # validation rows of a draw: with more, the choice of the training seed matters more
_MOST_ROUNDS = 4  # in which the choice may change because its own evidence grows
_HOPELESS = 0.1  # a finalist drops out if the probability that it is better than the leader is at most this


def n_draws(data: Dataset) -> int:
    """Return the largest number of new splits.

    It is 1 if the splits are not random, for example if the rows are ordered in time, because another draw would only
    change the seeds.
    """
    return 1 if data.has_single_draw else _DRAWS


def n_folds(data: Dataset) -> int:
    """Return the number of folds of a draw that are trained: on a large table, a few of them decide as well as all."""
    sizes = data.new_fold_sizes(1)
    return min(len(sizes), math.ceil(_ENOUGH_ROWS / (sum(valid for _, valid in sizes) / len(sizes))))


class Finals:
    """Re-evaluates finalists on one draw of new splits after another, as long as the decision is open.

    A second draw evaluates the leader and the defaults again, and as many of the others that may turn out to be the
    best as `affordable` allows: it says whether a number of further fits may be trained. Unless `with_variants` is
    false, the leader is then also evaluated without each of its strengths, and without all of them; these variants are
    finalists like any other.
    """

    def __init__(
        self,
        space: Space,
        data: Dataset,
        networks: NetworkBuilder,
        study: Study,
        weights: WeightStore,
        train: TrainFixed,
        affordable: Callable[[int], bool] = lambda _: True,
        *,
        with_variants: bool = True,
        draws: int = _DRAWS,
        max_epochs: int | None = None,
    ) -> None:
        self._space, self._data, self._networks, self._study, self._train = space, data, networks, study, train
        self._weights, self._affordable, self._with_variants = weights, affordable, with_variants
        self._draws, self._max_epochs = min(draws, n_draws(data)), max_epochs
        self.finalists: dict[str, Finalist] = {}
        self._samples: dict[int, Samples] = {}
        self._measured: tuple[tuple[tuple[str, int], ...], Evidence] | None = None  # with what it was measured on

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
        return self._data.new_fold_sizes(1)[: self._n_folds]

    @cached_property
    def _n_folds(self) -> int:
        return n_folds(self._data)

    def run(self, finalists: Iterable[Finalist]) -> None:
        """Re-evaluate the finalists draw by draw.

        A finalist that is clearly behind the leader drops out before the next draw. The defaults never drop out,
        because all others are compared with them.
        """
        self.finalists = {f.label: f for f in finalists}
        self._reevaluate(list(self.finalists.values()), 1)
        if not self.finalists[DEFAULT].reevaluations:  # the time was up
            return
        for draw in range(2, self._draws + 1):
            self._reevaluate(self._remaining(draw), draw)
        # No regularization at a searched learning rate is a candidate even if a baseline leads.
        self._add_variants(variants(self.leader.trial) + [baselines.ablation(f.trial) for f in self._best_searched()])

    def settle(self, rule: str) -> str:
        """Return the label of the finalist that a rule selects once it and its variants are evaluated like the rest.

        More evidence can change the choice. A choice that is still open after a few rounds is between configurations
        that hardly differ.
        """
        for _ in range(_MOST_ROUNDS):
            selected, known = self.choices()[rule], self._n_evaluations
            self._add_variants(variants(self.finalists[selected].trial))
            self._complete(self.finalists[selected])
            if self._n_evaluations == known:
                break
        return self.choices()[rule]

    @property
    def _n_evaluations(self) -> int:
        return sum(len(f.reevaluations) for f in self.finalists.values())

    def _complete(self, finalist: Finalist) -> None:
        """Evaluate a finalist on all draws of the defaults."""
        for draw in range(len(finalist.reevaluations) + 1, len(self.finalists[DEFAULT].reevaluations) + 1):
            self._reevaluate([finalist], draw)
            if len(finalist.reevaluations) < draw:  # the time was up
                break

    def _add_variants(self, variants: Sequence[Trial]) -> None:
        """Evaluate variants of configurations on the first draw. One that equals a finalist is not trained again."""
        if not self._with_variants:
            return
        added = {v.label: Finalist(v, self._space) for v in variants if self.find(v) is None}
        self.finalists |= added
        self._reevaluate(list(added.values()), 1)

    def _best_searched(self) -> list[Finalist]:
        """Return the trial of the search with the largest expected gain, if any of them did not diverge."""
        sound = [c for c in self.candidates() if c.sound and self.finalists[c.label].trial.key.is_searched]
        return [self.finalists[max(sound, key=lambda c: (c.gain.mean, c.label)).label]] if sound else []

    def evaluate(self, trial: Trial) -> Finalist | None:
        """Evaluate a configuration on all draws, or return the finalist that trains like it; None if the time is up."""
        found = self.find(trial)
        if found is None:
            found = self.finalists[trial.label] = Finalist(trial, self._space)
        self._complete(found)
        return found if found.reevaluations else None

    def find(self, trial: Trial) -> Finalist | None:
        """Return the finalist that trains like `trial`, which may have another label, or None."""
        same = active_params(trial.params)
        return next((f for f in self.finalists.values() if active_params(f.trial.params) == same), None)

    # ---- what is known about the finalists

    @property
    def leader(self) -> Finalist:
        """The finalist with the largest expected gain."""
        sound = [c for c in self.candidates() if c.sound]
        best = max(sound, key=lambda c: (c.gain.mean, c.label == self.reference, c.label), default=None)
        return self.finalists[best.label if best else DEFAULT]

    def candidates(self) -> list[Candidate]:
        """Return all finalists as candidates for the selection rules."""
        reference = self.reference
        return [self._candidate(finalist, reference) for finalist in self.finalists.values()]

    def choices(self) -> dict[str, str]:
        """Return the label of the finalist that each rule selects."""
        candidates = self.candidates()
        return {rule: rules.choose(rule, candidates, self.test_train_ratio) for rule in rules.SELECTION_RULES}

    def gain(self, label: str, reference: str) -> Gain | None:
        """Return the posterior gain of one finalist over another; None if one of them diverged."""
        if not (self.finalists[label].complete and self.finalists[reference].complete):
            return None
        if label == reference:
            return Gain.zero()
        against = self.reference
        others = [f.label for f in self.finalists.values() if f.complete and f.label != against]
        prior = posterior.prior_variance([self._measurement(other, against) for other in others])
        return posterior.posterior_gain(self._measurement(label, reference), prior)

    def _measurement(self, label: str, reference: str) -> Measurement:
        if not self._metric.is_validator:
            return self._evidence.measurement(label, reference)
        finalists = (self.finalists[label], self.finalists[reference])
        scores, against = (self._metric.minimized(f.scores(self._metric.name)) for f in finalists)
        return evidence.measurement_by_folds(scores, against, self.test_train_ratio)

    def error(self, label: str) -> float:
        """Return the mean error of a finalist in the followed metric: the unit of relative gains."""
        if self._metric.is_validator:
            return abs(self.finalists[label].mean(self._metric.name))
        return float(self._evidence.errors[label].mean())

    def expectation(self, label: str, metrics: Sequence[str], networks: int) -> Expectation | None:
        """Return the scores to expect of `networks` networks of a finalist on the test rows; None if it diverged."""
        if not self.finalists[label].complete:
            return None
        return expectation.expect(self.draws(), label, metrics, networks, len(self._data.test), self._space.seed)

    def draws(self) -> list[DrawPredictions]:
        """Return the predictions of all finalists that did not diverge, draw by draw. Logits are read when used."""
        complete = [f for f in self.finalists.values() if f.complete]
        most = max((len(f.reevaluations) for f in complete), default=0)
        return [self._predictions(complete, draw) for draw in range(1, most + 1)]

    def _predictions(self, finalists: Sequence[Finalist], draw: int) -> DrawPredictions:
        trials = {f.label: f.reevaluations[draw - 1].trial for f in finalists if len(f.reevaluations) >= draw}
        return out_of_fold.load(self._weights, trials, self._split(draw), self._data.n_development)

    @property
    def _evidence(self) -> Evidence:
        evaluated = tuple((f.label, len(f.reevaluations)) for f in self.finalists.values())
        if self._measured is None or self._measured[0] != evaluated:
            metric = labelled_metric(self._metric.name)
            self._measured = (evaluated, evidence.measure(self.draws(), metric, self._space.seed))
        return self._measured[1]

    def _candidate(self, finalist: Finalist, reference: str) -> Candidate:
        network = self._networks.network_for(finalist.trial.params)
        weights = sum(math.prod(p.shape) for p in network.parameters)
        return Candidate(
            finalist.label,
            self.gain(finalist.label, reference) or Gain.zero(),
            self._metric.minimized(finalist.scores(self._metric.name)),
            finalist.complete,
            amount=regularization.amount(self._space.hyperparameters, finalist.trial.params),
            work=weights * float(np.mean([o.best_epoch for o in finalist.outcomes])),
            nonzero=weights * float(np.mean([o.nonzero_share for o in finalist.outcomes])),
        )

    @property
    def reference(self) -> str:
        """The label of the finalist over which gains are measured: the usual defaults at the learning rate with the
        smallest error or, if all of them diverged, another one."""
        complete = [label for label, f in self.finalists.items() if f.complete]
        defaults = [label for label in complete if label in rules.DEFAULTS]
        return min(defaults, key=self._level) if defaults else complete[0] if complete else DEFAULT

    def _level(self, label: str) -> float:
        """Return the mean error of a finalist, or that of a validator, which may be negative; lower is better."""
        if self._metric.is_validator:
            return self._metric.minimized(self.finalists[label].mean(self._metric.name))
        return self.error(label)

    def _remaining(self, draw: int) -> list[Finalist]:
        """Return the leader, the defaults, and as many of the other finalists that may turn out to be the best as can
        be paid for, the most probable first. One whose evaluation on the draw is stored costs nothing."""
        leader = self.leader
        staying = [
            f for f in self.finalists.values() if f.complete and f.label in (leader.label, self.reference, DEFAULT)
        ]
        gains = [(self.gain(f.label, leader.label), f) for f in self.finalists.values() if f not in staying]
        open_ = [(gain.probability, f) for gain, f in gains if gain and gain.probability > _HOPELESS]
        for _, finalist in sorted(open_, key=lambda pair: -pair[0]):
            fits = (1 + sum(not self._is_stored(f, draw) for f in staying)) * len(self._sizes)
            if self._is_stored(finalist, draw) or self._affordable(fits):
                staying.append(finalist)
        return staying

    def _is_stored(self, finalist: Finalist, draw: int) -> bool:
        stored = self._study.outcomes.get(str(finalist.trial.key.reevaluation(draw)))
        return stored is not None and stored.state != "pruned"

    # ---- training

    @property
    def _metric(self) -> Metric:
        return METRICS[self._space.train.metric]

    def _split(self, draw: int) -> Samples:
        if draw not in self._samples:
            self._samples[draw] = self._data.new_folds(draw, self._n_folds)
        return self._samples[draw]

    def _reevaluate(self, finalists: Sequence[Finalist], draw: int) -> None:
        if not finalists:
            return
        # The same seed for all finalists, so that their scores are paired.
        seed = seeds.derived_seed(self._space, f"fresh-{draw}")
        trials = [
            Trial(f.trial.key.reevaluation(draw), "finalist", f.trial.params, seed, self._epochs(f)) for f in finalists
        ]
        self._train(trials, lambda: self._split(draw))
        for finalist, trial in zip(finalists, trials, strict=True):
            outcome = self._study.outcomes[trial.label]
            if outcome.state != "pruned":  # the time was up: networks that are not trained to their end prove nothing
                finalist.reevaluations.append(outcome)
        self.finalists = {label: f for label, f in self.finalists.items() if f.searched or f.reevaluations}

    def _epochs(self, finalist: Finalist) -> int | None:
        """Return the largest number of epochs of a fit, None if it is that of the space."""
        if self._max_epochs is None:
            return None
        return min(self._max_epochs, self._space.train.of(finalist.trial.params).epochs)
