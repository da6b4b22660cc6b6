"""A pool of worker processes behind the interface of a population.

A worker that has trained an epoch is given new trials and the next epoch at once; it does not wait for other workers. A
worker may die at any time: the scores of a trial depend only on data, configuration and seed, so its trials are trained
again in other workers, and epochs that were already reported are not reported twice. At the end of a search, when no
new trials come in, a worker without trials takes over half of the trials of another worker, with their state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from types import MappingProxyType

from hpo.core.errors import WorkersError
from hpo.core.importing import Factory
from hpo.core.samples import Samples
from hpo.core.trial import Score, TrainedTrial, Trial
from hpo.nn.network import Tensors
from hpo.space.space import Space
from hpo.training.population import Population
from hpo.training.trial_rows import MovedTrial
from hpo.training.worker import Worker, WorkerLostError


@dataclass
class _Member:
    trial: Trial
    worker: Worker
    entering: Trial | MovedTrial | None  # the trial, until it is sent to the worker
    epoch: int = 0  # the last reported epoch


class WorkerPool:
    """Trains trials on one data set in several processes, up to `rows` fits at once.

    `on_row_budget` is called with a smaller number of rows when memory runs out in a worker, and `note` is called with
    a sentence when a worker is lost. When the pool has no trials left, its workers can be used by another pool.
    """

    def __init__(
        self,
        workers: list[Worker],
        space: Space,
        factory: Factory | None,
        data: Samples,
        rows: int,
        state: Tensors = MappingProxyType({}),
        on_row_budget: Callable[[int], None] = lambda _: None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._workers = list(workers)
        self._task = (space, factory, data, rows, dict(state))
        self._fits = len(data.folds)
        self._rows = rows
        self._on_row_budget = on_row_budget
        self._note = note
        self.members: dict[str, _Member] = {}
        self._rows_lost: dict[Worker, int] = {}
        self._training: list[Worker] = []  # in the order in which their epochs began
        for worker in workers:
            try:
                worker.start_task(*self._task)
            except WorkerLostError as lost:
                self._lose(lost.worker)

    @property
    def workers(self) -> list[Worker]:
        """The workers that have not been lost."""
        return list(self._workers)

    def has_room(self, n_elsewhere: int = 0) -> bool:
        """Return whether there is room for another trial, counting `n_elsewhere` trials outside the pool as well.

        An empty pool always has room for one trial.
        """
        trials = len(self.members) + n_elsewhere
        return not trials or (trials + 1) * self._fits <= self._rows

    def admit(self, trial: Trial) -> None:
        """Assign `trial` to the worker with the fewest trials."""
        self.members[trial.label] = _Member(trial, self._least_busy(), trial)

    def train_epoch(self) -> Iterator[Score]:
        """Start an epoch in every idle worker, and yield the scores of one worker that has finished its epoch."""
        try:
            idle = [worker for worker in self._workers if worker not in self._training]
            for worker in idle:
                self._rebalance(worker)
            for worker in idle:
                self._start_epoch(worker)
            scores = self._finished_scores()
        except WorkerLostError as lost:
            self._lose(lost.worker)
            return
        for score in scores:
            member = self.members[score.trial.label]
            if score.epoch > member.epoch:
                member.epoch = score.epoch
                yield score

    def release(self, trial: Trial) -> TrainedTrial:
        """Free the rows of a trial that was just scored, and return the trained trial."""
        member = self.members.pop(trial.label)
        if member.entering:
            return self._retrain(member)
        try:
            trained: TrainedTrial = member.worker.request("release", trial)
        except WorkerLostError as lost:
            self._lose(lost.worker)
            return self._retrain(member)
        return trained

    def _retrain(self, member: _Member) -> TrainedTrial:
        """Train a trial whose worker died before its release up to its last reported epoch, in this process."""
        return Population.from_space(*self._task).train_alone(member.trial, member.epoch)

    # ---- workers

    def _rebalance(self, worker: Worker) -> None:
        """Move half of the surplus of an idle worker to the worker with the fewest trials, youngest trials first."""
        target, members = self._least_busy(), self._members_of(worker)
        surplus = (len(members) - len(self._members_of(target))) // 2
        if surplus < 1 or any(member.entering for member in members):
            return
        moving = members[-surplus:]
        detached: list[MovedTrial | Trial] = worker.request("detach", [member.trial for member in moving])
        for member, entering in zip(moving, detached, strict=True):
            member.worker, member.entering = target, entering

    def _start_epoch(self, worker: Worker) -> None:
        if members := self._members_of(worker):
            worker.send("train", [member.entering for member in members if member.entering])
            self._training.append(worker)
            for member in members:
                member.entering = None

    def _finished_scores(self) -> list[Score]:
        """Wait for a worker to finish its epoch, and receive its scores; of several, take the first to start."""
        if not self._training:
            return []
        ready = wait([worker.pipe for worker in self._training])
        worker = next(worker for worker in self._training if worker.pipe in ready)
        self._training.remove(worker)
        scores: list[Score]
        scores, rows_lost = worker.receive()
        if newly_lost := rows_lost - self._rows_lost.get(worker, 0):
            self._rows_lost[worker] = rows_lost
            self._rows = max(self._fits, self._rows - newly_lost)
            self._on_row_budget(self._rows)
        return scores

    def _members_of(self, worker: Worker) -> list[_Member]:
        return [member for member in self.members.values() if member.worker is worker]

    def _least_busy(self) -> Worker:
        """Return the worker with the fewest trials; among several, prefer an idle one."""
        return min(self._workers, key=lambda worker: (len(self._members_of(worker)), worker in self._training))

    def _lose(self, worker: Worker) -> None:
        """Assign the trials of a dead worker to the other workers. Raises WorkersError if it was the last one."""
        reason = worker.exit_reason()
        self._workers.remove(worker)
        if not self._workers:
            raise WorkersError(
                f"The last worker process ended ({reason}). Trials that have ended are stored; the same command "
                f"resumes the search, with fewer workers if memory is short."
            )
        lost = self._members_of(worker)
        for member in lost:
            member.worker, member.entering = self._least_busy(), member.entering or member.trial
        self._note(f"A worker process ended ({reason}); its {len(lost)} trials are trained by the others.")
