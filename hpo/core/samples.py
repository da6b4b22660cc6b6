"""Which rows a fit learns from, and which it is judged by.

What networks are trained on: rows as tensors. Knows torch alone, so that a worker process is quick to start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hpo.core.metrics import Task


def no_rows() -> Tensor:
    """The index of none."""
    return torch.empty(0, dtype=torch.long)


@dataclass(frozen=True)
class Fold:
    """Which rows of `Samples.x` a fit learns from, which choose its best epoch (none: its last is kept), and which it is
    judged on once, when it has ended. Of another domain, without labels: to which rows it adapts, and by which it is judged. Where
    `valid` are labelled rows of another domain, `source_valid` are such of the source's that it does not learn from either."""

    number: int
    train: Tensor  # (n_train,)
    valid: Tensor  # (n_valid,)
    test: Tensor = field(default_factory=no_rows)  # (n_test,)
    target: Tensor = field(default_factory=no_rows)  # (n_target,)
    target_valid: Tensor = field(default_factory=no_rows)  # (n_target_valid,)
    source_valid: Tensor = field(default_factory=no_rows)  # (n_source_valid,)

    def remap(self, place: Callable[[Tensor], Tensor]) -> Fold:
        """The same fold with all of its rows elsewhere."""
        return Fold(self.number, *(place(getattr(self, f.name)) for f in fields(self) if f.name != "number"))


def take_rows(of: Tensor, index: Tensor) -> Tensor:
    """The rows `index` (fit, batch) of a tensor: (fit, batch, …)."""
    return of.index_select(0, index.flatten()).view(*index.shape, *of.shape[1:])


@dataclass(frozen=True)
class Samples:
    """Rows to learn from and to select by, once for every fold, as its own training rows have them encoded.

    `x` (rows, inputs); `y` (rows,), class indices or a standardised number, of rows of another domain without a label -1 or not a
    number, so that nothing can be learned from these by mistake; `weight` (rows,) or None. `columns` (inputs,): to which
    column of the table each input belongs, as a whole number from 0 without gaps. `image`: (channels, height, width) of a row, () if it
    is none. `variants`: by regularizer, (variants, rows, inputs), what could stand in place of `x`. `base` (rows, outputs):
    what is added to a network's outputs, if something is. `auxiliary` (rows, outputs), if there is another target: a standardised number, or
    the shares of classes, not a number where it is not known. `ratio` (rows,): by how much the density of the other domain is larger
    than the source's at a row of the source, with mean 1, and 1 at all other rows; None if nobody asks for it.
    `foreign`: whether validation rows are labelled rows of the other domain.
    """

    task: Task
    x: Tensor
    y: Tensor
    weight: Tensor | None
    folds: tuple[Fold, ...]
    classes: tuple[Any, ...]  # labels by index; empty for regression
    target_scale: float
    columns: Tensor = field(default_factory=no_rows)
    image: tuple[int, ...] = ()
    augmented: Mapping[str, Tensor] = field(default_factory=dict)
    offset: Tensor | None = None
    auxiliary: Tensor | None = None
    ratio: Tensor | None = None
    valid_is_target: bool = False

    def samples(self) -> Samples:
        """What training needs, and nothing that a data set has besides: neither the test part nor the table."""
        return Samples(**{f.name: getattr(self, f.name) for f in fields(Samples)})

    def once_a_fold(self) -> Samples:
        """The rows once a fold, one below the other, so that each fold may have what belongs to it alone."""
        n, times = len(self.x), len(self.folds)
        folds = tuple(fold.remap(partial(torch.add, torch.tensor(i * n))) for i, fold in enumerate(self.folds))
        of_rows = {name: getattr(self, name) for name in ("x", "y", "weight", "auxiliary", "ratio")}
        told = {name: t.repeat(times, *(1,) * (t.dim() - 1)) for name, t in of_rows.items() if t is not None}
        variants = {name: tensor.repeat(1, times, 1) for name, tensor in self.augmented.items()}
        return replace(self.samples(), **told, folds=folds, augmented=variants)

    @property
    def n_inputs(self) -> int:
        return self.x.shape[1]

    @property
    def n_outputs(self) -> int:
        return len(self.classes) or 1

    def to(self, device: torch.device) -> Samples:
        """The same in a device's memory."""
        folds = tuple(fold.remap(lambda rows: rows.to(device)) for fold in self.folds)
        given = {
            name: t.to(device)
            for name in ("weight", "offset", "auxiliary", "ratio")
            if (t := getattr(self, name)) is not None
        }
        moved = {name: getattr(self, name).to(device) for name in ("x", "y", "columns")}
        variants = {name: t.to(device) for name, t in self.augmented.items()}
        return replace(self, **moved, **given, folds=folds, augmented=variants)

    def inputs(self, index: Tensor) -> Tensor:
        """The rows `index` (fit, batch) of x: (fit, batch, inputs)."""
        return take_rows(self.x, index)

    def targets(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """The rows `index` (fit, batch) of y, and of weight if there is one, each (fit, batch)."""
        return take_rows(self.y, index), None if self.weight is None else take_rows(self.weight, index)

    def ratios(self, index: Tensor) -> Tensor | None:
        """The rows `index` (fit, batch) of ratio, if there is one: (fit, batch)."""
        return None if self.ratio is None else take_rows(self.ratio, index)

    def offsets(self, index: Tensor) -> Tensor | None:
        """The rows `index` (fit, batch) of base, if there is one: (fit, batch, outputs)."""
        return None if self.offset is None else take_rows(self.offset, index)
