"""The loop of a search: rows are filled with proposed trials, trained an epoch, judged, freed and filled again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from hpo.core.trial import Score, TrainedTrial, Trial
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.tracking.recorder import Recorder


class Trainer(Protocol):
    """What the loop needs of a population; recorded curves can stand in for training."""

    def has_room(self, besides: int = 0) -> bool: ...
    def admit(self, trial: Trial) -> None: ...
    def train_epoch(self) -> Iterator[Score]: ...
    def release(self, trial: Trial) -> TrainedTrial: ...


def run(
    study: Study,
    population: Trainer,
    vault: WeightStore,
    recorder: Recorder,
    watch: Callable[[Score], None] = lambda _: None,
) -> None:
    """Runs the study until nothing is left to start and nothing is in training."""
    while study.is_running():
        while study.has_next() and population.has_room(study.n_replayed()):
            population.admit(study.ask())
        scores = list(population.train_epoch())
        for trial in study.report(scores):
            released = population.release(trial)
            if trial.keep_weights:
                vault.save(trial.label, released.weights)
            recorder.record(study.finish(trial, released))
        for score in scores:
            watch(score)
