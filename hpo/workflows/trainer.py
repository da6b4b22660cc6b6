"""Train the trials of a study, in this process or in a pool of workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hpo.core.samples import Samples
from hpo.core.trial import Trial
from hpo.space.formatting import trial_name
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.training.capacity import free_memory, rows_for
from hpo.training.experiment import Experiment
from hpo.training.population import Population
from hpo.training.worker import Worker
from hpo.training.worker_pool import WorkerPool
from hpo.workflows import loop
from hpo.workflows.callbacks import RunRecorder, Watcher


class StudyTrainer:
    """Trains the search itself and, after it, fixed lists of trials: finalists, ablations, refits, ensemble members.

    All of them run through the same loop, so all of them use the workers, are recorded and can be resumed.
    """

    def __init__(
        self,
        experiment: Experiment,
        study: Study,
        weights: WeightStore,
        recorder: RunRecorder,
        watcher: Watcher,
        workers: Sequence[Worker] = (),
    ) -> None:
        self._experiment, self._study, self._weights = experiment, study, weights
        self._recorder, self._watcher = recorder, watcher
        self.row_budget = study.get_attr("rows") or experiment.rows(max(1, len(workers)))
        study.set_attr("rows", self.row_budget)
        most_workers = max(1, self.row_budget // len(experiment.data.folds))
        self._workers = [] if experiment.space.is_point else list(workers[:most_workers])

    @property
    def n_workers(self) -> int:
        """The number of processes that train, this one included if there are no workers."""
        return max(1, len(self._workers))

    def search(self) -> None:
        """Train until the budget of the search is spent."""
        self._run(self._experiment.data, self.row_budget, self._on_row_budget)

    def train(self, trials: Sequence[Trial], samples: Callable[[], Samples]) -> None:
        """Train fixed trials to their end, except those whose outcome the study already holds.

        `samples` is called only if at least one trial must be trained. The trials are not proposed by the sampler, so
        as many of them as fit into memory train at once.
        """
        for trial in trials:
            weights_lost = trial.keep_weights and not self._weights.path(trial.label).exists()
            self._study.enqueue(trial, anew=weights_lost)
        if not self._study.has_pending:
            return
        self._watcher.phase(phase_title(trials), len(trials))
        experiment, device, data = self._experiment, self._experiment.device, samples()
        rows = rows_for(
            None,
            experiment.max_parameters,
            self.n_workers,
            free_memory(device),
            len(data.folds),
            device,
            experiment.weight_copies,
        )
        self._run(data, rows, self._note_row_budget)

    def _run(self, samples: Samples, rows: int, on_row_budget: Callable[[int], None]) -> None:
        population = self._population(samples.samples(), rows, on_row_budget)
        loop.run(self._study, population, self._weights, self._recorder, self._watcher.epoch)
        if isinstance(population, WorkerPool):
            self._workers = population.workers  # a worker may have died

    def _population(self, samples: Samples, rows: int, on_row_budget: Callable[[int], None]) -> loop.Trainer:
        space, factory, state = self._experiment.space, self._experiment.factory, self._experiment.networks.state
        if len(self._workers) > 1:
            note = self._watcher.note
            return WorkerPool(self._workers, space, factory, samples, rows, state, on_row_budget, note)
        samples = samples.to(self._experiment.device)
        return Population.from_space(space, factory, samples, rows, state, on_row_budget)

    def _on_row_budget(self, rows: int) -> None:
        self.row_budget = rows
        self._study.set_attr("rows", rows)
        self._note_row_budget(rows)

    def _note_row_budget(self, rows: int) -> None:
        self._watcher.note(
            f"Out of memory: from now on {rows} networks are trained at once; interrupted trials start again."
        )


def phase_title(trials: Sequence[Trial]) -> str:
    """Name what is trained after the search, for the line `training …` of the terminal."""
    role, many = trials[0].role, len(trials) > 1
    if role == "ablation":
        return trial_name(trials[0].label)
    finalists = f"{len(trials)} finalists" if many else "1 finalist"
    return {
        "finalist": f"{finalists} on new splits and seeds",
        "nested": "for nested cross-validation of the final training",
        "refit": "the final networks" if many else "the final network",
    }[role]
