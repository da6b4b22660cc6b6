"""Predict raw rows with the files of `hpo export --weights`, in plain torch, as docs/export.md shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from hpo.core.errors import InputError, truncate
from hpo.core.importing import import_object
from hpo.data.preprocess import Preprocessor
from hpo.data.readers import read_file
from hpo.export.state_dicts import of_network
from hpo.nn.combination import Combination

Predictor = Callable[[torch.Tensor], torch.Tensor]
"""Maps inputs (rows, features) to logits (rows, outputs)."""
_BLOCK = 8192  # rows per forward pass


def predict(data: Path, folder: Path) -> pd.DataFrame:
    """Predict every row of a file.

    The result has the column `prediction` and, if the target is a class, one column `probability_CLASS` per class.

    Raises InputError if the file lacks a column, or the exported files are incomplete or damaged.
    """
    preprocess, nets, rule = _load(folder)
    frame = read_file(data, tuple(preprocess["text"]))
    if missing := [c for c in preprocess["columns"] if c not in frame.columns]:
        raise InputError(f"{data} lacks the column {missing[0]}; it needs: {', '.join(preprocess['columns'])}.")
    for column in (f["column"] for f in preprocess["features"] if "median" in f):
        try:
            frame[column] = pd.to_numeric(frame[column])
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{data}: the column {column} must hold numbers, as in the table of the search."
            ) from error
    encoder = Preprocessor(tuple(preprocess["features"]), tuple(preprocess.get("documents", ())))

    def logits_of(x: torch.Tensor) -> torch.Tensor:
        return rule.combine(preprocess["task"], torch.stack([net(x) for net in nets]))

    starts = range(0, max(1, len(frame)), _BLOCK)
    logits = torch.cat([_logits(data, frame[i : i + _BLOCK], i, encoder, logits_of) for i in starts])
    if preprocess["task"] == "regression":
        return pd.DataFrame(
            {"prediction": logits[:, 0].numpy() * preprocess["target_scale"] + preprocess["target_mean"]}
        )
    classes = preprocess["classes"]
    probabilities = logits.softmax(1).numpy()
    columns = {f"probability_{label}": probabilities[:, i] for i, label in enumerate(classes)}
    return pd.DataFrame({"prediction": np.array(classes, dtype=object)[probabilities.argmax(1)], **columns})


def _logits(data: Path, rows: pd.DataFrame, first: int, encoder: Preprocessor, predictor: Predictor) -> torch.Tensor:
    """Return logits (rows, outputs) of a block of rows that starts at row number `first` of the file."""
    try:
        x = torch.from_numpy(encoder.encode(rows))
    except InputError as error:
        raise InputError(f"{data}: {error}") from error
    for row, feature in (~x.isfinite()).nonzero().tolist():
        raise InputError(f"{data}: the column {encoder.groups[feature][0]} is infinite in row {first + row + 1}.")
    with torch.no_grad():
        return predictor(x)


def _load(folder: Path) -> tuple[dict[str, Any], list[torch.nn.Module], Combination]:
    paths = [folder / name for name in ("preprocess.json", "network.json", "weights.safetensors")]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise InputError(f"{folder} lacks {missing[0]}; write it with: hpo export --weights {folder}")
    try:
        preprocess, network = (json.loads(path.read_text(encoding="utf-8")) for path in paths[:2])
        weights = load_file(paths[2])
        descriptions, rule = _descriptions(network, weights)
        rule = replace(rule, temperature=preprocess.get("temperature", 1.0))  # a regression has none
        several = len(descriptions) > 1 or "combine.weight" in weights
        states = [of_network(weights, i) if several else weights for i in range(len(descriptions))]
        nets = [build_network(*pair, folder) for pair in zip(descriptions, states, strict=True)]
    except (ValueError, TypeError, AttributeError, KeyError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"The files in {folder} do not belong together or are damaged "
            f"({truncate(str(error).partition(chr(10))[0])}); write them again with: hpo export --weights {folder}"
        ) from error
    return preprocess, nets, rule


def _descriptions(network: Any, weights: dict[str, torch.Tensor]) -> tuple[list[Any], Combination]:
    """Return the description of every network in `network.json`, and the rule that combines their outputs."""
    if isinstance(network, dict) and "ensemble" in network:
        rule = Combination(network["ensemble"], weights["combine.weight"], weights["combine.bias"], network["each"])
        descriptions = [member for member in network["networks"] for _ in range(rule.networks_per_member)]
        return descriptions, rule
    averaged = isinstance(network, dict) and "average" in network
    descriptions = [network["network"]] * network["average"] if averaged else [network]
    return descriptions, Combination("sum", torch.ones(1), torch.zeros(1), len(descriptions))


def build_network(description: Any, weights: dict[str, torch.Tensor], folder: Path) -> torch.nn.Module:
    """Build the network of a description, load its weights and switch it to evaluation mode."""
    if not isinstance(description, dict):
        layers = [getattr(torch.nn, name)(*arguments) for name, *arguments in description]
        net: torch.nn.Module = torch.nn.Sequential(*layers)
        net.load_state_dict(weights)
        return net.eval()
    arguments = {key: tuple(v) if isinstance(v, list) else v for key, v in description["arguments"].items()}
    net = import_object(description["factory"], folder)(**arguments)
    net.load_state_dict(weights)
    image = description["image"]
    return (torch.nn.Sequential(torch.nn.Unflatten(1, image), net) if image else net).eval()
