"""Predictions of re-evaluated configurations for rows that their networks were not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from hpo.core import statistics
from hpo.core.metrics import METRICS, Task
from hpo.core.samples import Samples, scored_rows
from hpo.core.trial import Outcome, TrainedTrial, Trial
from hpo.study.weights import WeightStore

_LOGITS = "logits"


@dataclass(frozen=True)
class DrawPredictions:
    """The validation rows of all folds of one draw of new splits, and the predictions for them.

    `row` (rows,) numbers the development rows, so that draws can be matched; `fold`, `y` and `weight` (or None) are
    (rows,). `logits` holds (rows, outputs) for each configuration. A regression target was divided by `scale`.
    """

    task: Task
    row: Tensor
    fold: Tensor
    y: Tensor
    weight: Tensor | None
    scale: float
    logits: Mapping[str, Tensor]

    def only(self, label: str) -> DrawPredictions:
        """Return the predictions of one configuration."""
        return replace(self, logits={label: self.logits[label]})

    def part(self, index: Tensor) -> DrawPredictions:
        """Return the predictions for some of the rows, given by their positions."""
        return replace(
            self,
            row=self.row[index],
            fold=self.fold[index],
            y=self.y[index],
            weight=None if self.weight is None else self.weight[index],
            logits={label: logits[index] for label, logits in self.logits.items()},
        )


@dataclass(frozen=True)
class StoredLogits(Mapping[str, Tensor]):
    """The stored logits of `trials`, by the label of their configuration. They are read whenever they are asked for,
    so that those of all configurations are never in memory at once."""

    store: WeightStore
    trials: Mapping[str, Trial]

    def __getitem__(self, label: str) -> Tensor:
        return self.store.load(file_label(self.trials[label]))[_LOGITS]

    def __iter__(self) -> Iterator[str]:
        return iter(self.trials)

    def __len__(self) -> int:
        return len(self.trials)

    def __contains__(self, label: object) -> bool:  # that of Mapping would read the logits
        return label in self.trials


def save(store: WeightStore, outcome: Outcome, trained: TrainedTrial, metric: str) -> None:
    """Store the logits of a re-evaluated trial, each fold at the epoch at which the other folds stop.

    `metric` is the followed metric. A trial that diverged has no logits.
    """
    folds = [torch.empty(0)]
    if outcome.state == "complete":
        curve = np.array(outcome.fold_curves[f"valid_{metric}"])
        stops = statistics.common_stops(curve, METRICS[metric])
        folds = [kept[min(stop, len(kept) - 1)] for kept, stop in zip(trained.valid_logits, stops, strict=True)]
    store.save(file_label(outcome.trial), {_LOGITS: torch.cat(folds)})


def load(store: WeightStore, trials: Mapping[str, Trial], samples: Samples, n_rows: int) -> DrawPredictions:
    """Return the predictions of trials that were evaluated on the folds of `samples`, whose logits are read when they
    are used. `trials` are by the label of their configuration.

    The rows are the scored validation rows of each fold (see `scored_rows`) of all `n_rows` development rows.
    """
    valid = [scored_rows(fold.valid) for fold in samples.folds]
    rows = torch.cat(valid)
    return DrawPredictions(
        task=samples.task,
        row=rows % n_rows,
        fold=torch.cat([torch.full_like(part, number) for number, part in enumerate(valid)]),
        y=samples.y[rows],
        weight=None if samples.weight is None else samples.weight[rows],
        scale=samples.target_scale,
        logits=StoredLogits(store, trials),
    )


def file_label(trial: Trial) -> str:
    """Return the label under which the logits of a trial are stored."""
    return f"{trial.label}-valid"
