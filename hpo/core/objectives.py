"""What a search can be told to weigh against each other, of a trial that has ended.

Pareto fronts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpo.core.metrics import METRICS
from hpo.core.trial import TrainedTrial

# All less the better; `valid_` and the name of a metric are objectives as well.
_OWN = ("train_loss", "gap", "nonzero_share", "parameters", "seconds", "epochs")
OBJECTIVES = (*(f"valid_{name}" for name in METRICS), *_OWN)


def sign(name: str) -> int:
    """1 where less is better, -1 where more is."""
    return 1 if name in _OWN else METRICS[name.removeprefix("valid_")].sign


def compute_objectives(names: Sequence[str], released: TrainedTrial, epochs: int, seconds: float) -> dict[str, float]:
    """The objectives of a trial, at its best epoch: `gap` is validation loss minus training loss, `parameters` the numbers in the
    weights of one of its networks, `seconds` the time it was in training, whoever trained beside it."""
    known = {f"valid_{name}": value for name, value in released.valid.items()}
    known["train_loss"] = released.train["loss"]
    known["gap"] = released.valid["loss"] - released.train["loss"]
    known["nonzero_share"] = released.nonzero_share
    known["parameters"] = float(sum(tensor[0].numel() for tensor in released.weights.values()))
    known |= {"seconds": seconds, "epochs": float(epochs)}
    return {name: known[name] for name in names}


def pareto_front(values: Sequence[Sequence[float]], signs: Sequence[int]) -> list[int]:
    """The indices, in order, of the rows of `values` (points, objectives) that no other row dominates: is at least as good in
    every objective and better in one. `signs` are 1 where less is better, -1 where more is. Equal rows dominate neither."""
    points = np.asarray(values, dtype=float).reshape(len(values), len(signs)) * np.asarray(signs)
    return [
        index
        for index, point in enumerate(points)
        if not ((points <= point).all(axis=1) & (points < point).any(axis=1)).any()
    ]
