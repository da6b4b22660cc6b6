"""Predictions for raw rows, from what `hpo export --weights` wrote: plain torch, as the README shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from hpo.nn.combination import Combination

Said = Callable[[torch.Tensor], torch.Tensor]
_BLOCK = 8192  # rows at a time


def predict(data: Path, folder: Path) -> pd.DataFrame:
    """A row a row of `data`: `prediction`, and for classes the probability of each. Raises InputError."""
    preprocess, nets, rule = _load(folder)
    frame = read_file(data, tuple(preprocess["text"]))
    if missing := [c for c in preprocess["columns"] if c not in frame.columns]:
        raise InputError(f"{data} lacks the column {missing[0]}; it needs: {', '.join(preprocess['columns'])}.")
    for column in (f["column"] for f in preprocess["features"] if "median" in f):
        try:
            frame[column] = pd.to_numeric(frame[column])
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{data}: the column {column} must hold numbers, as the table that was searched does."
            ) from error
    encoder = Preprocessor(tuple(preprocess["features"]), tuple(preprocess.get("documents", ())))

    def said(x: torch.Tensor) -> torch.Tensor:
        return rule.combine(preprocess["task"], torch.stack([net(x) for net in nets]))

    logits = torch.cat(
        [_logits(data, frame[i : i + _BLOCK], i, encoder, said) for i in range(0, max(1, len(frame)), _BLOCK)]
    )
    if preprocess["task"] == "regression":
        return pd.DataFrame(
            {"prediction": logits[:, 0].numpy() * preprocess["target_scale"] + preprocess["target_mean"]}
        )
    classes = preprocess["classes"]
    chances = logits.softmax(1).numpy()
    named = {f"probability_{label}": chances[:, i] for i, label in enumerate(classes)}
    return pd.DataFrame({"prediction": np.array(classes, dtype=object)[chances.argmax(1)], **named})


def _logits(data: Path, rows: pd.DataFrame, first: int, encoder: Preprocessor, said: Said) -> torch.Tensor:
    """What the networks say of some rows, the first of which has the number `first`: (rows, outputs)."""
    try:
        x = torch.from_numpy(encoder.encode(rows))
    except InputError as error:
        raise InputError(f"{data}: {error}") from error
    for row, feature in (~x.isfinite()).nonzero().tolist():
        raise InputError(f"{data}: the column {encoder.groups[feature][0]} is infinite in row {first + row + 1}.")
    with torch.no_grad():
        return said(x)


def _load(folder: Path) -> tuple[dict[str, Any], list[torch.nn.Module], Combination]:
    paths = [folder / name for name in ("preprocess.json", "network.json", "weights.safetensors")]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise InputError(f"{folder} lacks {missing[0]}; write it with: hpo export --weights {folder}")
    try:
        preprocess, network = (json.loads(path.read_text(encoding="utf-8")) for path in paths[:2])
        weights = load_file(paths[2])
        said, rule = _described(network, weights)
        several = len(said) > 1 or "combine.weight" in weights
        nets = [_network(one, _numbered(weights, i) if several else weights, folder) for i, one in enumerate(said)]
    except (ValueError, TypeError, AttributeError, KeyError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"The files in {folder} do not belong together or are damaged ({truncate(str(error).partition(chr(10))[0])}); "
            f"write them again with: hpo export --weights {folder}"
        ) from error
    return preprocess, nets, rule


def _described(network: Any, weights: dict[str, torch.Tensor]) -> tuple[list[Any], Combination]:
    """The description of every network in a folder, and how their outputs are combined."""
    if isinstance(network, dict) and "ensemble" in network:
        rule = Combination(network["ensemble"], weights["combine.weight"], weights["combine.bias"], network["each"])
        return [one for one in network["networks"] for _ in range(rule.each)], rule
    said = (
        [network["network"]] * network["average"] if isinstance(network, dict) and "average" in network else [network]
    )
    return said, Combination("sum", torch.ones(1), torch.zeros(1), len(said))


def _numbered(weights: dict[str, torch.Tensor], number: int) -> dict[str, torch.Tensor]:
    """Those of one network of several."""
    return {name.partition(".")[2]: tensor for name, tensor in weights.items() if name.partition(".")[0] == str(number)}


def _network(said: Any, weights: dict[str, torch.Tensor], folder: Path) -> torch.nn.Module:
    """A network as `network.json` describes it, with its weights."""
    if not isinstance(said, dict):
        net: torch.nn.Module = torch.nn.Sequential(*[getattr(torch.nn, name)(*arguments) for name, *arguments in said])
        net.load_state_dict(weights)
        return net.eval()
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in said["arguments"].items()}
    net = import_object(said["factory"], folder)(**given)
    net.load_state_dict(weights)
    return (torch.nn.Sequential(torch.nn.Unflatten(1, said["image"]), net) if said["image"] else net).eval()
