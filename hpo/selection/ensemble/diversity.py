"""How much the members of an ensemble differ: only where they err in different places do they help each other."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from torch import Tensor

from hpo.core.metrics import Task


def diversity(task: Task, logits: Tensor, y: Tensor, scale: float) -> dict[str, float]:
    """Means over the pairs of members, whose `logits` are (members, rows, outputs), `y` (rows,); nothing of a single member.

    `disagreement`: the share of rows for which two predict different classes, or how far apart their numbers are on average, in the
    target's own units (it was divided by `scale`). `error_correlation`: Pearson's, of what each lacks of the certainty that the
    true class is it, or of the errors of numbers; members that never err differently from row to row have none.
    """
    if task == "classification":
        said = logits.argmax(2).numpy()
        errors = 1 - logits.double().softmax(2).numpy()[:, np.arange(len(y)), y.numpy()]
        apart = [float((a != b).mean()) for a, b in combinations(said, 2)]
    else:
        said = scale * logits[..., 0].double().numpy()
        errors = said - scale * y.double().numpy()
        apart = [float(np.abs(a - b).mean()) for a, b in combinations(said, 2)]
    if not apart:
        return {}
    errors = errors[errors.std(1) > 0]
    found = {"disagreement": float(np.mean(apart))}
    if len(errors) > 1:
        found["error_correlation"] = float(np.corrcoef(errors)[np.triu_indices(len(errors), 1)].mean())
    return found
