"""The crew: trials spread over worker processes. To the loop it is a population.

A worker that has trained an epoch is judged, filled up and sent on at once; no worker waits for another's epoch. The
crew does not mind that a worker dies: a trial's scores depend on nothing but data, configuration and seed, so it is
trained again elsewhere, and the epochs that the loop has seen are not told twice. At the end of a search, when nothing
new comes in, a worker that runs out of trials takes over half of another's, as far as they have come.
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
from hpo.training.population import MovedTrial, Population
from hpo.training.worker import Worker, WorkerLostError


@dataclass
class _Member:
    trial: Trial
    worker: Worker
    entering: Trial | MovedTrial | None  # what its worker is still to be sent
    epoch: int = 0  # the last that the loop was told of


class WorkerPool:
    """Room for `rows` fits in all workers together; `less` is called with a smaller number when memory runs out in one of them,
    `note` is told in a sentence when one is lost. The same workers may be given to another crew when this one has no trials left."""

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
        self._less = on_row_budget
        self._note = note
        self._members: dict[str, _Member] = {}
        self._surrendered: dict[Worker, int] = {}  # rows, for want of memory, so far
        self._training: list[Worker] = []  # in the order in which their epochs began
        for worker in workers:
            try:
                worker.begin(*self._task)
            except WorkerLostError as lost:
                self._lose(lost.worker)

    @property
    def workers(self) -> list[Worker]:
        """Those that are alive, as far as is known."""
        return list(self._workers)

    def has_room(self, besides: int = 0) -> bool:
        """Whether one more trial finds room, `besides` so many that are not here (the first trial always does)."""
        held = len(self._members) + besides
        return not held or (held + 1) * self._fits <= self._rows

    def admit(self, trial: Trial) -> None:
        """Gives `trial` to the worker that has the fewest."""
        self._members[trial.label] = _Member(trial, self._least(), trial)

    def train_epoch(self) -> Iterator[Score]:
        """Has every idle worker begin an epoch, and yields the scores of one that has finished its own."""
        try:
            idle = [worker for worker in self._workers if worker not in self._training]
            for worker in idle:
                self._rebalance(worker)
            for worker in idle:
                self._begin(worker)
            scores = self._finished()
        except WorkerLostError as lost:
            self._lose(lost.worker)
            return
        for score in scores:
            member = self._members[score.trial.label]
            if score.epoch > member.epoch:
                member.epoch = score.epoch
                yield score

    def release(self, trial: Trial) -> TrainedTrial:
        """Frees the rows of a trial that was just scored, and returns what it learned."""
        member = self._members.pop(trial.label)
        if member.entering:
            return self._retrain(member)
        try:
            released: TrainedTrial = member.worker.ask("release", trial)
        except WorkerLostError as lost:
            self._lose(lost.worker)
            return self._retrain(member)
        return released

    def _rebalance(self, worker: Worker) -> None:
        """Takes from an idle worker half of what it has more than the one with the fewest, the youngest trials first."""
        other, mine = self._least(), self._of(worker)
        surplus = (len(mine) - len(self._of(other))) // 2
        if surplus < 1 or any(member.entering for member in mine):
            return
        moving = mine[-surplus:]
        given: list[MovedTrial | Trial] = worker.ask("give", [member.trial for member in moving])
        for member, entering in zip(moving, given, strict=True):
            member.worker, member.entering = other, entering

    def _begin(self, worker: Worker) -> None:
        if mine := self._of(worker):
            worker.send("train", [member.entering for member in mine if member.entering])
            self._training.append(worker)
            for member in mine:
                member.entering = None

    def _finished(self) -> list[Score]:
        """The scores of the worker that has finished its epoch; of several, of the one that began first."""
        if not self._training:
            return []
        ready = wait([worker.pipe for worker in self._training])
        worker = next(worker for worker in self._training if worker.pipe in ready)
        self._training.remove(worker)
        scores: list[Score]
        scores, surrendered = worker.receive()
        if less := surrendered - self._surrendered.get(worker, 0):
            self._surrendered[worker] = surrendered
            self._rows = max(self._fits, self._rows - less)
            self._less(self._rows)
        return scores

    def _of(self, worker: Worker) -> list[_Member]:
        return [member for member in self._members.values() if member.worker is worker]

    def _least(self) -> Worker:
        """The worker with the fewest trials; of equals an idle one."""
        return min(self._workers, key=lambda worker: (len(self._of(worker)), worker in self._training))

    def _lose(self, worker: Worker) -> None:
        """Spreads the trials of a process that is gone over the others. Raises WorkersError if there is none left."""
        how = worker.fate()
        self._workers.remove(worker)
        if not self._workers:
            raise WorkersError(
                f"The last worker process ended ({how}). What has ended is stored; the same command goes on from here, "
                f"with fewer workers if memory is short."
            )
        lost = self._of(worker)
        for member in lost:
            member.worker, member.entering = self._least(), member.entering or member.trial
        self._note(f"A worker process ended ({how}); its {len(lost)} trials are trained by the others.")

    def _retrain(self, member: _Member) -> TrainedTrial:
        """Trains a trial as far as it had come, here: its worker was lost before it could hand it over."""
        population = Population.from_space(*self._task)
        population.admit(member.trial)
        for _ in range(member.epoch):
            list(population.train_epoch())
        return population.release(member.trial)
