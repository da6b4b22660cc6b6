"""Export networks and ensembles as files that plain torch, pandas and safetensors can read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save

from hpo.core.errors import InputError, StoreError
from hpo.data.dataset import Dataset
from hpo.export.state_dicts import numbered
from hpo.nn.combination import Combination
from hpo.nn.network import BatchedNetwork
from hpo.study.directory import write_atomic

Weights = Mapping[str, torch.Tensor]
"""Parameters by name, with the fit axis first."""


def write_network(
    folder: Path, network: BatchedNetwork, weights: Weights, data: Dataset, dropout: float, temperature: float
) -> None:
    """Write `weights.safetensors`, `network.json` and `preprocess.json`, which suffice to predict raw rows.

    If there are several fits, whose predictions are averaged, the names of the weights of fit N start with "N.". In a
    classification, `preprocess.json` holds the `temperature` by which the logits must be divided. Raises InputError if
    `folder` cannot be written.
    """
    states, description = _state_dicts(network, weights), network.description(dropout)
    if len(states) == 1:
        _write(folder, states[0], description, data, temperature)
    else:
        _write(folder, numbered(states), {"average": len(states), "network": description}, data, temperature)


def write_ensemble(
    folder: Path,
    members: Sequence[tuple[BatchedNetwork, Weights, float]],
    rule: Combination,
    data: Dataset,
) -> None:
    """Write the same files as `write_network` for an ensemble, whose members are (network, weights, dropout rate).

    The networks are numbered across all members. The combination `rule` is in `network.json` as `ensemble` and `each`,
    and in the weights as `combine.weight` and `combine.bias`.
    """
    states = [state for network, weights, _ in members for state in _state_dicts(network, weights)]
    description = {
        "ensemble": rule.kind,
        "each": rule.networks_per_member,
        "networks": [network.description(dropout) for network, _, dropout in members],
    }
    combination = {"combine.weight": rule.weight, "combine.bias": rule.bias}
    _write(folder, numbered(states) | combination, description, data, rule.temperature)


def _state_dicts(network: BatchedNetwork, weights: Weights) -> list[dict[str, torch.Tensor]]:
    """Return the state dict of every fit, in the names and shapes of plain torch."""
    fits = len(next(iter(weights.values())))
    return [network.state_dict({name: tensor[i].clone() for name, tensor in weights.items()}) for i in range(fits)]


def _write(
    folder: Path, state: Mapping[str, torch.Tensor], description: object, data: Dataset, temperature: float
) -> None:
    preprocess = {
        "task": data.task,
        "target": data.target_name,
        "classes": list(data.classes),
        "target_mean": data.target_mean,
        "target_scale": data.target_scale,
        **({"temperature": temperature} if data.task == "classification" else {}),
        "columns": list(data.preprocess.columns),
        "text": list(data.preprocess.text_columns),
        "features": list(data.preprocess.features),
        "documents": list(data.preprocess.documents),
    }
    files = {
        "weights.safetensors": save(dict(state)),
        "network.json": json.dumps(description, indent=1).encode(),
        "preprocess.json": json.dumps(preprocess, indent=1).encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomic(folder / name, content)
    except (OSError, StoreError) as error:
        raise InputError(f"{folder} cannot be written; name another folder with --weights.") from error
