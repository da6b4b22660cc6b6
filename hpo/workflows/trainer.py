"""Train the trials of a study, in this process or in a pool of workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from hpo.core.samples import Samples
from hpo.core.trial import Score, Trial
from hpo.selection import out_of_fold
from hpo.selection.ensemble.context import TrainedMember
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.training.capacity import free_memory, row_budget
from hpo.training.experiment import Experiment
from hpo.training.population import Population
from hpo.training.worker import Worker
from hpo.training.worker_pool import WorkerPool
from hpo.workflows import loop, stages
from hpo.workflows.callbacks import RunRecorder, Watcher


class StudyTrainer:
    """Trains the search itself and, after it, fixed lists of trials: finalists, ablations, refits, ensemble members.

    All of them run through the same loop, so all of them use the workers and the progress bar. All except the members
    of ensembles are also recorded and can be resumed.
    """

    def __init__(
        self,
        experiment: Experiment,
        study: Study,
        weights: WeightStore,
        recorder: RunRecorder,
        watcher: Watcher,
        workers: Sequence[Worker] = (),
        record_epoch: Callable[[Score], None] = lambda _: None,
    ) -> None:
        self._record_epoch = record_epoch
        self._experiment, self._study, self._weights = experiment, study, weights
        self._recorder, self._watcher = recorder, watcher
        self.row_budget = study.get_attr("rows") or experiment.rows(max(1, len(workers)))
        study.set_attr("rows", self.row_budget)
        most_workers = max(1, self.row_budget // len(experiment.data.folds))
        self._workers = [] if experiment.space.is_point else list(workers[:most_workers])

    @property
    def n_workers(self) -> int:
        """The number of processes that train: the workers, or 1 if this process trains."""
        return max(1, len(self._workers))

    def search(self) -> None:
        """Train until the budget of the search is spent."""
        self._watcher.begin_step(stages.search_step(self._experiment.space))
        self._run(self._experiment.data, self.row_budget, self._on_row_budget)

    def train(self, trials: Sequence[Trial], samples: Callable[[], Samples], n_fits: int = 1) -> None:
        """Train fixed trials to their end, except those whose outcome, and weights of `n_fits` fits, are stored.

        `samples` is called only if at least one trial must be trained. The trials are not proposed by the sampler, so
        as many of them as fit into memory train at once.
        """
        pending = []
        for trial in trials:
            labels = [trial.label] * trial.keep_weights + [out_of_fold.file_label(trial)] * trial.keep_valid_logits
            weights_lost = not all(self._weights.path(label).exists() for label in labels)
            weights_lost |= trial.keep_weights and self._weights.n_fits(trial.label) < n_fits
            if self._study.enqueue(trial, anew=weights_lost):
                pending.append(trial)
        if not pending:
            return
        new_splits = not self._experiment.data.has_single_draw
        self._watcher.begin_step(stages.fixed_step(trials, self._max_epochs(pending), new_splits=new_splits))
        data = samples()
        self._run(data, self._fixed_rows(data), self._note_row_budget)

    def train_members(self, title: str, trials: Sequence[Trial], samples: Samples) -> Mapping[str, TrainedMember]:
        """Train the members of an ensemble to their end, and return them by label.

        Their outcomes are neither stored with the study nor recorded. The progress display shows `title`.
        """
        self._watcher.begin_step(stages.ensemble_step(title, self._max_epochs(trials)))
        members = loop.UnstoredTrials(trials)
        with self._population(samples, self._fixed_rows(samples), self._note_row_budget) as population:
            loop.run_trials(members, population, members.finish, self._watcher.epoch)
        return members.results

    def _max_epochs(self, trials: Sequence[Trial]) -> dict[str, int]:
        """Return the largest number of epochs of each trial, by label."""
        train = self._experiment.space.train
        return {trial.label: trial.epochs or train.of(trial.params).epochs for trial in trials}

    def _fixed_rows(self, samples: Samples) -> int:
        """Return how many fits of fixed trials train at once."""
        experiment, device = self._experiment, self._experiment.device
        return row_budget(
            None,
            experiment.max_parameters,
            self.n_workers,
            free_memory(device),
            len(samples.folds),
            device,
            experiment.weight_copies,
        )

    def _run(self, samples: Samples, rows: int, on_row_budget: Callable[[int], None]) -> None:
        with self._population(samples, rows, on_row_budget) as population:
            loop.run(self._study, population, self._weights, self._recorder, self._watch)

    def _watch(self, score: Score) -> None:
        self._record_epoch(score)
        self._watcher.epoch(score)

    @contextmanager
    def _population(
        self, samples: Samples, rows: int, on_row_budget: Callable[[int], None]
    ) -> Iterator[Population | WorkerPool]:
        """Make the population that trains on `samples`: in the workers if there are several, else in this process."""
        experiment, samples = self._experiment, samples.as_samples()
        space, factory, state = experiment.space, experiment.factory, experiment.networks.state
        if len(self._workers) > 1:
            note = self._watcher.note
            pool = WorkerPool(self._workers, space, factory, samples, rows, state, on_row_budget, note)
            try:
                yield pool
            finally:
                self._workers = pool.workers  # a worker may have died
        else:
            samples = samples.to(experiment.device)
            yield Population.from_space(space, factory, samples, rows, state, on_row_budget)

    def _on_row_budget(self, rows: int) -> None:
        self.row_budget = rows
        self._study.set_attr("rows", rows)
        self._note_row_budget(rows)

    def _note_row_budget(self, rows: int) -> None:
        self._watcher.note(
            f"Out of memory: from now on {rows} networks are trained at once; interrupted trials start again."
        )
