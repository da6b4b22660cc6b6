"""Observe a search: its stages, its finalists, and how many networks train at each time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from hpo.core.trial import Score
from hpo.selection.finals import Finals
from hpo.workflows.callbacks import Watcher
from hpo.workflows.stages import Stage, Step


class Trained(NamedTuple):
    """A trial was trained for one epoch, which ended at `time`, with this number of fits."""

    time: float
    trial: str
    fits: int


class InFlight(NamedTuple):
    """The seconds of a period, the seconds of it in which networks were trained, and these seconds summed over the
    networks."""

    seconds: float
    training: float
    fit_seconds: float


def in_flight(epochs: Sequence[Trained], starts: Sequence[float], begin: float, end: float) -> InFlight:
    """Measure the training from `begin` to `end`.

    All trials in training are trained for an epoch in one round. A round ends before the next epoch of a trial that it
    contains, and where a step starts (`starts`). It began where the last round ended or, if that is later, where its
    step started.
    """
    starts = sorted(starts)
    training = fit_seconds = 0.0
    for first, last, fits in _rounds(epochs, starts):
        length = max(0.0, min(last, end) - max(first, begin))
        training += length
        fit_seconds += fits * length
    return InFlight(end - begin, training, fit_seconds)


def _rounds(epochs: Sequence[Trained], starts: Sequence[float]) -> list[tuple[float, float, int]]:
    """Return the begin, the end and the number of fits of each round."""
    rounds: list[tuple[float, float, int]] = []
    seen: set[str] = set()
    for epoch in epochs:
        step = max((start for start in starts if start <= epoch.time), default=epoch.time)
        before = rounds[-1][1] if rounds else step
        if rounds and epoch.trial not in seen and before >= step:
            rounds[-1] = (rounds[-1][0], epoch.time, rounds[-1][2] + epoch.fits)
        else:
            rounds.append((max(before, step), epoch.time, epoch.fits))
            seen.clear()
        seen.add(epoch.trial)
    return rounds


class Observer(Watcher):
    """Keeps the start of each step, the epochs of all trials, and the finals. Times are in seconds since 1970."""

    def __init__(self) -> None:
        self.began = time.time()
        self.steps: list[tuple[float, Stage]] = []
        self.epochs: list[Trained] = []
        self.finals: Finals | None = None

    def begin_step(self, step: Step) -> None:
        self.steps.append((time.time(), step.stage))

    def epoch(self, score: Score) -> None:
        self.epochs.append(Trained(time.time(), score.trial.label, score.fits_trained))

    def selected(self, finals: Finals) -> None:
        self.finals = finals

    def seconds(self, end: float) -> dict[str, float]:
        """Return the seconds of each stage, which lasts until the next one; the last one lasts until `end`."""
        spent = dict.fromkeys((stage.value for stage in Stage), 0.0)
        for (begin, stage), (after, _) in zip(self.steps, [*self.steps[1:], (end, Stage.REPORT)], strict=True):
            spent[stage.value] += after - begin
        return spent
