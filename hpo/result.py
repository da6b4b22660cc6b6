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

_SHIPPED: dict[str, Factory] = {"resnet": nets.resnet, "cnn": nets.cnn}


def factory(space: Space, base: Path) -> Factory | None:
    """The function that makes the networks of a space, imported if it is somebody's; None for an mlp."""
    kind, name = space.network.kind, space.network.factory
    if kind == "module":
        if name is None:
            raise InputError("network.factory is missing: kind: module needs it, as in my_package.nets:build.")
        return find(name, base)
    return _SHIPPED.get(kind)


def network(
    space: Space, build: Factory | None, n_inputs: int, n_outputs: int, params: Mapping[str, Any]
) -> Network:
    """The network of a configuration. Raises InputError if it does not fit the data or its factory."""
    said = space.network
    own = {key: params[key] for key in said.search}
    width = {} if said.width is None else {"width": said.width}
    if build is None:
        return Mlp(n_inputs, n_outputs, int(params["depth"]), **(width | own), activation=said.activation, batch_norm=said.batch_norm)
    image = _image(space, n_inputs)
    offered = {"n_inputs": n_inputs, "n_outputs": n_outputs, **({"image": image} if image else {}), **width, **own}
    asked = {key: f"network.search.{key}" for key in own} | ({"width": "network.width"} if width else {})
    if "depth" in params:
        offered["depth"], asked["depth"] = params["depth"], "search.depth"
    name = said.factory or name_of(build)
    return Module(build, name, arguments(build, offered, asked), n_inputs, n_outputs, image)


def _image(space: Space, n_inputs: int) -> tuple[int, ...]:
    """The shape in which a network wants a row: channels, height and width; () for a plain row."""
    said, side = space.network.image, math.isqrt(n_inputs)
    if said is None and space.network.kind == "cnn":
        if side**2 != n_inputs:
            raise InputError(f"network.image is missing: kind: cnn needs [channels, height, width], and {n_inputs} inputs are not a square.")
        return (1, side, side)
    if said is not None and math.prod(said) != n_inputs:
        raise InputError(f"network.image: {said} holds {math.prod(said):,} numbers, but the data have {n_inputs:,} inputs.")
    return tuple(said or ())


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
