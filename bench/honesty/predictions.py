"""The row-level evidence of a search in a file: the predictions of all finalists for rows that their networks were not
trained on, and those of their final networks for the test rows. Rules of selection, calibration and averaging can be
replayed from it without training.

Logits are stored with 16 bits: their relative error of 0.05 % changes no loss noticeably.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpo.core.metrics import Task, average_predictions, compute_metrics
from hpo.selection.out_of_fold import DrawPredictions

Json = dict[str, Any]
_LARGEST = 6e4  # close to the largest number of 16 bits


@dataclass(frozen=True)
class TestPredictions:
    """The targets of the test rows (rows,), divided by `scale` in a regression, and the logits of each of the networks
    (networks, rows, outputs) by configuration."""

    __test__ = False  # pytest would collect a class of this name

    task: Task
    y: Tensor
    scale: float
    logits: Mapping[str, Tensor]

    def scores(
        self,
        metrics: Sequence[str],
        label: str,
        temperature: float = 1.0,
        networks: int | None = None,
        rows: np.ndarray | None = None,
    ) -> dict[str, float]:
        """Score the average of the first `networks` networks of a configuration (default: all) on some rows (default:
        all)."""
        chosen = slice(None) if rows is None else torch.from_numpy(rows)
        logits = average_predictions(self.task, self.logits[label][:networks, chosen])
        logits = logits / temperature if self.task == "classification" else logits
        found = compute_metrics(metrics, self.task, logits[None], self.y[None, chosen], None, self.scale)
        return {name: float(value) for name, value in found.items()}


@dataclass(frozen=True)
class RowEvidence:
    """What a search knew about its finalists, draw by draw, and their test predictions; `about` has the rest."""

    about: Json
    draws: Sequence[DrawPredictions]
    test: TestPredictions


def save(path: Path, evidence: RowEvidence) -> None:
    """Write the evidence to a compressed file of numpy (.npz); a killed process leaves no partial file."""
    test = evidence.test
    arrays = {"test-y": test.y.numpy()} | {f"test-{name}": _short(logits) for name, logits in test.logits.items()}
    for number, draw in enumerate(evidence.draws):
        arrays |= {f"{number}-row": draw.row.numpy().astype(np.int32), f"{number}-fold": draw.fold.numpy()}
        arrays |= {f"{number}-y": draw.y.numpy()}
        arrays |= {f"{number}-logits-{name}": _short(logits) for name, logits in draw.logits.items()}
    scales = {"task": test.task, "test_scale": test.scale, "scales": [draw.scale for draw in evidence.draws]}
    unfinished = path.with_name(f"unfinished-{path.name}")
    np.savez_compressed(unfinished, about=json.dumps(evidence.about | scales), **arrays)
    unfinished.replace(path)


def load(path: Path) -> RowEvidence:
    """Read the evidence that `save` wrote."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    about = json.loads(str(arrays.pop("about")))
    task = about["task"]
    tensors = {name: _tensor(array) for name, array in arrays.items()}
    empty = DrawPredictions(task, *(torch.empty(0),) * 3, None, 1.0, {})
    draws = [
        replace(
            empty,
            row=tensors[f"{number}-row"].long(),
            fold=tensors[f"{number}-fold"],
            y=tensors[f"{number}-y"],
            scale=scale,
            logits=_named(tensors, f"{number}-logits-"),
        )
        for number, scale in enumerate(about["scales"])
    ]
    y = tensors.pop("test-y")
    return RowEvidence(about, draws, TestPredictions(task, y, about["test_scale"], _named(tensors, "test-")))


def _short(logits: Tensor) -> np.ndarray:
    return logits.clamp(-_LARGEST, _LARGEST).numpy().astype(np.float16)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32) if array.dtype == np.float16 else array)


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
