"""The records that flow through a search: a trial, its fits, the scores of an epoch, and the outcome."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from torch import Tensor

from hpo.core.samples import Fold
from hpo.core.trial_config import Config
from hpo.core.trial_key import TrialKey

Role = Literal["search", "baseline", "ablation", "finalist", "refit"]
State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """A configuration to train.

    `epochs` is the maximum number of epochs (None: that of the space). `cycle` is the number of epochs after which the
    cosine schedule of the learning rate restarts (None: it does not restart).
    """

    key: TrialKey
    role: Role
    params: Config
    seed: int
    epochs: int | None = None
    cycle: int | None = None

    @property
    def label(self) -> str:
        """The key as a string."""
        return str(self.key)

    @property
    def in_budget(self) -> bool:
        """Whether it counts against the budget; all other trials are trained after the search."""
        return self.role in ("search", "baseline")

    @property
    def keep_valid_logits(self) -> bool:
        """Whether its predictions for the validation rows are needed after training."""
        return self.role == "finalist"

    @property
    def keep_weights(self) -> bool:
        """Whether its weights are needed after training."""
        return self.role == "refit"

    def to_json(self) -> dict[str, Any]:
        """Return the trial as a mapping for JSON."""
        fields = dict(vars(self))
        del fields["key"]
        config = {"params": dict(self.params), "parts": dict(self.params.parts)}
        return {"label": self.label, **fields, **config}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trial:
        """Return the trial from a mapping of `to_json`. Raises ValueError if its label is not that of a trial."""
        fields = dict(data)
        key, config = TrialKey.parse(fields.pop("label")), Config(fields.pop("params"), fields.pop("parts"))
        return cls(key, params=config, **fields)


@dataclass(frozen=True, eq=False)
class Fit:
    """One network to train: a trial on one fold. Two fits are equal only if they are the same object."""

    trial: Trial
    fold: Fold

    def stream(self, use: str) -> np.random.Generator:
        """Return the random generator of the fit for one use (`init`, `order`, or the name of a regularizer)."""
        key = (self.fold.number, zlib.crc32(use.encode()))
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence(self.trial.seed, spawn_key=key)))


@dataclass(frozen=True)
class Score:
    """The tracked metrics of one trial after one epoch.

    `values` are vectors over the fits, (fits,), in the order of the folds. A fit that stopped before the others keeps
    its last values. Without validation rows there are no validation metrics. `metric` is the key of the followed
    metric.
    """

    trial: Trial
    epoch: int
    values: Mapping[str, np.ndarray]
    metric: str
    stop_reason: str  # why all its fits have stopped, or ""
    fits_trained: int  # the number of its fits that were trained in this epoch: those that had not stopped before

    @cached_property
    def means(self) -> dict[str, float]:
        """The mean of every metric over fits."""
        # For so few numbers, Python's sum is five times as fast as numpy's.
        return {name: sum(value.tolist()) / len(value) for name, value in self.values.items()}

    @property
    def value(self) -> float:
        """The mean of the followed metric over fits."""
        return self.means[self.metric]

    @property
    def metric_per_fit(self) -> list[float]:
        """The followed metric of every fit."""
        values: list[float] = self.values[self.metric].tolist()
        return values

    @property
    def finite(self) -> bool:
        """Whether the trial has not diverged."""
        return all(math.isfinite(self.means.get(name, 0.0)) for name in ("train_loss", "valid_loss"))


@dataclass(frozen=True)
class TrainedTrial:
    """A trial after its training, at the best epoch of each fit.

    `best_epoch` is the rounded mean of the best epochs of its fits, or 0 if a fit has none. `train` and `valid` are the
    means over fits of every metric of the task, without noise. `weights` are the tensors by name, fit axis first, in
    the order of the folds; `cycle_weights` are those at the end of each cycle of the learning rate, up to a divergence.
    `valid_logits` holds, for each fold, the logits of its validation rows after each epoch, (epochs, rows, outputs), if
    the trial keeps them.
    """

    best_epoch: int
    train: Mapping[str, float]
    valid: Mapping[str, float]
    nonzero_share: float
    fit_epochs: int  # epochs of all its fits together
    weights: Mapping[str, Tensor] = field(repr=False)
    cycle_weights: Sequence[Mapping[str, Tensor]] = field(default=(), repr=False)
    valid_logits: Sequence[Tensor] = field(default=(), repr=False)


def train_valid_gap(train: Mapping[str, float], valid: Mapping[str, float]) -> float:
    """Return the generalization gap, validation loss minus training loss; both arguments are scores by metric name."""
    return valid["loss"] - train["loss"]


@dataclass(frozen=True)
class Outcome:
    """A trial that has ended. All of it is stored with the study, so that MLflow can be rebuilt from it."""

    trial: Trial
    state: State
    reason: str
    value: float | None  # the followed metric over its best five epochs; None if it was never finite
    best_epoch: int
    epochs: int
    train: Mapping[str, float]
    valid: Mapping[str, float]
    nonzero_share: float
    curves: Mapping[str, list[float]]
    fold_curves: Mapping[str, list[list[float]]]  # by epoch, then by fold; {} for a trial with a single fit
    fit_epochs: int  # epochs of all its fits together
    started: float  # seconds since 1970
    epoch_times: list[float]  # when each epoch ended, seconds since 1970
    rounds: list[int]  # the rounds of the search in which it began and ended
    values: Mapping[str, float]  # the objectives by name; {} if one was never finite, or the trial was not proposed

    @property
    def gap(self) -> float:
        """The train–valid gap at the best epoch."""
        return train_valid_gap(self.train, self.valid)

    @property
    def ended(self) -> float:
        """When the last epoch ended, in seconds since 1970."""
        return self.epoch_times[-1] if self.epoch_times else self.started

    def with_gap(self) -> dict[str, list[float]]:
        """Return the curves, including the train–valid gap: validation minus training loss, both without noise."""
        curves = dict(self.curves)
        if "valid_loss" in curves:
            curves["gap"] = [v - t for v, t in zip(curves["valid_loss"], curves["train_loss"], strict=True)]
        return curves

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as a mapping for JSON."""
        data = dict(vars(self))
        data["trial"] = self.trial.to_json()
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """Return the outcome from a mapping that `to_json` returned."""
        return cls(**{**data, "trial": Trial.from_json(data["trial"])})
