"""The training loop: start trials while there is room, train an epoch, end trials, release them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from hpo.core.trial import Score, TrainedTrial, Trial
from hpo.selection import out_of_fold
from hpo.selection.ensemble.context import TrainedMember
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.workflows.callbacks import RunRecorder


class Trainer(Protocol):
    """The part of a population that the loop needs; tests replay recorded curves in its place."""

    def has_room(self, n_elsewhere: int = 0) -> bool: ...
    def admit(self, trial: Trial) -> None: ...
    def train_epoch(self) -> Iterator[Score]: ...
    def release(self, trial: Trial) -> TrainedTrial: ...


class TrialSource(Protocol):
    """Decides which trial starts next and which trials end; see `Study`."""

    def is_running(self) -> bool: ...
    def has_next(self) -> bool: ...
    def n_replayed(self) -> int: ...
    def ask(self) -> Trial: ...
    def report(self, scores: Iterable[Score]) -> list[Trial]: ...


class UnstoredTrials:
    """A fixed list of trials that are trained to their end; `results` holds the trained trials by label."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self._pending = list(trials)
        self._running = 0
        self._diverged: set[str] = set()
        self.results: dict[str, TrainedMember] = {}

    def is_running(self) -> bool:
        """Return whether any trial is unfinished."""
        return bool(self._pending or self._running)

    def has_next(self) -> bool:
        """Return whether any trial is left to start."""
        return bool(self._pending)

    def n_replayed(self) -> int:
        """Return 0: these trials are not resumed."""
        return 0

    def ask(self) -> Trial:
        """Return the next trial to start."""
        self._running += 1
        return self._pending.pop(0)

    def report(self, scores: Iterable[Score]) -> list[Trial]:
        """Record one epoch of the trials in training; return the trials that end with it."""
        ended = [score for score in scores if score.stop_reason or not score.finite]
        self._diverged |= {score.trial.label for score in ended if not score.finite}
        return [score.trial for score in ended]

    def finish(self, trial: Trial, trained: TrainedTrial) -> None:
        """Keep a trained trial."""
        self._running -= 1
        self.results[trial.label] = TrainedMember(trained, trial.label in self._diverged)


def run(
    study: Study,
    population: Trainer,
    weights: WeightStore,
    recorder: RunRecorder,
    watch: Callable[[Score], None] = lambda _: None,
) -> None:
    """Train the trials of a study until none is left, and store and record each outcome."""

    def finish(trial: Trial, trained: TrainedTrial) -> None:
        if trial.keep_weights:
            weights.save(trial.label, trained.weights)
        outcome = study.finish(trial, trained)
        if trial.keep_valid_logits:
            out_of_fold.save(weights, outcome, trained, study.metric.name)
        recorder.record(outcome)

    run_trials(study, population, finish, watch)


def run_trials(
    source: TrialSource,
    population: Trainer,
    finish: Callable[[Trial, TrainedTrial], None],
    watch: Callable[[Score], None] = lambda _: None,
) -> None:
    """Train the trials of a source until none is left.

    `finish` is called with each trained trial, `watch` with the score of each epoch.
    """
    while source.is_running():
        while source.has_next() and population.has_room(source.n_replayed()):
            population.admit(source.ask())
        scores = list(population.train_epoch())
        for trial in source.report(scores):
            finish(trial, population.release(trial))
        for score in scores:
            watch(score)
