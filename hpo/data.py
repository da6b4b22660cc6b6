"""A table made ready for training: split, encoded, as tensors. The test part lies apart from everything else."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from hpo.dataset import Fold, Samples
from hpo.errors import InputError
from hpo.preprocess import Preprocess, fit
from hpo.space import Data
from hpo.table import Table, load


@dataclass(frozen=True)
class Dataset(Samples):
    """Samples, and the rows to test on once, at the very end."""

    name: str
    test_x: Tensor
    test_y: Tensor
    test_weight: Tensor | None
    target_name: str
    target_mean: float
    preprocess: Preprocess
    columns: int
    fingerprint: str
    notes: tuple[str, ...]

    def samples(self) -> Samples:
        """What training needs, without the test part."""
        return Samples(**{f.name: getattr(self, f.name) for f in fields(Samples)})


def prepare(data: Data, base: Path, dtype: torch.dtype = torch.float32) -> Dataset:
    """Loads, splits and encodes what `data` describes. Raises InputError in one sentence."""
    table = load(data, base)
    notes = list(table.notes)
    y, classes = _encode_target(table)
    train, valid, test = _split(table, y, data, notes)
    listed = np.concatenate([train, valid])  # categories may be listed from all rows but the test part
    preprocess, x = fit(table, train, listed)
    mean, scale = 0.0, 1.0
    if table.task == "regression":
        mean, scale = float(y[train].mean()), float(y[train].std()) or 1.0
        y = (y - mean) / scale
    weight = None
    if data.class_weight and table.task == "regression":
        raise InputError("data.class_weight: balanced needs classes, but the task is regression; leave it out.")
    if data.class_weight:  # as scikit-learn defines it, counted on training rows
        counts = np.bincount(y[train], minlength=len(classes))
        weight = torch.tensor((len(train) / (len(classes) * np.maximum(counts, 1)))[y], dtype=dtype)
    target = torch.tensor(y) if table.task == "classification" else torch.tensor(y, dtype=dtype)
    inputs = torch.tensor(x, dtype=dtype)
    return Dataset(
        name=table.name,
        task=table.task,
        x=inputs[listed],
        y=target[listed],
        weight=None if weight is None else weight[listed],
        folds=(Fold(0, torch.arange(len(train)), torch.arange(len(train), len(listed))),),
        test_x=inputs[test],
        test_y=target[test],
        test_weight=None if weight is None else weight[test],
        classes=classes,
        target_name=table.target_name,
        target_mean=mean,
        target_scale=scale,
        preprocess=preprocess,
        columns=len(table.features.columns),
        fingerprint=table.fingerprint,
        notes=tuple(notes),
    )


def _encode_target(table: Table) -> tuple[np.ndarray, tuple[Any, ...]]:
    """The target as class indices with their labels, or as it is."""
    if table.task == "regression":
        return table.target.to_numpy(dtype=np.float64), ()
    labels, y = np.unique(table.target.to_numpy(), return_inverse=True)
    return y, tuple(label.item() if isinstance(label, np.generic) else label for label in labels)


def _split(table: Table, y: np.ndarray, data: Data, notes: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the training, validation and test rows: the test part drawn first, then validation from the rest."""
    split = data.split
    rest, test = _draw(np.arange(len(y)), y, table, split.test, split.seed, "test", notes)
    train, valid = _draw(rest, y, table, split.valid / (1 - split.test), split.seed, "validation", notes)
    if table.task == "classification" and len(np.unique(y[train])) < 2:
        raise InputError(f"{table.name}: the training part holds one class only; more rows or another split seed help.")
    return train, valid, test


def _draw(
    rows: np.ndarray, y: np.ndarray, table: Table, share: float, seed: int, part: str, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """`rows` in two: what is left, and a `share` of them, stratified by class where every class is large enough."""
    stratify = None
    if table.task == "classification":
        counts = np.bincount(y[rows])
        counts = counts[counts > 0]
        smaller = min(taken := int(np.ceil(share * len(rows))), len(rows) - taken)
        if counts.min() >= 2 and smaller >= len(counts):
            stratify = y[rows]
        else:
            why = "a class has a single row left" if counts.min() < 2 else f"too small for {len(counts)} classes"
            notes.append(f"The {part} part was drawn without stratification: {why}.")
    try:
        left, drawn = train_test_split(rows, test_size=share, random_state=seed, stratify=stratify)
    except ValueError as error:
        left_over = "a single row" if len(rows) == 1 else f"{len(rows):,} rows"
        raise InputError(f"{table.name}: the {part} part of data.split cannot be drawn from {left_over}.") from error
    return left, drawn
