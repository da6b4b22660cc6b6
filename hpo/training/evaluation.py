"""What networks score: metrics on labelled rows, and criteria on rows of another domain, from one pass over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hpo.core import metrics, validators
from hpo.core.metrics import METRICS, VALIDATORS
from hpo.core.samples import Fold, Samples
from hpo.core.validators import NEED_SOURCE_LABELS, LabelledOutputs
from hpo.nn.backends import backend_for
from hpo.nn.network import BatchedNetwork, Outputs

_FEWEST = 4  # rows, of which each half has a covariance
_PARTS = ("train", "valid", "target_valid", "source_valid")


def rows(folds: Sequence[Fold]) -> dict[str, Tensor]:
    """The rows of data that fits on `folds` are scored on, by part, each (fits, n)."""
    return {part: torch.stack([getattr(fold, part) for fold in folds]) for part in _PARTS}


def available_validators(data: Samples, network: BatchedNetwork, fold: Fold) -> tuple[str, ...]:
    """The criteria that a fit on a fold can be judged by."""
    return tuple(name for name in VALIDATORS if not unavailable_reason(name, data, network, fold))


def unavailable_reason(name: str, data: Samples, network: BatchedNetwork, fold: Fold) -> str:
    """Why a fit on a fold cannot be judged by a criterion, as a sentence that says what to do; "" if it can."""
    if not len(fold.valid) or not len(fold.target_valid):
        return f"{name} is computed on rows of another domain without labels, and {none_left(data)}, or take a metric of labelled rows."
    if data.task not in METRICS[name].tasks:
        return f"{name} needs classes, and the target is a number; take iwv or dev."
    if name in NEED_SOURCE_LABELS and data.valid_is_target and not len(fold.source_valid):
        return f"{name} needs rows of the source that are not learned from, and data.target.labels: few leaves none; take infomax, or a metric of labelled rows."
    if name == "iwv" and data.ratio is None:
        return "iwv needs density ratios, which were not estimated."
    return _no_dev(network, fold.source_valid if data.valid_is_target else fold.valid) if name == "dev" else ""


def _no_dev(network: BatchedNetwork, source: Tensor) -> str:
    if network.width is None:
        return "dev looks at what the last linear layer of a network is given, and this network does not tell; take iwv or infomax."
    if len(source) < _FEWEST:
        return f"dev is fitted on one half of the source's validation rows for the other, which takes {_FEWEST} or more; raise data.split.valid, or take iwv."
    return ""


def none_left(data: Samples) -> str:
    """Why there is no row of another domain without labels, and what to do."""
    if data.valid_is_target:
        return "of the target's rows that are not tested none is left without; set data.target.few, or lower it"
    return "there are none; name its file in data.target.source"


def measure(
    data: Samples,
    network: BatchedNetwork,
    weights: Mapping[str, Tensor],
    parts: Mapping[str, Tensor],
    wanted: Mapping[str, Sequence[str]],
) -> dict[str, dict[str, Tensor]]:
    """Metrics of weights (fits, …), without noise: by part, for its `wanted` names, each (fits,). `parts` are as `rows` has them.

    Criteria are wanted of `valid`. Of labelled rows they take those of the source that were held back, where there are such.
    """
    asked = [name for name in wanted.get("valid", ()) if name in VALIDATORS]
    source = "source_valid" if parts["source_valid"].shape[1] else "valid"
    needed = list(dict.fromkeys([*wanted, *([source, "target_valid"] if asked else [])]))
    said = _said(data, network, weights, [parts[part] for part in needed], "dev" in asked)
    outputs = dict(zip(needed, said, strict=True))
    found = {}
    for part, names in wanted.items():
        y, weight = data.targets(parts[part])
        own = [name for name in names if name not in VALIDATORS]
        found[part] = metrics.compute_metrics(own, data.task, outputs[part].logits, y, weight, data.target_scale)
    if asked:
        y, weight = data.targets(parts[source])
        seen = LabelledOutputs(*outputs[source], y, weight, data.ratios(parts[source]))
        found["valid"] |= validators.compute_validators(
            asked, data.task, seen, *outputs["target_valid"], data.target_scale
        )
    return found


def _said(
    data: Samples, network: BatchedNetwork, weights: Mapping[str, Tensor], parts: Sequence[Tensor], features: bool
) -> list[Outputs]:
    """What networks say of the rows of each part."""
    index, sizes = torch.cat(list(parts), dim=1), [part.shape[1] for part in parts]
    blocks = torch.split(index, backend_for(index.device).block, dim=1)  # together there are fewer of them
    logits, told = network.predict_parts(weights, map(data.inputs, blocks), features)
    base = data.offsets(index)
    logits = logits if base is None else logits + base
    each = torch.split(logits, sizes, dim=1)
    return [
        Outputs(*both)
        for both in zip(each, [None] * len(sizes) if told is None else torch.split(told, sizes, dim=1), strict=True)
    ]
