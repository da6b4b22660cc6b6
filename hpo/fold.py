"""Which rows a fit learns from, and which it is judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor


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

    def at(self, place: Callable[[Tensor], Tensor]) -> Fold:
        """The same fold with all of its rows elsewhere."""
        return Fold(self.number, *(place(getattr(self, f.name)) for f in fields(self) if f.name != "number"))
