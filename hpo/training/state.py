"""The state of a fit in training, the tensors of a stack's rows, and the result of a fit."""

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
    """The state of one fit in training, except its tensors."""

    fit: Fit
    network: BatchedNetwork
    train: TrainConfig  # including the values that its trial sets
    order: Stream  # shuffles the training rows
    streams: Mapping[str, Mapping[int | str, Stream]]  # by user (regularizer or network) and by hook point
    unseen: Tensor | None = None  # (rows,), what is left of the shuffled training rows, if an epoch takes only a part
    passes: int = 0  # how often the training rows were shuffled, if an epoch takes only a part
    epoch: int = 0
    best_epoch: int = 0
    best: float = math.inf  # the best followed metric so far, negated if higher is better
    stopped: str = ""  # why it stopped, or ""
    values: Mapping[str, float] = field(default_factory=dict)  # the tracked metrics after its last epoch
    valid_logits: list[Tensor] = field(default_factory=list)  # (rows, outputs) by epoch, if the trial keeps them

    def __getstate__(self) -> dict[str, object]:
        # The network is left out, because it may not be picklable; `Population.attach` builds it again.
        return vars(self) | {"network": None}

    @property
    def epochs(self) -> int:
        """The maximum number of epochs."""
        return self.fit.trial.epochs or self.train.epochs

    @property
    def next_epoch(self) -> tuple[int, int]:
        """The next epoch, counted from 1, and the number of epochs, both within the current cycle."""
        cycle = self.fit.trial.cycle
        return (self.epoch + 1, self.train.epochs) if cycle is None else (self.epoch % cycle + 1, cycle)

    @property
    def lr(self) -> float:
        """The learning rate of the next epoch.

        It is constant, or follows a cosine like that of torch's CosineAnnealingLR, either over all epochs or over each
        cycle of the trial.
        """
        lr = self.fit.trial.params.learning_rate
        if self.fit.trial.cycle is None and self.train.schedule != "cosine":
            return lr
        epoch, epochs = self.next_epoch
        return lr * (1 + math.cos(math.pi * min(1, (epoch - 1) / epochs))) / 2

    def update_early_stopping(self, value: float) -> bool:
        """Record the followed metric after an epoch, negated if higher is better; return whether it is the best so far.

        Without validation rows every epoch counts as the best, so that the last one is kept. The fit stops at its last
        epoch, or after `patience` epochs without improvement.
        """
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
    """All tensors of the rows of a stack, fit axis first; `size` is that of the stack's layout."""

    values: Tensor  # (fit, size), parameters and buffers
    exp_avg: Tensor  # (fit, size), AdamW's first moment
    exp_avg_sq: Tensor  # (fit, size), AdamW's second moment
    best: Tensor  # (fit, size), the values at the best epoch
    counts: Tensor  # (fit, 1), optimizer steps
    weight_copies: Mapping[str, Tensor]  # (fit, size), by regularizer that needs a copy of the values

    @classmethod
    def initial(cls, values: Tensor, copying: Sequence[str]) -> Tensors:
        """Make the tensors of new rows with `values`; the regularizers `copying` get a copy of these."""
        zeros = torch.zeros_like(values)
        counts = values.new_zeros((len(values), 1), dtype=torch.float32)
        return cls(values, zeros, zeros, values, counts, dict.fromkeys(copying, values))

    def join(self, other: Tensors) -> Tensors:
        """Append the rows of `other`."""
        return self._map(lambda tensor, second: torch.cat([tensor, second]), other)

    def take(self, rows: Sequence[int]) -> Tensors:
        """Return the given rows in that order."""
        index = torch.tensor(rows, dtype=torch.long, device=self.values.device)
        return self._map(lambda tensor, _: tensor[index], self)

    def to_layout(self, old: Layout, new: Layout) -> Tensors:
        """Convert the tensors from one layout to another."""
        counts = self.counts
        return self._map(lambda tensor, _: tensor if tensor is counts else old.convert(tensor, new), self)

    def _map(self, function: Callable[[Tensor, Tensor], Tensor], other: Tensors) -> Tensors:
        copies = {name: function(tensor, other.weight_copies[name]) for name, tensor in self.weight_copies.items()}
        names = ("values", "exp_avg", "exp_avg_sq", "best", "counts")
        tensors = {name: function(getattr(self, name), getattr(other, name)) for name in names}
        return Tensors(**tensors, weight_copies=copies)


@dataclass(frozen=True)
class FitResult:
    """The result of one fit: its state, its best weights by name, and every reported metric by part (train, valid)."""

    row: FitState
    weights: Mapping[str, Tensor]
    scores: Mapping[str, Mapping[str, float]]
