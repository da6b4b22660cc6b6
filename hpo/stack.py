"""A stack: fits that can share one batched tensor program, as its rows. They may differ in depth: a layer is computed for
the rows that have it, which come first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from hpo.dataset import Samples
from hpo.metrics import METRICS, losses, measure, reported, watched
from hpo.network import BLOCK, Layout, Mlp
from hpo.noise import Noise
from hpo.optimizer import Adam
from hpo.regularizers import STRENGTHS
from hpo.regularizers.base import Step
from hpo.space import Train
from hpo.trial import Fit


@dataclass
class Row:
    """One fit in training: its network, its streams of random numbers, and how far it has come."""

    fit: Fit
    network: Mlp
    order: np.random.Generator
    streams: Mapping[str, Sequence[np.random.Generator]]  # by regularizer and hidden layer
    epoch: int = 0
    best_epoch: int = 0
    best: float = math.inf  # the followed metric times its sign: lower is better
    stopped: str = ""  # why it stopped by itself, or ""

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"network": None}  # `Population.take` builds it anew: a user's network may not be picklable


@dataclass
class Tensors:
    """All that belongs to rows in tensors, fit axis first, so that rows enter and leave in one place."""

    params: Tensor  # (fit, parameters of the deepest)
    exp_avg: Tensor
    exp_avg_sq: Tensor
    buffers: Tensor  # (fit, running statistics of the deepest)
    best_params: Tensor
    best_buffers: Tensor
    counts: Tensor  # (fit, 1), optimizer steps

    def join(self, other: Tensors) -> Tensors:
        """Both, one below the other; what is narrower is filled up with zeros."""
        return Tensors(*(_below(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)))

    def keep(self, rows: Sequence[int]) -> Tensors:
        """The given rows, in that order."""
        index = torch.tensor(rows, dtype=torch.long)
        return Tensors(*(getattr(self, f.name)[index] for f in fields(self)))


def _below(a: Tensor, b: Tensor) -> Tensor:
    width = max(a.shape[1], b.shape[1])
    return torch.cat([torch.nn.functional.pad(t, (0, width - t.shape[1])) for t in (a, b)])


class Stack:
    """The rows of networks that are alike but for their depth, with one set of named regularizers."""

    def __init__(self, names: Sequence[str], data: Samples, train: Train) -> None:
        self.rows: list[Row] = []
        self._names = names
        self._data = data
        self._train = train
        self._metric = METRICS[train.metric]
        self._watched = watched(data.task, train.metric)
        nothing = torch.empty((0, 0), dtype=data.x.dtype)
        counts = torch.empty((0, 1), dtype=torch.float32)
        self._tensors = Tensors(nothing, nothing, nothing, nothing, nothing, nothing, counts)

    # ---- rows enter and leave, between epochs only

    def admit(self, fit: Fit, network: Mlp) -> None:
        drawing = [name for name in self._names if STRENGTHS[name].draws]
        streams = {name: [fit.stream(f"{name}/{site}") for site in range(network.depth)] for name in drawing}
        fresh, dtype = network.init(fit.stream("init")), self._data.x.dtype
        params, buffers = (Layout(part).pack(fresh, dtype) for part in (network.parameters, network.buffers))
        zeros = torch.zeros_like(params)
        entering = Tensors(params, zeros, zeros, buffers, params, buffers, torch.zeros((1, 1), dtype=torch.float32))
        self.take([Row(fit, network, fit.stream("order"), streams)], entering)

    def take(self, entering: Sequence[Row], tensors: Tensors) -> None:
        """Lets in rows, new or from another stack, with what belongs to them."""
        rows = [*self.rows, *entering]
        order = sorted(range(len(rows)), key=lambda i: -rows[i].network.depth)
        self._set([rows[i] for i in order], self._tensors.join(tensors).keep(order))

    def give(self, fits: Sequence[Fit]) -> tuple[list[Row], Tensors]:
        """Frees the rows of `fits`; returns them as they are."""
        chosen = [i for i, row in enumerate(self.rows) if row.fit in fits]
        staying = [i for i in range(len(self.rows)) if i not in chosen]
        given = [self.rows[i] for i in chosen], self._tensors.keep(chosen)
        self._set([self.rows[i] for i in staying], self._tensors.keep(staying))
        return given

    def release(self, fits: Sequence[Fit]) -> tuple[dict[str, Tensor], list[int], dict[str, Tensor], dict[str, Tensor]]:
        """Frees the rows of `fits`, all of one depth; returns their best weights by name (fits, …), best epochs, and every
        reported metric (fits,) on training and validation rows."""
        rows, left = self.give(fits)
        network = rows[0].network
        weights: dict[str, Tensor] = {}
        for part, flat in ((network.parameters, left.best_params), (network.buffers, left.best_buffers)):
            weights |= Layout(part).views(flat, [network.depth] * len(rows))
        epochs = [row.best_epoch for row in rows]
        names = reported(self._data.task, self._train.metric)
        indices = (torch.stack([getattr(row.fit, part) for row in rows]) for part in ("train", "valid"))
        train, valid = (self._measure(names, network, weights, index) for index in indices)
        return weights, epochs, train, valid

    def _set(self, rows: list[Row], tensors: Tensors) -> None:
        """Takes rows, the deepest first, and derives from them all that depends on which rows there are."""
        self.rows = rows
        self._tensors = t = tensors
        if not rows:
            return
        depths = [row.network.depth for row in rows]
        self._network = network = replace(rows[0].network, depth=max(depths))
        layout, dtype = Layout(network.parameters), t.params.dtype
        # Each view is a leaf of its own: autograd through slices of one buffer would zero-fill all of it per slice.
        views = layout.views(t.params, depths)
        self._leaves = {name: view.detach().requires_grad_() for name, view in views.items()}
        self._buffers = Layout(network.buffers).views(t.buffers, depths)
        grads = torch.zeros_like(t.params)
        self._grads = list(layout.views(grads, depths).values())
        sizes = [Layout(row.network.parameters).size for row in rows]
        self._adam = Adam(t.params, grads, t.exp_avg, t.exp_avg_sq, t.counts[:, 0], sizes)
        strengths = {n: torch.tensor([row.fit.trial.params[n] for row in rows], dtype=dtype) for n in self._names}
        having = [sum(depth > site for depth in depths) for site in range(max(depths))]
        self._strengths = strengths
        self._strengths_at = [{name: s[:n] for name, s in strengths.items()} for n in having]
        self._train_index = torch.stack([row.fit.train for row in rows])
        # Training loss is taken without noise, on as many training rows as there are validation rows.
        self._sample_index = torch.stack([row.fit.train[: len(row.fit.valid)] for row in rows])
        self._valid_index = torch.stack([row.fit.valid for row in rows])

    # ---- training

    def train_epoch(self) -> dict[str, np.ndarray]:
        """One epoch of every row; returns what is watched, each (fit,), and moves best weights and patience on."""
        dtype = self._data.x.dtype
        lr = [self._scheduled(row) for row in self.rows]
        noise = {
            name: [
                Noise([row.streams[name][site] for row in self.rows if row.network.depth > site], dtype)
                for site in range(self._network.depth)
            ]
            for name in self._names
            if STRENGTHS[name].draws
        }
        order = Noise([row.order for row in self.rows], dtype).permutation(self._train_index.shape[1])
        index = self._train_index.gather(1, order)
        step = Step(self._network.parameters, self._leaves, torch.tensor(lr, dtype=dtype), noise, training=True)
        for batch in torch.split(index, self._train.batch_size, dim=1):
            self._step(step, batch, lr)
        values = self._evaluate()
        for i, row in enumerate(self.rows):
            row.epoch += 1
            self._judge(i, row, float(values[self._train.metric_key][i]))
        return values

    def _step(self, step: Step, batch: Tensor, lr: Sequence[float]) -> None:
        x, (y, weight) = self._data.inputs(batch), self._data.targets(batch)
        hidden = partial(self._hidden, step)
        logits = self._network.forward(self._leaves, self._buffers, x, hidden=hidden, training=step.training)
        # Summed, not averaged: a gradient must not depend on how many rows share the program.
        total = losses(self._data.task, logits, y, weight).sum()
        grads = torch.autograd.grad(total, list(self._leaves.values()))
        with torch.no_grad():
            torch._foreach_copy_(self._grads, list(grads))
            for name in self._names:
                STRENGTHS[name].before_step(self._strengths[name], step)
            self._adam.step(lr)
            for name in self._names:
                STRENGTHS[name].after_step(self._strengths[name], step)

    def _hidden(self, step: Step, h: Tensor, h_in: Tensor, site: int) -> Tensor:
        for name in self._names:
            h = STRENGTHS[name].hidden(self._strengths_at[site][name], step, h, h_in, site)
        return h

    def _scheduled(self, row: Row) -> float:
        """The learning rate of a row's coming epoch: constant, or cosine as torch's CosineAnnealingLR over all epochs."""
        lr = float(row.fit.trial.params["learning_rate"])
        if self._train.schedule == "cosine":
            lr *= (1 + math.cos(math.pi * row.epoch / self._train.epochs)) / 2
        return lr

    # ---- judging

    def _evaluate(self) -> dict[str, np.ndarray]:
        weights = {name: leaf.detach() for name, leaf in self._leaves.items()} | self._buffers
        train = self._measure(("loss",), self._network, weights, self._sample_index)
        valid = self._measure(self._watched, self._network, weights, self._valid_index)
        values = {"train_loss": train["loss"]} | {f"valid_{name}": value for name, value in valid.items()}
        return {name: value.double().numpy() for name, value in values.items()}

    def _measure(
        self, names: Sequence[str], network: Mlp, weights: Mapping[str, Tensor], index: Tensor
    ) -> dict[str, Tensor]:
        """Metrics of weights (fits, …) on the data rows `index` (fits, n), without noise; each (fits,)."""
        logits = network.predict_parts(weights, map(self._data.inputs, torch.split(index, BLOCK, dim=1)))
        y, weight = self._data.targets(index)
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
