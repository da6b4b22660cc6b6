"""The objectives of a multi-objective search, and Pareto fronts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpo.core.metrics import METRICS
from hpo.core.trial import TrainedTrial, train_valid_gap

# Objectives that are not metrics, all to be minimized.
_OTHER = ("train_loss", "gap", "nonzero_share", "parameters", "seconds", "epochs")
OBJECTIVES = (*(f"valid_{name}" for name in METRICS), *_OTHER)


def lower_is_better(name: str) -> bool:
    """Return whether the search minimizes the objective `name`."""
    return name in _OTHER or METRICS[name.removeprefix("valid_")].better == "lower"


def minimized(name: str, value: float) -> float:
    """Return a value of the objective `name`, negated if the objective is maximized, so that lower is better."""
    return value if lower_is_better(name) else -value


def compute_objectives(names: Sequence[str], trained: TrainedTrial, epochs: int, seconds: float) -> dict[str, float]:
    """Return the named objectives of a trial at its best epoch.

    `gap` is validation loss minus training loss, `parameters` the number of weights of one network of the trial, and
    `seconds` the time from the start to the end of the trial, during which other trials are trained as well.
    """
    values = {f"valid_{name}": value for name, value in trained.valid.items()}
    values["train_loss"] = trained.train["loss"]
    values["gap"] = train_valid_gap(trained.train, trained.valid)
    values["nonzero_share"] = trained.nonzero_share
    values["parameters"] = float(sum(tensor[0].numel() for tensor in trained.weights.values()))
    values |= {"seconds": seconds, "epochs": float(epochs)}
    return {name: values[name] for name in names}


def pareto_front(values: Sequence[Sequence[float]]) -> list[int]:
    """Return the ascending indices of the Pareto-optimal rows of `values` (points, objectives), all to be minimized.

    A point dominates another one if it is at least as good in every objective and better in at least one. Equal
    points do not dominate each other.
    """
    points = np.asarray(values, dtype=float)
    return [
        index
        for index, point in enumerate(points)
        if not ((points <= point).all(axis=1) & (points < point).any(axis=1)).any()
    ]
