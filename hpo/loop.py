"""The loop of a search: rows are filled with proposed trials, trained an epoch, judged, freed and filled again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from hpo.recorder import Recorder
from hpo.study import Study
from hpo.trial import Released, Score, Trial
from hpo.weights import Vault


class Trains(Protocol):
    """What the loop needs of a population; recorded curves can stand in for training."""

    def room(self) -> bool: ...
    def busy(self) -> bool: ...
    def admit(self, trial: Trial) -> None: ...
    def train_epoch(self) -> Iterator[Score]: ...
    def release(self, trial: Trial) -> Released: ...


def run(
    study: Study, population: Trains, vault: Vault, recorder: Recorder, watch: Callable[[Score], None] = lambda _: None
) -> None:
    """Runs the study until nothing is left to start and nothing is in training."""
    while study.open() or population.busy():
        while population.room() and study.open():
            population.admit(study.ask())
        for score in population.train_epoch():
            if study.over(score):
                released = population.release(score.trial)
                if score.trial.kept:
                    vault.put(score.trial.label, released.weights)
                recorder.record(study.finish(score.trial, released))
            watch(score)
