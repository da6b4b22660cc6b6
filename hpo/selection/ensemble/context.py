"""Where ensembles are made: a study that has its result, and the training of whatever an ensemble wants besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor

from hpo.core.errors import InputError
from hpo.core.samples import Fold, Samples, no_rows
from hpo.core.trial import Outcome, Score, Trial
from hpo.selection.finals import Finalist, n_draws, select_finalists
from hpo.space.settings import EnsembleConfig
from hpo.study import ranking
from hpo.study.study import Study
from hpo.training.capacity import free_memory, rows_for
from hpo.training.experiment import Experiment
from hpo.training.population import Population

Weights = Mapping[str, Tensor]  # by name, fit axis first, in the order of the folds


class Watches(Protocol):
    """What is told how it goes on."""

    def phase(self, sentence: str, trials: int) -> None: ...
    def epoch(self, score: Score) -> None: ...


@dataclass(frozen=True)
class EnsembleContext:
    """`result` is the study's, `wish` what kind of ensemble is made of it, how large, and of how many configurations."""

    job: Experiment
    study: Study
    result: Mapping[str, Any]
    config: EnsembleConfig
    watcher: Watches

    @property
    def selected(self) -> Outcome:
        return self.study.outcomes[self.result["trial"]]

    def pool(self) -> list[Outcome]:
        """The baselines, and the best configurations of the search that differ from each other and from them."""
        space = self.job.space.model_copy(update={"finalists": self.config.pool})
        return [outcome for outcome in select_finalists(self.study, space) if outcome.state != "failed"]

    def epochs(self, of: Outcome) -> int:
        """For how many a configuration of the search is trained: as its fresh fits found best, or, of one without any, its own rows."""
        fresh = (f"{of.trial.label}-fresh-{draw}" for draw in range(1, n_draws(self.job.data) + 1))
        return Finalist(
            of, self.job.space, [self.study.outcomes[label] for label in fresh if label in self.study.outcomes]
        ).epochs

    def trial(self, name: str, of: Outcome) -> Trial:
        """A configuration of the search, to be trained from a seed of its own."""
        label = f"ensemble-{name}"
        return Trial(label, "refit", of.trial.params, ranking.fresh_seed(self.job.space, label), self.epochs(of))

    def population(self, samples: Samples, trials: Sequence[Trial], copies: int = 1) -> Population:
        """Room to train them, when so many copies of what they learn are kept. Raises InputError if there is no memory for what they
        learn, or if a minibatch of one row is left that a network does not bear."""
        job, folds = self.job, samples.folds
        memory = free_memory(job.device)
        if memory is not None and 8 * len(trials) * copies * len(folds) * job.max_parameters > memory:
            raise InputError(
                f"ensemble: {len(trials) * copies} times {len(folds)} networks are too many to keep in memory; take a smaller pool or size."
            )
        for trial in trials:
            batch_size = job.space.train.of(trial.params).batch_size
            if any(len(fold.train) % batch_size == 1 for fold in folds):
                job.networks.network_for(trial.params).check(1, job.device)
        rows = rows_for(None, job.max_parameters, 1, memory, len(folds), job.device, job.weight_copies)
        return Population.from_space(job.space, job.factory, samples.samples().to(job.device), rows, job.networks.state)

    def train(self, samples: Samples, trials: Sequence[Trial]) -> dict[str, Weights]:
        """Trains them together to their end; what each has learned that did not diverge, by label."""
        population, waiting, training = self.population(samples, trials), list(trials), 0
        found: dict[str, Weights] = {}
        while waiting or training:
            while waiting and population.has_room():
                population.admit(waiting.pop(0))
                training += 1
            for score in list(population.train_epoch()):
                self.watcher.epoch(score)
                if score.stop_reason or not score.finite:
                    training -= 1
                    released = population.release(score.trial)
                    if score.finite:
                        found[score.trial.label] = released.weights
        return {trial.label: found[trial.label] for trial in trials if trial.label in found}


def judged(samples: Samples, fresh: Samples, *, whole: bool) -> tuple[Fold, ...]:
    """The folds of `fresh` as those of `samples`, which hold all development rows once: each is judged on what it has not
    learned from, and nothing stops it early. With `whole`, one more learns from all rows."""
    rows = len(samples.x)
    none = no_rows()
    folds = [
        replace(fold, valid=none, test=fold.valid)
        for fold in (fold.remap(lambda own: own % rows) for fold in fresh.folds)
    ]
    if whole:
        folds.append(replace(samples.folds[0], number=len(folds)))
    return tuple(folds)
