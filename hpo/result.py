"""The result of a search: what was selected, what it is compared with, and the scores of all of them."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from torch import Tensor

from hpo.data import Dataset
from hpo.metrics import measure, reported, row_losses
from hpo.network import Mlp
from hpo.space import Space
from hpo.trial import Outcome, Trial


def network(space: Space, data: Dataset, trial: Trial) -> Mlp:
    """The network of a trial."""
    kind = space.network
    return Mlp(
        data.n_inputs, data.n_outputs, int(trial.params["depth"]), kind.width, kind.activation, kind.batch_norm
    )


def test_scores(space: Space, data: Dataset, outcome: Outcome, weights: Mapping[str, Tensor]) -> dict[str, float]:
    """Every reported metric on the test part: touched here, and nowhere else."""
    logits = network(space, data, outcome.trial).predict(weights, data.test_x.unsqueeze(0))
    weight = None if data.test_weight is None else data.test_weight.unsqueeze(0)
    names = reported(data.task, space.train.metric)
    scores = measure(names, data.task, logits, data.test_y.unsqueeze(0), weight, data.target_scale)
    return {name: float(score) for name, score in scores.items()}


def margin(
    space: Space, data: Dataset, pair: tuple[Outcome, Outcome], weights: tuple[Mapping[str, Tensor], Mapping[str, Tensor]]
) -> dict[str, Any]:
    """By how much the first of a pair beats the second on the test rows, and the paired standard error of that."""
    named = [
        row_losses(
            space.train.metric, data.task, network(space, data, outcome.trial).predict(w, data.test_x.unsqueeze(0))[0],
            data.test_y, data.target_scale,
        )
        for outcome, w in zip(pair, weights, strict=True)
    ]  # fmt: skip
    better = (named[1][1] - named[0][1]).double()
    error = float(better.std(correction=0)) / len(better) ** 0.5
    return {"gain": float(better.mean()), "standard_error": error, "of": named[0][0], "rows": len(better)}


def entry(outcome: Outcome, test: Mapping[str, float]) -> dict[str, Any]:
    """One configuration of the result table."""
    return {
        "trial": outcome.trial.label,
        "params": dict(outcome.trial.params),
        "fit_seed": outcome.trial.seed,
        "best_epoch": outcome.best_epoch,
        "nonzero_share": outcome.nonzero_share,
        "train": dict(outcome.train),
        "valid": dict(outcome.valid),
        "test": dict(test),
    }


def counts(outcomes: list[Outcome]) -> dict[str, int]:
    """How the trials of the budget ended."""
    return {state: sum(o.state == state for o in outcomes) for state in ("complete", "pruned", "failed")}


def versions() -> dict[str, str]:
    """Of everything that has a hand in the numbers."""
    packages = ("hpo", "torch", "optuna", "scikit-learn", "numpy", "pandas", "mlflow")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
