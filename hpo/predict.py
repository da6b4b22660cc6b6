"""Predictions for raw rows, from what `hpo export --weights` wrote: plain torch, as the README shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from hpo.errors import InputError
from hpo.preprocess import Preprocess
from hpo.table import read_file

_BLOCK = 8192  # rows at a time


def predict(data: Path, folder: Path) -> pd.DataFrame:
    """A row a row of `data`: `prediction`, and for classes the probability of each. Raises InputError."""
    preprocess, net = _load(folder)
    frame = read_file(data, tuple(preprocess["categorical"]))
    if missing := [c for c in preprocess["columns"] if c not in frame.columns]:
        raise InputError(f"{data} lacks the column {missing[0]}; it needs: {', '.join(preprocess['columns'])}.")
    for column in preprocess["columns"]:
        if column not in preprocess["categorical"] and not pd.api.types.is_numeric_dtype(frame[column]):
            raise InputError(f"{data}: the column {column} must hold numbers, as the table that was searched does.")
    x = torch.from_numpy(Preprocess(tuple(preprocess["features"])).encode(frame))
    with torch.no_grad():
        logits = torch.cat([net(part) for part in torch.split(x, _BLOCK)])
    if preprocess["task"] == "regression":
        return pd.DataFrame({"prediction": logits[:, 0].numpy() * preprocess["target_scale"] + preprocess["target_mean"]})
    classes = preprocess["classes"]
    chances = logits.softmax(1).numpy()
    named = {f"probability_{label}": chances[:, i] for i, label in enumerate(classes)}
    return pd.DataFrame({"prediction": np.array(classes, dtype=object)[chances.argmax(1)], **named})


def _load(folder: Path) -> tuple[dict[str, Any], torch.nn.Module]:
    paths = [folder / name for name in ("preprocess.json", "network.json", "weights.safetensors")]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise InputError(f"{folder} lacks {missing[0]}; write it with: hpo export --weights {folder}")
    preprocess, layers = (json.loads(path.read_text()) for path in paths[:2])
    net = torch.nn.Sequential(*[getattr(torch.nn, name)(*arguments) for name, *arguments in layers])
    net.load_state_dict(load_file(paths[2]))
    return preprocess, net.eval()
