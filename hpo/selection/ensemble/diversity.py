"""The diversity of an ensemble: members improve on each other only where their errors differ."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from torch import Tensor

from hpo.core.metrics import Task


def diversity(task: Task, logits: Tensor, y: Tensor, scale: float) -> dict[str, float]:
    """Measure how much members differ, as means over pairs; `logits` are (members, rows, outputs), `y` (rows,).

    `disagreement`: the share of rows for which two members predict different classes, or the mean absolute difference
    of their predictions, in the unit of the target (which was divided by `scale`). `error_correlation`: Pearson's
    correlation of the errors, leaving out members whose error is the same for all rows; in a classification, the error
    is 1 minus the probability of the true class. Returns {} for a single member.
    """
    if task == "classification":
        predictions = logits.argmax(2).numpy()
        errors = 1 - logits.double().softmax(2).numpy()[:, np.arange(len(y)), y.numpy()]
        differences = [float((a != b).mean()) for a, b in combinations(predictions, 2)]
    else:
        predictions = scale * logits[..., 0].double().numpy()
        errors = predictions - scale * y.double().numpy()
        differences = [float(np.abs(a - b).mean()) for a, b in combinations(predictions, 2)]
    if not differences:
        return {}
    measures = {"disagreement": float(np.mean(differences))}
    errors = errors[errors.std(1) > 0]
    if len(errors) > 1:
        pairs = np.triu_indices(len(errors), 1)
        measures["error_correlation"] = float(np.corrcoef(errors)[pairs].mean())
    return measures
