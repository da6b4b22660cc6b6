"""Evaluate networks by metrics on labelled rows and by validators on unlabelled target rows, in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.core import metrics, validators
from hpo.core.metrics import METRICS, VALIDATORS
from hpo.core.samples import Fold, Samples, scored_rows
from hpo.core.validators import NEED_SOURCE_LABELS, LabelledOutputs
from hpo.nn.backends import backend_for
from hpo.nn.network import BatchedNetwork, Outputs

_MIN_DEV_ROWS = 4  # each half must have a covariance
_PARTS = ("train", "valid", "target_valid", "source_valid")


@dataclass(frozen=True)
class Evaluation:
    """The metrics of stacked weights by part and name, each (fits,), and their logits (fits, rows, outputs) by part."""

    scores: Mapping[str, dict[str, Tensor]]
    logits: Mapping[str, Tensor]


def rows_by_part(folds: Sequence[Fold]) -> dict[str, Tensor]:
    """Return, for each part, the stacked rows on which the fits on `folds` are scored, (fits, rows)."""
    return {part: torch.stack([scored_rows(getattr(fold, part)) for fold in folds]) for part in _PARTS}


def available_validators(data: Samples, network: BatchedNetwork, fold: Fold) -> tuple[str, ...]:
    """Return the validators that can be computed for a fit on a fold."""
    return tuple(name for name in VALIDATORS if not unavailable_reason(name, data, network, fold))


def unavailable_reason(name: str, data: Samples, network: BatchedNetwork, fold: Fold) -> str:
    """Explain why a validator cannot be computed for a fit on a fold, and what to do; return "" if it can."""
    if not len(fold.valid) or not len(fold.target_valid):
        return (
            f"{name} is computed on unlabelled rows of another domain, and {no_target_rows_reason(data)}, "
            f"or take a metric of labelled rows."
        )
    if data.task not in METRICS[name].tasks:
        return f"{name} needs classes, and the target is a number; take iwv or dev."
    if name in NEED_SOURCE_LABELS and data.valid_is_target and not len(fold.source_valid):
        return (
            f"{name} needs labelled rows of the source outside the training rows, and data.target.labels: few leaves "
            f"none; take infomax, or a metric of labelled rows."
        )
    if name == "iwv" and data.density_ratio is None:
        return "iwv needs density ratios, which were not estimated."
    if name == "dev":
        return _dev_unavailable_reason(network, fold.source_valid if data.valid_is_target else fold.valid)
    return ""


def _dev_unavailable_reason(network: BatchedNetwork, source: Tensor) -> str:
    if network.width is None:
        return "dev needs the inputs of the last linear layer, which this network does not expose; take iwv or infomax."
    if len(source) < _MIN_DEV_ROWS:
        return (
            f"dev is fitted on one half of the validation rows of the source for the other half and needs at least "
            f"{_MIN_DEV_ROWS} of them; raise data.split.valid, or take iwv."
        )
    return ""


def no_target_rows_reason(data: Samples) -> str:
    """Explain why there is no unlabelled row of a target domain, and what to do."""
    if data.valid_is_target:
        return "no row of the target outside the test part is unlabelled; set data.target.few, or lower it"
    return "there are none; name its file in data.target.source"


def evaluate(
    data: Samples,
    network: BatchedNetwork,
    weights: Mapping[str, Tensor],
    parts: Mapping[str, Tensor],
    names: Mapping[str, Sequence[str]],
) -> Evaluation:
    """Compute the logits and the metrics of stacked weights (fits, …) without noise.

    `names` lists the metrics of each part (for `valid`, validators as well); `parts` holds the rows of each part (see
    `rows_by_part`). The labelled rows of validators are the held-out rows of the source if there are any, else the
    validation rows.
    """
    validator_names = [name for name in names.get("valid", ()) if name in VALIDATORS]
    source = "source_valid" if parts["source_valid"].shape[1] else "valid"
    needed = list(dict.fromkeys([*names, *([source, "target_valid"] if validator_names else [])]))
    needed_outputs = _outputs(data, network, weights, [parts[part] for part in needed], "dev" in validator_names)
    outputs = dict(zip(needed, needed_outputs, strict=True))
    scores = {}
    for part, part_names in names.items():
        y, weight = data.targets(parts[part])
        metric_names = [name for name in part_names if name not in VALIDATORS]
        logits = outputs[part].logits
        scores[part] = metrics.compute_metrics(metric_names, data.task, logits, y, weight, data.target_scale)
    if validator_names:
        y, weight = data.targets(parts[source])
        labelled = LabelledOutputs(*outputs[source], y, weight, data.density_ratios(parts[source]))
        scores["valid"] |= validators.compute_validators(
            validator_names, data.task, labelled, *outputs["target_valid"], data.target_scale
        )
    return Evaluation(scores, {part: outputs[part].logits for part in names})


def _outputs(
    data: Samples, network: BatchedNetwork, weights: Mapping[str, Tensor], parts: Sequence[Tensor], features: bool
) -> list[Outputs]:
    """Compute the outputs for the rows of each part."""
    index, sizes = torch.cat(list(parts), dim=1), [part.shape[1] for part in parts]
    blocks = torch.split(index, backend_for(index.device).block, dim=1)  # all parts together, for fewer blocks
    logits, all_features = network.predict_parts(weights, map(data.inputs, blocks), features)
    offset = data.offsets(index)
    logits = logits if offset is None else logits + offset
    part_logits = torch.split(logits, sizes, dim=1)
    part_features = [None] * len(sizes) if all_features is None else torch.split(all_features, sizes, dim=1)
    return [Outputs(*pair) for pair in zip(part_logits, part_features, strict=True)]
