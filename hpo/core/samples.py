"""The rows that networks are trained and evaluated on, as tensors.

Imports only torch, so that a worker process starts quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hpo.core.metrics import Task

MAX_VALUE = 1e100  # the largest magnitude of an input that can be squared and summed
MAX_EPOCH_ROWS = 16_384  # the rows that an epoch trains on and the rows that it is scored on; a power of two


def epoch_rows(n_train: int) -> int:
    """Return how many of the `n_train` training rows an epoch trains on."""
    return min(n_train, MAX_EPOCH_ROWS)


def scored_rows(rows: Tensor) -> Tensor:
    """Return those of `rows` that a network is scored on: all of them, or evenly spaced ones if there are many."""
    n = len(rows)
    return rows if n <= MAX_EPOCH_ROWS else rows[torch.arange(MAX_EPOCH_ROWS, device=rows.device) * n // MAX_EPOCH_ROWS]


def no_rows() -> Tensor:
    """Return an empty row index."""
    return torch.empty(0, dtype=torch.long)


@dataclass(frozen=True)
class Fold:
    """The rows of `Samples.x` that one fit uses.

    `train`: rows to train on.
    `valid`: rows that select the best epoch; if empty, the last epoch is kept.
    `test`: rows to evaluate the final weights on.
    `target`: unlabelled rows of the target domain to adapt to.
    `target_valid`: unlabelled rows of the target domain that validators are computed on.
    `source_valid`: labelled source rows that are not trained on, if `valid` are labelled rows of the target domain.
    """

    number: int
    train: Tensor  # (n_train,)
    valid: Tensor  # (n_valid,)
    test: Tensor = field(default_factory=no_rows)  # (n_test,)
    target: Tensor = field(default_factory=no_rows)  # (n_target,)
    target_valid: Tensor = field(default_factory=no_rows)  # (n_target_valid,)
    source_valid: Tensor = field(default_factory=no_rows)  # (n_source_valid,)

    def remap(self, function: Callable[[Tensor], Tensor]) -> Fold:
        """Return the fold with `function` applied to all row indices."""
        return Fold(self.number, *(function(getattr(self, f.name)) for f in fields(self) if f.name != "number"))


def take_rows(tensor: Tensor, index: Tensor) -> Tensor:
    """Return the rows `index` (fit, batch) of a tensor, (fit, batch, …)."""
    return tensor.index_select(0, index.flatten()).view(*index.shape, *tensor.shape[1:])


@dataclass(frozen=True)
class Samples:
    """Rows to train and evaluate on. If folds have different encodings, each fold has a copy of the rows.

    `x`: (rows, inputs).
    `y`: (rows,), class indices or standardized numbers; -1 or NaN for target rows without a label, so that an
    accidental use fails.
    `weight`: (rows,), or None.
    `classes`: the labels by index, empty for regression.
    `target_scale`: the standard deviation by which the numbers of a regression were divided.
    `columns`: (inputs,), the table column of each input, as integers from 0 without gaps.
    `image`: (channels, height, width) if each row is an image, else ().
    `augmented`: variants of `x` by regularizer, (variants, rows, inputs).
    `offset`: (rows, outputs), added to the outputs of a network, or None.
    `auxiliary`: (rows, outputs), a second target: standardized numbers or one-hot classes, NaN where unknown, or None.
    `class_weights`: (classes,), the weights that balance the classes (see `hpo.data.fold_encoding`), or None.
    `density_ratio`: (rows,), the ratio of target to source density, or None. Its mean over source rows is 1, and it is
    1 at all other rows.
    `valid_is_target`: whether validation rows are labelled rows of the target domain.
    """

    task: Task
    x: Tensor
    y: Tensor
    weight: Tensor | None
    folds: tuple[Fold, ...]
    classes: tuple[Any, ...]
    target_scale: float
    columns: Tensor = field(default_factory=no_rows)
    image: tuple[int, ...] = ()
    augmented: Mapping[str, Tensor] = field(default_factory=dict)
    offset: Tensor | None = None
    auxiliary: Tensor | None = None
    class_weights: Tensor | None = None
    density_ratio: Tensor | None = None
    valid_is_target: bool = False

    def as_samples(self) -> Samples:
        """Return a copy with only the fields of `Samples`, which training uses: no table and no test part."""
        return Samples(**{f.name: getattr(self, f.name) for f in fields(Samples)})

    def copy_per_fold(self) -> Samples:
        """Copy all rows once per fold, one copy below the other, so that folds can have different values."""
        n_rows, n_folds = len(self.x), len(self.folds)
        folds = tuple(fold.remap(partial(torch.add, torch.tensor(i * n_rows))) for i, fold in enumerate(self.folds))
        tensors = {name: getattr(self, name) for name in ("x", "y", "weight", "auxiliary", "density_ratio")}
        copies = {name: t.repeat(n_folds, *(1,) * (t.dim() - 1)) for name, t in tensors.items() if t is not None}
        augmented = {name: tensor.repeat(1, n_folds, 1) for name, tensor in self.augmented.items()}
        return replace(self.as_samples(), **copies, folds=folds, augmented=augmented)

    @property
    def n_inputs(self) -> int:
        return self.x.shape[1]

    @property
    def n_outputs(self) -> int:
        return len(self.classes) or 1

    def to(self, device: torch.device) -> Samples:
        """Move all tensors to a device."""
        folds = tuple(fold.remap(lambda rows: rows.to(device)) for fold in self.folds)
        optional = {
            name: tensor.to(device)
            for name in ("weight", "offset", "auxiliary", "class_weights", "density_ratio")
            if (tensor := getattr(self, name)) is not None
        }
        required = {name: getattr(self, name).to(device) for name in ("x", "y", "columns")}
        augmented = {name: tensor.to(device) for name, tensor in self.augmented.items()}
        return replace(self, **required, **optional, folds=folds, augmented=augmented)

    def inputs(self, index: Tensor) -> Tensor:
        """Return the rows `index` (fit, batch) of `x`, (fit, batch, inputs)."""
        return take_rows(self.x, index)

    def targets(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the rows `index` (fit, batch) of `y` and of `weight` (None without weights), each (fit, batch)."""
        return take_rows(self.y, index), None if self.weight is None else take_rows(self.weight, index)

    def density_ratios(self, index: Tensor) -> Tensor | None:
        """Return the rows `index` (fit, batch) of `density_ratio`, (fit, batch), or None if there are no ratios."""
        return None if self.density_ratio is None else take_rows(self.density_ratio, index)

    def offsets(self, index: Tensor) -> Tensor | None:
        """Return the rows `index` (fit, batch) of `offset`, (fit, batch, outputs), or None if there are no offsets."""
        return None if self.offset is None else take_rows(self.offset, index)
