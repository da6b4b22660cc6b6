"""The records that flow through a search: a trial is proposed, its fits train, scores come back, an outcome remains."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from torch import Tensor

from hpo.core.samples import Fold

Role = Literal["search", "baseline", "ablation", "finalist", "nested", "refit"]
State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """One configuration to train.

    `label` names it within its study: Optuna's number for a searched trial, `none`, `defaults`, or `ablation-` or `unadapted-` and the label of
    what it ablates. Whatever of these follows the search has a label of its own: of X on a fresh draw N it is X-fresh-N, within
    a fold F of such a draw X-nested-F, and the final networks are X-scaled-EPOCHS, X-keep and X-average.
    `params` holds a plain value for every parameter; a strength at its neutral value is off. `epochs` is how many it trains
    at most, if not as many as all, and `cycle` after how many its learning rate, on a cosine, starts again.
    """

    label: str
    role: Role
    params: Mapping[str, Any]
    seed: int
    epochs: int | None = None
    cycle: int | None = None

    @property
    def in_budget(self) -> bool:
        """Whether it is one of the budget's; all others follow the search."""
        return self.role in ("search", "baseline")

    @property
    def keep_weights(self) -> bool:
        """Whether somebody will ask for its weights."""
        return self.role in ("nested", "refit")


@dataclass(frozen=True, eq=False)
class Fit:
    """One network being trained: a trial on one fold. Compared by identity: two fits are the same only if they are one."""

    trial: Trial
    fold: Fold

    def stream(self, use: str) -> np.random.Generator:
        """The fit's own stream of random numbers for one use (`init`, `order`, or a regularizer's name)."""
        key = (self.fold.number, zlib.crc32(use.encode()))
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence(self.trial.seed, spawn_key=key)))


@dataclass(frozen=True)
class Score:
    """One trial after one epoch; every value is a vector over its fits, shape (fits,), in the order of the folds. A fit that has
    stopped before the others stands with its last values. Without validation rows there is no value of them.
    """

    trial: Trial
    epoch: int
    values: Mapping[str, np.ndarray]
    metric: str
    stop_reason: str  # why all its fits have stopped by themselves, or ""

    @cached_property
    def means(self) -> dict[str, float]:
        """Every value's mean over fits; of so few numbers Python's own sum is five times as fast as numpy's."""
        return {name: sum(value.tolist()) / len(value) for name, value in self.values.items()}

    @property
    def value(self) -> float:
        """The mean over fits of the metric that the search follows."""
        return self.means[self.metric]

    @property
    def metric_per_fit(self) -> list[float]:
        """That metric of every fit."""
        found: list[float] = self.values[self.metric].tolist()
        return found

    @property
    def finite(self) -> bool:
        """Whether the trial has not diverged."""
        return all(math.isfinite(self.means.get(name, 0.0)) for name in ("train_loss", "valid_loss"))


@dataclass(frozen=True)
class TrainedTrial:
    """What a trial leaves behind when its rows are freed: its best epoch, judged without noise.

    `best_epoch` is the rounded mean of its fits' best epochs, or 0 if one of them has none. `weights` holds the best epochs'
    tensors by name, fit axis first, in the order of the folds; `train` and `valid` every metric of the task, the mean over fits.
    """

    best_epoch: int
    train: Mapping[str, float]
    valid: Mapping[str, float]
    nonzero_share: float
    fit_epochs: int  # that its fits were trained, all together
    weights: Mapping[str, Tensor] = field(repr=False)


@dataclass(frozen=True)
class Outcome:
    """A trial that has ended. Everything here is stored with the study, so that MLflow can be rebuilt from it."""

    trial: Trial
    state: State
    reason: str
    value: float | None  # the followed metric over its best five epochs; None if nothing finite was seen
    best_epoch: int
    epochs: int
    train: Mapping[str, float]
    valid: Mapping[str, float]
    nonzero_share: float
    curves: Mapping[str, list[float]]
    fold_curves: Mapping[str, list[list[float]]]  # of a trial with several fits: by epoch, then by fold
    fit_epochs: int  # epochs of all its fits together
    started: float  # seconds since 1970
    epoch_times: list[float]  # when each epoch ended, seconds since 1970
    rounds: list[int]  # of the search, in which it began and ended
    values: Mapping[str, float]  # the objectives, by name; {} if nothing finite was seen, or if it was not proposed

    @property
    def ended(self) -> float:
        return self.epoch_times[-1] if self.epoch_times else self.started

    def with_gap(self) -> dict[str, list[float]]:
        """The curves, and the generalization gap: validation loss minus training loss, both without noise."""
        curves = dict(self.curves)
        if "valid_loss" in curves:
            curves["gap"] = [v - t for v, t in zip(curves["valid_loss"], curves["train_loss"], strict=True)]
        return curves

    def to_json(self) -> dict[str, Any]:
        data = dict(vars(self))
        data["trial"] = dict(vars(self.trial))
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        return cls(**{**data, "trial": Trial(**data["trial"])})
