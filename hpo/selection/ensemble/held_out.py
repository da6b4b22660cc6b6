"""Out-of-fold predictions, on which an ensemble is fitted and scored before the test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from hpo.core.metrics import Task, compute_metrics
from hpo.nn.combination import Combination


@dataclass(frozen=True)
class OutOfFoldPredictions:
    """Outputs of every member for rows that its networks were not trained on.

    `logits` are (members, rows, outputs); `y`, `weight` (or None) and `fold`, the number of each row's fold, are
    (rows,). `ordered` says whether the folds follow each other in time. A regression target was divided by `scale`.
    """

    task: Task
    logits: Tensor
    y: Tensor
    weight: Tensor | None
    fold: Tensor
    ordered: bool
    scale: float

    def part(self, rows: Tensor) -> OutOfFoldPredictions:
        """Return the predictions of some rows, given by index or by a boolean mask (rows,)."""
        weight = None if self.weight is None else self.weight[rows]
        return replace(self, logits=self.logits[:, rows], y=self.y[rows], weight=weight, fold=self.fold[rows])

    def scores(self, names: Sequence[str], logits: Tensor) -> dict[str, Tensor]:
        """Compute the named metrics of `logits` (candidates, rows, outputs) for these rows, each (candidates,)."""
        y = self.y.expand(len(logits), -1)
        weight = None if self.weight is None else self.weight.expand(len(logits), -1)
        return compute_metrics(names, self.task, logits, y, weight, self.scale)


FitCombination = Callable[[OutOfFoldPredictions], Combination]


def estimate(predictions: OutOfFoldPredictions, fit: FitCombination, names: Sequence[str]) -> dict[str, float]:
    """Estimate, by cross-validation over the folds, how the combination that `fit` returns would score on new rows.

    Each fold is scored with a combination that is fitted on the other folds (on the earlier ones, if folds are ordered
    in time), because a combination looks better than it is on the rows that it was fitted on. Returns {} if there are
    no such folds to fit on.
    """
    scores: dict[str, list[float]] = {name: [] for name in names}
    for number in sorted(set(predictions.fold.tolist())):
        fitted = predictions.fold < number if predictions.ordered else predictions.fold != number
        if not bool(fitted.any()):
            continue
        held_out = predictions.part(predictions.fold == number)
        logits = fit(predictions.part(fitted)).combine(predictions.task, held_out.logits)
        for name, value in held_out.scores(names, logits.unsqueeze(0)).items():
            scores[name].append(float(value))
    return {name: float(np.nanmean(values)) for name, values in scores.items() if not np.isnan(values).all()}
