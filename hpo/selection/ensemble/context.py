"""The inputs of every kind of ensemble: a study with a result, and a trainer for its members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from hpo.core.errors import InputError
from hpo.core.samples import Fold, Samples, epoch_rows, no_rows
from hpo.core.trial import Outcome, TrainedTrial, Trial
from hpo.core.trial_key import TrialKey
from hpo.selection.entrants import select_finalists
from hpo.selection.finalist import Finalist
from hpo.selection.finals import n_draws
from hpo.selection.result import SearchResult
from hpo.space.settings import EnsembleConfig
from hpo.study import seeds
from hpo.study.study import Study
from hpo.training.capacity import free_memory
from hpo.training.experiment import Experiment


@dataclass(frozen=True)
class TrainedMember:
    """A member of an ensemble after its training; if it `diverged`, only the weights of its cycles are usable."""

    trained: TrainedTrial
    diverged: bool


class MemberTrainer(Protocol):
    """Trains the members of an ensemble, whose outcomes are not stored with the study."""

    def train_members(self, title: str, trials: Sequence[Trial], samples: Samples) -> Mapping[str, TrainedMember]:
        """Train all trials to their end and return them by label; the progress display shows `title`."""


@dataclass(frozen=True)
class EnsembleContext:
    """The study from which an ensemble is built, its `result`, the requested `config`, and the members' `trainer`."""

    experiment: Experiment
    study: Study
    result: SearchResult
    config: EnsembleConfig
    trainer: MemberTrainer

    @property
    def selected(self) -> Outcome:
        """The selected trial of the search."""
        return self.study.outcomes[self.result.trial]

    def pool(self) -> list[Outcome]:
        """Return the baselines and the `pool` best trials with different configurations."""
        pool = select_finalists(self.study, self.experiment.space, self.config.pool)
        return [outcome for outcome in pool if outcome.state != "failed"]

    def epochs(self, outcome: Outcome) -> int:
        """Return the best number of epochs of a trial: by its re-evaluation, or by the search if it has none."""
        draws = range(1, n_draws(self.experiment.data) + 1)
        labels = [str(outcome.trial.key.reevaluation(draw)) for draw in draws]
        reevaluations = [self.study.outcomes[label] for label in labels if label in self.study.outcomes]
        return Finalist.from_outcome(outcome, self.experiment.space, reevaluations).epochs

    def trial(self, outcome: Outcome, kind: str | None = None, stage: int | None = None) -> Trial:
        """Make the trial that trains the configuration of `outcome` as a member of an ensemble, with another seed.

        Its key names the searched trial, or the `kind` of ensemble if all members have the same configuration. In
        boosting, it also names the `stage`.
        """
        key = TrialKey(kind or outcome.trial.key.config, "ensemble", stage)
        seed = seeds.derived_seed(self.experiment.space, str(key))
        return Trial(key, "refit", outcome.trial.params, seed, self.epochs(outcome))

    def train(
        self, title: str, samples: Samples, trials: Sequence[Trial], *, copies: int = 1
    ) -> Mapping[str, TrainedMember]:
        """Train members together to their end; return them by label.

        The progress display shows `title`; `copies` is the number of sets of weights per trial. Raises InputError if
        the weights do not fit into memory, or if the last minibatch has one row and a network cannot be trained on a
        single row.
        """
        self._check_memory(len(trials) * copies, len(samples.folds))
        for trial in trials:
            self._check_batch_size(trial, samples)
        return self.trainer.train_members(title, trials, samples)

    def _check_memory(self, n_weights: int, n_folds: int) -> None:
        memory = free_memory(self.experiment.device)
        if memory is not None and 8 * n_weights * n_folds * self.experiment.max_parameters > memory:
            raise InputError(
                f"ensemble: {n_weights} times {n_folds} networks are too many to keep in memory; "
                f"take a smaller pool or size."
            )

    def _check_batch_size(self, trial: Trial, samples: Samples) -> None:
        batch_size = self.experiment.space.train.of(trial.params).minibatch
        if any(epoch_rows(len(fold.train)) % batch_size == 1 for fold in samples.folds):
            self.experiment.networks.network_for(trial.params).check(1, self.experiment.device)


def held_out_folds(samples: Samples, drawn: Samples, *, with_all: bool) -> tuple[Fold, ...]:
    """Turn the folds of `drawn` into folds of `samples`, which holds every development row once.

    The validation rows of each fold become its test rows, so that nothing stops a fit early and every network is scored
    on rows that it was not trained on. `with_all` adds a fold that trains on all rows and tests on none.
    """
    n_rows = len(samples.x)
    folds = [fold.remap(lambda rows: rows % n_rows) for fold in drawn.folds]
    folds = [replace(fold, valid=no_rows(), test=fold.valid) for fold in folds]
    if with_all:
        folds.append(replace(samples.folds[0], number=len(folds)))
    return tuple(folds)
