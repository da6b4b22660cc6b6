"""A stack: fits of the same tensor shapes, trained as the rows of one batched tensor program."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from hpo.data import Dataset
from hpo.metrics import METRICS, losses, measure, reported, watched
from hpo.network import Layout, Mlp
from hpo.noise import Noise
from hpo.optimizer import adam_step
from hpo.regularizers import FAMILY
from hpo.regularizers.base import Step
from hpo.space import Train
from hpo.trial import Fit


@dataclass
class Row:
    """One fit in training: how far it has come, and its streams of random numbers."""

    fit: Fit
    streams: Mapping[str, np.random.Generator]
    count: Tensor  # optimizer steps taken, a scalar tensor because the fused kernel wants one
    epoch: int = 0
    best_epoch: int = 0
    best: float = math.inf  # the followed metric times its sign: lower is better
    stopped: str = ""  # why it stopped by itself, or ""


@dataclass
class Tensors:
    """All that belongs to rows in tensors, fit axis first, so that rows enter and leave in one place."""

    params: Tensor  # (fit, parameters)
    exp_avg: Tensor
    exp_avg_sq: Tensor
    buffers: Tensor  # (fit, running statistics)
    best_params: Tensor
    best_buffers: Tensor

    def join(self, other: Tensors) -> Tensors:
        return Tensors(*(torch.cat((getattr(self, f.name), getattr(other, f.name))) for f in fields(self)))

    def keep(self, rows: Sequence[int]) -> Tensors:
        index = torch.tensor(rows, dtype=torch.long)
        return Tensors(*(getattr(self, f.name)[index] for f in fields(self)))


class Stack:
    """The rows of one network shape and one set of named regularizers."""

    def __init__(self, network: Mlp, names: Sequence[str], data: Dataset, train: Train) -> None:
        self.network = network
        self.rows: list[Row] = []
        self._names = names
        self._data = data
        self._train = train
        self._metric = METRICS[train.metric]
        self._watched = watched(data.task, train.metric)
        self._layout, self._buffer_layout = Layout(network.parameters), Layout(network.buffers)
        dtype = data.x.dtype
        no_rows = [torch.empty((0, layout.size), dtype=dtype) for layout in (self._layout, self._buffer_layout)]
        params, buffers = no_rows
        self._tensors = Tensors(params, params, params, buffers, params, buffers)

    # ---- rows enter and leave, between epochs only

    def admit(self, fit: Fit) -> None:
        uses = ("order", *self._names)
        self.rows.append(Row(fit, {use: fit.stream(use) for use in uses}, torch.zeros((), dtype=torch.float32)))
        fresh = self.network.init(fit.stream("init"))
        dtype = self._data.x.dtype
        params, buffers = self._layout.pack(fresh, dtype), self._buffer_layout.pack(fresh, dtype)
        zeros = torch.zeros_like(params)
        self._set(self._tensors.join(Tensors(params, zeros, zeros, buffers, params, buffers)))

    def release(self, fits: Sequence[Fit]) -> tuple[dict[str, Tensor], list[int], dict[str, Tensor], dict[str, Tensor]]:
        """Frees the rows of `fits`; returns their best weights by name (fits, …), best epochs, and every reported
        metric (fits,) on training and validation rows."""
        chosen = [i for i, row in enumerate(self.rows) if row.fit in fits]
        left = self._tensors.keep(chosen)
        weights = self._layout.views(left.best_params) | self._buffer_layout.views(left.best_buffers)
        epochs = [self.rows[i].best_epoch for i in chosen]
        names = reported(self._data.task, self._train.metric)
        parts = [
            self._measure(names, weights, torch.stack([getattr(self.rows[i].fit, part) for i in chosen]))
            for part in ("train", "valid")
        ]
        staying = [i for i in range(len(self.rows)) if i not in chosen]
        self.rows = [self.rows[i] for i in staying]
        self._set(self._tensors.keep(staying))
        return weights, epochs, parts[0], parts[1]

    def _set(self, tensors: Tensors) -> None:
        """Everything that is derived from which rows there are."""
        self._tensors = tensors
        # Each view is a leaf of its own: autograd through slices of one buffer would zero-fill all of it per slice.
        views = self._layout.views(tensors.params)
        self._leaves = {name: view.detach().requires_grad_() for name, view in views.items()}
        self._buffers = self._buffer_layout.views(tensors.buffers)
        self._grads = torch.empty_like(tensors.params)
        self._grad_views = list(self._layout.views(self._grads).values())
        params = [row.fit.trial.params for row in self.rows]
        dtype = tensors.params.dtype
        self._strengths = {name: torch.tensor([p[name] for p in params], dtype=dtype) for name in self._names}
        if self.rows:
            self._train_index = torch.stack([row.fit.train for row in self.rows])
            # Training loss is taken without noise, on as many training rows as there are validation rows.
            sample = [row.fit.train[: len(row.fit.valid)] for row in self.rows]
            self._sample_index = torch.stack(sample)
            self._valid_index = torch.stack([row.fit.valid for row in self.rows])

    # ---- training

    def train_epoch(self) -> dict[str, np.ndarray]:
        """One epoch of every row; returns what is watched, each (fit,), and moves best weights and patience on."""
        lr = [self._scheduled(row) for row in self.rows]
        order = Noise([row.streams["order"] for row in self.rows], self._data.x.dtype)
        noise = {
            name: Noise([row.streams[name] for row in self.rows], self._data.x.dtype) for name in self._names
        }
        index = self._train_index.gather(1, order.permutation(self._train_index.shape[1]))
        step = Step(
            self.network.parameters, self._leaves, torch.tensor(lr, dtype=self._data.x.dtype), noise, training=True
        )
        for batch in torch.split(index, self._train.batch_size, dim=1):
            self._step(step, batch, lr)
        values = self._evaluate()
        for i, row in enumerate(self.rows):
            row.epoch += 1
            self._judge(i, row, float(values[self._train.metric_key][i]))
        return values

    def _step(self, step: Step, batch: Tensor, lr: Sequence[float]) -> None:
        x, y, weight = self._data.rows(batch)
        logits = self._forward(self._leaves, self._buffers, x, step)
        # Summed, not averaged: a gradient must not depend on how many rows share the program.
        total = losses(self._data.task, logits, y, weight).sum()
        grads = torch.autograd.grad(total, list(self._leaves.values()))
        with torch.no_grad():
            torch._foreach_copy_(self._grad_views, list(grads))
            for name in self._names:
                FAMILY[name].before_step(self._strengths[name], step)
            t = self._tensors
            adam_step(t.params, self._grads, t.exp_avg, t.exp_avg_sq, [row.count for row in self.rows], lr)
            for name in self._names:
                FAMILY[name].after_step(self._strengths[name], step)

    def _forward(self, params: Mapping[str, Tensor], buffers: Mapping[str, Tensor], x: Tensor, step: Step) -> Tensor:
        def hidden(h: Tensor, h_in: Tensor, site: int) -> Tensor:
            for name in self._names:
                h = FAMILY[name].hidden(self._strengths[name], step, h, h_in, site)
            return h

        return self.network.forward(params, buffers, x, hidden=hidden, training=step.training)

    def _scheduled(self, row: Row) -> float:
        """The learning rate of a row's coming epoch: constant, or cosine as torch's CosineAnnealingLR over all epochs."""
        lr = float(row.fit.trial.params["learning_rate"])
        if self._train.schedule == "cosine":
            lr *= (1 + math.cos(math.pi * row.epoch / self._train.epochs)) / 2
        return lr

    # ---- judging

    def _evaluate(self) -> dict[str, np.ndarray]:
        weights = self._layout.views(self._tensors.params) | self._buffers
        train = self._measure(("loss",), weights, self._sample_index)
        valid = self._measure(self._watched, weights, self._valid_index)
        values = {"train_loss": train["loss"]} | {f"valid_{name}": value for name, value in valid.items()}
        return {name: value.double().numpy() for name, value in values.items()}

    def _measure(self, names: Sequence[str], weights: Mapping[str, Tensor], index: Tensor) -> dict[str, Tensor]:
        """Metrics of weights (fits, …) on the data rows `index` (fits, n), without noise; each (fits,)."""
        x, y, weight = self._data.rows(index)
        logits = self.network.predict(weights, x)
        return measure(names, self._data.task, logits, y, weight, self._data.target_scale)

    def _judge(self, i: int, row: Row, value: float) -> None:
        """Keeps the weights of the best epoch so far, and stops the row at its last epoch or when patience ends."""
        value *= self._metric.sign
        if value < row.best:
            row.best, row.best_epoch = value, row.epoch
            self._tensors.best_params[i] = self._tensors.params[i]
            self._tensors.best_buffers[i] = self._tensors.buffers[i]
        if row.epoch >= self._train.epochs:
            row.stopped = f"trained all {self._train.epochs} epochs"
        elif row.epoch - row.best_epoch >= self._train.patience:
            row.stopped = f"no improvement for {self._train.patience} epochs"
