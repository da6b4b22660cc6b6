"""The rows of a stack: one fit in training each, with what belongs to it in tensors, and what it has learned in the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hpo.core.trial import Fit
from hpo.nn.backends import Stream
from hpo.nn.layout import Layout
from hpo.nn.network import BatchedNetwork
from hpo.space.settings import TrainConfig


@dataclass
class FitState:
    """One fit in training: its network, how it trains, its streams of random numbers, and how far it has come."""

    fit: Fit
    network: BatchedNetwork
    train: TrainConfig  # as its trial has it
    order: Stream
    streams: Mapping[str, Mapping[int | str, Stream]]  # by who draws, and by what for
    epoch: int = 0
    best_epoch: int = 0
    best: float = math.inf  # the followed metric times its sign: lower is better
    stopped: str = ""  # why it stopped by itself, or ""
    values: Mapping[str, float] = field(default_factory=dict)  # what is watched, after its last epoch

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"network": None}  # `Population.take` builds it anew: a user's network may not be picklable

    @property
    def epochs(self) -> int:
        """How many it trains at most."""
        return self.fit.trial.epochs or self.train.epochs

    @property
    def next_epoch(self) -> tuple[int, int]:
        """Its coming epoch, from 1, and of how many, as regularizers count them: each of its trial's cycles is a training of its own."""
        cycle = self.fit.trial.cycle
        return (self.epoch + 1, self.train.epochs) if cycle is None else (self.epoch % cycle + 1, cycle)

    @property
    def lr(self) -> float:
        """The learning rate of its coming epoch: constant, or cosine as torch's CosineAnnealingLR over all epochs, or over each of its
        trial's cycles."""
        lr = float(self.fit.trial.params["learning_rate"])
        if self.fit.trial.cycle is None and self.train.schedule != "cosine":
            return lr
        coming, epochs = self.next_epoch
        return lr * (1 + math.cos(math.pi * min(1, (coming - 1) / epochs))) / 2

    def update_early_stopping(self, value: float) -> bool:
        """Takes in the followed metric after an epoch, times its sign; stops at the last epoch or when patience ends. Whether this is
        the best epoch so far (or the last, where nothing tells which is best)."""
        better = value < self.best or not len(self.fit.fold.valid)
        if better:
            self.best, self.best_epoch = value, self.epoch
        if self.epoch >= self.epochs:
            self.stopped = f"trained all {self.epochs} epochs"
        elif self.epoch - self.best_epoch >= self.train.patience:
            self.stopped = f"no improvement for {self.train.patience} epochs"
        return better


@dataclass
class Tensors:
    """All that belongs to rows in tensors, fit axis first, so that rows enter and leave in one place."""

    values: Tensor  # (fit, size), parameters and buffers as the stack's layout has them
    exp_avg: Tensor
    exp_avg_sq: Tensor
    best: Tensor  # (fit, size), the values at the best epoch
    counts: Tensor  # (fit, 1), optimizer steps
    kept: Mapping[str, Tensor]  # (fit, size), copies of the values that regularizers have of their own

    @classmethod
    def fresh(cls, values: Tensor, keeping: Sequence[str]) -> Tensors:
        """Of rows that begin with `values`."""
        zeros = torch.zeros_like(values)
        counts = values.new_zeros((len(values), 1), dtype=torch.float32)
        return cls(values, zeros, zeros, values, counts, dict.fromkeys(keeping, values))

    def join(self, other: Tensors) -> Tensors:
        """Both, one below the other."""
        return self._each(lambda one, two: torch.cat([one, two]), other)

    def keep(self, rows: Sequence[int]) -> Tensors:
        """The given rows, in that order."""
        index = torch.tensor(rows, dtype=torch.long, device=self.values.device)
        return self._each(lambda one, _: one[index], self)

    def moved(self, old: Layout, new: Layout) -> Tensors:
        """The same from one layout to another."""
        counts = self.counts
        return self._each(lambda one, _: one if one is counts else old.moved(one, new), self)

    def _each(self, do: Callable[[Tensor, Tensor], Tensor], other: Tensors) -> Tensors:
        kept = {name: do(tensor, other.kept[name]) for name, tensor in self.kept.items()}
        names = ("values", "exp_avg", "exp_avg_sq", "best", "counts")
        return Tensors(**{name: do(getattr(self, name), getattr(other, name)) for name in names}, kept=kept)


@dataclass(frozen=True)
class FitResult:
    """What one fit has learned: its row, its best weights by name, and every reported metric by part (train, valid)."""

    row: FitState
    weights: Mapping[str, Tensor]
    scores: Mapping[str, Mapping[str, float]]
