"""The result of a search: what was selected, what it is compared with, and the scores of all of them."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from hpo import nets
from hpo.errors import InputError
from hpo.factory import Factory, arguments, find, name_of
from hpo.metrics import measure, reported, row_losses
from hpo.mlp import Mlp
from hpo.module import Module
from hpo.network import Network
from hpo.space import Space
from hpo.trial import Outcome

if TYPE_CHECKING:  # a worker process builds networks, and does without pandas and scikit-learn
    from hpo.data import Dataset

def test_scores(space: Space, data: Dataset, logits: Tensor) -> dict[str, float]:
    """Every reported metric on the test part."""
    weight = None if data.test_weight is None else data.test_weight.unsqueeze(0)
    names = reported(data.task, space.train.metric)
    scores = measure(names, data.task, logits, data.test_y.unsqueeze(0), weight, data.target_scale)
    return {name: float(score) for name, score in scores.items()}


def margin(space: Space, data: Dataset, ours: Tensor, theirs: Tensor) -> dict[str, Any]:
    """By how much one pair of test logits, each (1, rows, outputs), beats the other, and the paired standard error of it."""
    metric = space.train.metric
    (of, a), (_, b) = (
        row_losses(metric, data.task, logits[0], data.test_y, data.test_weight, data.target_scale) for logits in (ours, theirs)
    )
    better = b - a
    error = float(better.std(correction=0)) / len(better) ** 0.5
    return {"gain": float(better.mean()), "standard_error": error, "of": of, "rows": len(better)}


def _defined(scores: Mapping[str, float]) -> dict[str, float | None]:
    """Scores as JSON has them: one that the rows do not define (an area under a curve of one class) is null."""
    return {name: score if math.isfinite(score) else None for name, score in scores.items()}


def entry(outcome: Outcome, test: Mapping[str, float]) -> dict[str, Any]:
    """One configuration of the result table."""
    return {
        "trial": outcome.trial.label,
        "params": dict(outcome.trial.params),
        "fit_seed": outcome.trial.seed,
        "best_epoch": outcome.best_epoch,
        "nonzero_share": outcome.nonzero_share,
        "train": _defined(outcome.train),
        "valid": _defined(outcome.valid),
        "test": _defined(test),
    }


def versions() -> dict[str, str]:
    """Of everything that has a hand in the numbers."""
    packages = ("hpo", "torch", "optuna", "scikit-learn", "numpy", "pandas", "mlflow")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
