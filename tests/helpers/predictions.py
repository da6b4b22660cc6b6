"""Out-of-fold predictions of made-up networks, and trials in training as the loop of a search records them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from hpo.core.metrics import Task
from hpo.core.trial import Outcome, TrainedTrial, Trial
from hpo.selection.out_of_fold import DrawPredictions
from hpo.study.progress import RunningTrial
from hpo.training.population import Population


def draw_of(
    task: Task,
    y: Tensor,
    logits: Mapping[str, Tensor],
    row: Tensor | None = None,
    weight: Tensor | None = None,
    scale: float = 1.0,
) -> DrawPredictions:
    """Return the predictions `logits` (rows, outputs) of a draw with one fold, for the rows 0, 1, … or for `row`."""
    row = torch.arange(len(y)) if row is None else row
    return DrawPredictions(task, row, torch.zeros_like(row), y, weight, scale, logits)


def train_recorded(
    population: Population, trials: list[Trial], meanwhile: Callable[[int], Population] | None = None
) -> dict[str, tuple[Outcome, TrainedTrial]]:
    """Train trials to their end; return the outcome that a study would store, and the trained trial, by label.

    `meanwhile` is called with the number of each epoch, from 1, after it, and returns the population that continues.
    """
    running = {of.label: RunningTrial(of, 0, 0.0) for of in trials}
    for of in trials:
        population.admit(of)
    found: dict[str, tuple[Outcome, TrainedTrial]] = {}
    epoch = 0
    while len(found) < len(trials):
        for score in list(population.train_epoch()):
            running[score.trial.label].record(score)
            if score.stop_reason:
                trained = population.release(score.trial)
                outcome = running[score.trial.label].to_outcome(
                    trained, score.metric.removeprefix("valid_"), (score.metric,), 1
                )
                found[score.trial.label] = (outcome, trained)
        epoch += 1
        population = meanwhile(epoch) if meanwhile else population
    return found
