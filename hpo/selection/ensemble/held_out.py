"""What networks say of rows that they were not trained on: all that an ensemble is chosen and judged by before the test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from hpo.core.metrics import Task, compute_metrics
from hpo.nn.combination import Combination


@dataclass(frozen=True)
class OutOfFoldPredictions:
    """`logits` (members, rows, outputs) of rows with the targets `y` (rows,) and their `weight` (rows,) or None. `fold` (rows,): who
    was judged together, and `ordered` if folds follow each other in time. A regression target was divided by `scale`."""

    task: Task
    logits: Tensor
    y: Tensor
    weight: Tensor | None
    fold: Tensor
    ordered: bool
    scale: float

    def part(self, rows: Tensor) -> OutOfFoldPredictions:
        """Some of the rows, by index or by truth values (rows,)."""
        weight = None if self.weight is None else self.weight[rows]
        return replace(self, logits=self.logits[:, rows], y=self.y[rows], weight=weight, fold=self.fold[rows])

    def scores(self, names: Sequence[str], logits: Tensor) -> dict[str, Tensor]:
        """Each named metric of each of `logits` (some, rows, outputs), said of these rows: (some,)."""
        y = self.y.expand(len(logits), -1)
        weight = None if self.weight is None else self.weight.expand(len(logits), -1)
        return compute_metrics(names, self.task, logits, y, weight, self.scale)


FitCombination = Callable[[OutOfFoldPredictions], Combination]


def estimate(unseen: OutOfFoldPredictions, fit: FitCombination, names: Sequence[str]) -> dict[str, float]:
    """What an ensemble is expected to score that `fit` makes of all rows: the mean over folds, each judged by what is fitted on the
    others, over time on those before. Nothing where there are no such others.

    On the rows it was fitted on it would look better than new rows will find it.
    """
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in sorted(set(unseen.fold.tolist())):
        others = unseen.fold < number if unseen.ordered else unseen.fold != number
        if not bool(others.any()):
            continue
        judged = unseen.part(unseen.fold == number)
        said = fit(unseen.part(others)).combine(unseen.task, judged.logits)
        for name, value in judged.scores(names, said.unsqueeze(0)).items():
            found[name].append(float(value))
    return {name: float(np.nanmean(values)) for name, values in found.items() if not np.isnan(values).all()}
