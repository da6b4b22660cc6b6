"""A stack: fits that can share one batched tensor program, as its rows. They may differ in depth: a layer is computed for
the rows that have it, which come first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial

import numpy as np
import torch
from torch import Tensor

from hpo.dataset import Samples
from hpo.device import generators
from hpo.kernels import Stream, kernels
from hpo.layout import Layout
from hpo.linear import diverging
from hpo.metrics import METRICS, losses, measure, reported, watched
from hpo.network import Network
from hpo.noise import Noise
from hpo.optimizer import Memory
from hpo.regularizers import STRENGTHS
from hpo.regularizers.base import Regularizer, Step
from hpo.space import Train
from hpo.trial import Fit


@dataclass
class Row:
    """One fit in training: its network, its streams of random numbers, and how far it has come."""

    fit: Fit
    network: Network
    order: Stream
    streams: Mapping[str, Sequence[Stream]]  # by regularizer and hidden layer
    epoch: int = 0
    best_epoch: int = 0
    best: float = math.inf  # the followed metric times its sign: lower is better
    stopped: str = ""  # why it stopped by itself, or ""
    values: Mapping[str, float] = field(default_factory=dict)  # what is watched, after its last epoch

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"network": None}  # `Population.take` builds it anew: a user's network may not be picklable


@dataclass
class Tensors:
    """All that belongs to rows in tensors, fit axis first, so that rows enter and leave in one place."""

    values: Tensor  # (fit, size), parameters and buffers as the stack's layout has them
    exp_avg: Tensor
    exp_avg_sq: Tensor
    best: Tensor  # (fit, size), the values at the best epoch
    counts: Tensor  # (fit, 1), optimizer steps

    def join(self, other: Tensors) -> Tensors:
        """Both, one below the other."""
        return Tensors(*(torch.cat([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))

    def keep(self, rows: Sequence[int]) -> Tensors:
        """The given rows, in that order."""
        index = torch.tensor(rows, dtype=torch.long, device=self.values.device)
        return Tensors(*(getattr(self, f.name)[index] for f in fields(self)))

    def moved(self, old: Layout, new: Layout) -> Tensors:
        """The same from one layout to another."""
        values, exp_avg = old.moved(self.values, new), old.moved(self.exp_avg, new)
        return Tensors(values, exp_avg, old.moved(self.exp_avg_sq, new), old.moved(self.best, new), self.counts)


@dataclass(frozen=True)
class Learned:
    """What one fit has learned: its row, its best weights by name, and every reported metric by part (train, valid)."""

    row: Row
    weights: Mapping[str, Tensor]
    scores: Mapping[str, Mapping[str, float]]


def _layout(network: Network) -> Layout:
    return Layout((*network.parameters, *network.buffers))


class Stack:
    """The rows of networks that are alike but for their depth, with one set of named regularizers, and with as many rows of data
    to learn from and to choose their best epochs by."""

    def __init__(self, names: Sequence[str], data: Samples, train: Train) -> None:
        self.rows: list[Row] = []
        self._names = names
        self._acting = [name for name in names if type(STRENGTHS[name]).hidden is not Regularizer.hidden]
        self._data = data
        self._train = train
        self._kernels = kernels(data.x.device)
        self._metric = METRICS[train.metric]
        self._watched = watched(data.task, train.metric)
        self._layout = Layout(())  # of the deepest network there has been
        nothing = data.x.new_empty((0, 0))
        self._tensors = Tensors(nothing, nothing, nothing, nothing, data.x.new_empty((0, 1), dtype=torch.float32))

    # ---- rows enter and leave, between epochs only

    def admit(self, fits: Sequence[Fit], network: Network) -> list[Row]:
        """Gives the fits of one trial rows, freshly initialised."""
        layout = _layout(network)
        drawing, stream = [name for name in self._names if STRENGTHS[name].draws], self._kernels.stream
        rows = []
        for fit in fits:
            streams = {name: [stream(fit, f"{name}/{site}") for site in range(network.depth)] for name in drawing}
            rows.append(Row(fit, network, stream(fit, "order"), streams))
        fresh = torch.cat([layout.pack(network.init(fit.stream("init")), self._data.x.dtype) for fit in fits])
        fresh = fresh.to(self._data.x.device)
        zeros = torch.zeros_like(fresh)
        self.take(rows, Tensors(fresh, zeros, zeros, fresh, fresh.new_zeros((len(fits), 1), dtype=torch.float32)))
        return rows

    def take(self, entering: Sequence[Row], tensors: Tensors) -> None:
        """Lets in rows of one depth, new or from another stack, with what belongs to them as their own layout has it."""
        layout = _layout(entering[0].network)
        if layout.size > self._layout.size:
            self._tensors, self._layout = self._tensors.moved(self._layout, layout), layout
        rows, tensors = [*self.rows, *entering], tensors.moved(layout, self._layout)
        order = sorted(range(len(rows)), key=lambda i: -rows[i].network.depth)
        self._set([rows[i] for i in order], self._tensors.join(tensors).keep(order))

    def give(self, fits: Sequence[Fit]) -> tuple[list[Row], Tensors]:
        """Frees the rows of `fits`, all of one depth; returns them as they are, and what belongs to them as their own layout has
        it."""
        chosen = [i for i, row in enumerate(self.rows) if row.fit in fits]
        given = [self.rows[i] for i in chosen]
        tensors = self._tensors.keep(chosen).moved(self._layout, _layout(given[0].network))
        self.drop(fits)
        return given, tensors

    def drop(self, fits: Sequence[Fit]) -> None:
        """Frees the rows of `fits`."""
        staying = [i for i, row in enumerate(self.rows) if row.fit not in fits]
        self._set([self.rows[i] for i in staying], self._tensors.keep(staying))

    def learned(self, fits: Sequence[Fit]) -> list[Learned]:
        """What the rows of `fits`, all of one depth, have learned, in the order of the rows; on the CPU."""
        chosen = [i for i, row in enumerate(self.rows) if row.fit in fits]
        rows = [self.rows[i] for i in chosen]
        network = rows[0].network
        best = self._layout.moved(self._tensors.best[chosen], _layout(network))
        weights = _layout(network).views(best, [network.depth] * len(rows))
        names = reported(self._data.task, self._train.metric)
        indices = {part: torch.stack([getattr(row.fit, part) for row in rows]) for part in ("train", "valid")}
        indices = {part: index for part, index in indices.items() if index.shape[1]}
        measured = self._measure(network, weights, [(names, index) for index in indices.values()])
        scores = dict(zip(indices, measured, strict=True))
        found = []
        for i, row in enumerate(rows):
            own = {part: {name: float(value[i]) for name, value in said.items()} for part, said in scores.items()}
            mine = {name: tensor[i : i + 1] for name, tensor in weights.items()}
            found.append(Learned(row, {name: tensor[0].clone().cpu() for name, tensor in mine.items()}, own))
        return found

    def _set(self, rows: list[Row], tensors: Tensors) -> None:
        """Takes rows, the deepest first, and derives from them all that depends on which rows there are."""
        self.rows = rows
        self._tensors = t = tensors
        if not rows:
            return
        depths, layout = [row.network.depth for row in rows], self._layout
        self._network = network = rows[0].network
        buffers = {b.name for b in network.buffers}
        views, grads = layout.views(t.values, depths), torch.zeros_like(t.values)
        # `data` has a version counter of its own: autograd need not fear that a buffer's update has changed a weight.
        self._buffers = {name: view.data for name, view in views.items() if name in buffers}
        # Each view is a leaf of its own: autograd through slices of one buffer would zero-fill all of it per slice. A leaf's
        # gradient has its place in another buffer, where the optimizer finds it.
        self._leaves = {name: view.detach().requires_grad_() for name, view in views.items() if name not in buffers}
        places = layout.views(grads, depths)
        self._grads = [places[name] for name in self._leaves]
        for leaf, place in zip(self._leaves.values(), self._grads, strict=True):
            leaf.grad = place
        self._strengths = {
            n: t.values.new_tensor([row.fit.trial.params[n] for row in rows]) for n in self._names
        }
        self._having = [sum(depth > site for depth in depths) for site in range(max(depths))]
        self._strengths_at = [{name: s[:n] for name, s in self._strengths.items()} for n in self._having]
        self._set_optimizer(depths, grads)
        self._train_index = torch.stack([row.fit.train for row in rows])
        # Training loss is taken without noise, on as many training rows as there are validation rows; without any, on all.
        self._sample_index = torch.stack([row.fit.train[: len(row.fit.valid) or None] for row in rows])
        self._valid_index = torch.stack([row.fit.valid for row in rows])

    def _set_optimizer(self, depths: Sequence[int], grads: Tensor) -> None:
        t = self._tensors
        decays = [d for name in self._names if (d := STRENGTHS[name].decay(self._strengths[name])) is not None]
        decay = torch.stack(decays).sum(0) if decays else t.values.new_zeros(len(depths))
        pieces = [self._layout.trained(depth) for depth in depths]
        memory = Memory(t.values, grads, t.exp_avg, t.exp_avg_sq, t.counts, decay, pieces)
        self._weights, self._optimizer = self._kernels.weights(memory), self._kernels.optimizer(memory)

    # ---- training

    def train_epoch(self) -> None:
        """One epoch of every row; leaves with each what is watched, and moves best weights and patience on."""
        if self._network.batched:
            self._train_epoch()
            return
        row = self.rows[0]
        with torch.random.fork_rng(devices=generators(self._data.x.device)):  # it may draw from torch itself, so torch gets the fit's own seed
            torch.manual_seed(int(row.fit.stream(f"torch/{row.epoch}").integers(2**63)))
            self._train_epoch()

    def _train_epoch(self) -> None:
        self._learn()
        values = {name: value.tolist() for name, value in self._evaluate().items()}
        for i, row in enumerate(self.rows):
            row.epoch += 1
            row.values = {name: value[i] for name, value in values.items()}
        self._judge()

    def _learn(self) -> None:
        """The steps of an epoch. On a GPU they are only told: nothing here waits for a result."""
        lr = [self._scheduled(row) for row in self.rows]
        noise = {
            name: [self._noise([row.streams[name][site] for row in self.rows[:having]]) for site, having in enumerate(self._having)]
            for name in self._names
            if STRENGTHS[name].draws
        }
        order = self._noise([row.order for row in self.rows]).permutation(self._train_index.shape[1])
        index = self._train_index.gather(1, order)
        step = Step(self._leaves, self._weights, self._tensors.values.new_tensor(lr), noise, training=True)
        self._optimizer.set_lr(lr)
        with diverging():
            for batch in torch.split(index, self._train.batch_size, dim=1):
                self._step(step, batch)

    def _noise(self, streams: Sequence[Stream]) -> Noise:
        """Of the first rows, as many as there are streams."""
        epochs = [row.epoch for row in self.rows[: len(streams)]]
        return self._kernels.noise(streams, epochs, self._data.x.dtype, self._data.x.device)

    def _step(self, step: Step, batch: Tensor) -> None:
        x, (y, weight) = self._data.inputs(batch), self._data.targets(batch)
        hidden = partial(self._hidden, step)
        logits = self._network.forward(self._leaves, self._buffers, x, hidden=hidden, training=step.training)
        # Summed, not averaged: a gradient must not depend on how many rows share the program.
        total = losses(self._data.task, logits, y, weight).sum()
        leaves = list(self._leaves.values())
        grads = torch.autograd.grad(total, leaves)
        with torch.no_grad():
            for place, grad in zip(self._grads, grads, strict=True):
                if grad is not place:  # not every operation writes its gradient there
                    place.copy_(grad)
            self._optimizer.step()
            for name in self._names:
                STRENGTHS[name].after_step(self._strengths[name], step)

    def _hidden(self, step: Step, h: Tensor, h_in: Tensor, site: int) -> Tensor:
        for name in self._acting:
            h = STRENGTHS[name].hidden(self._strengths_at[site][name], step, h, h_in, site)
        return h

    def _scheduled(self, row: Row) -> float:
        """The learning rate of a row's coming epoch: constant, or cosine as torch's CosineAnnealingLR over all epochs."""
        lr = float(row.fit.trial.params["learning_rate"])
        if self._train.schedule == "cosine":
            lr *= (1 + math.cos(math.pi * min(1, row.epoch / self._train.epochs))) / 2
        return lr

    # ---- judging

    def _evaluate(self) -> dict[str, np.ndarray]:
        scores = self._scores()
        values = torch.stack([value.double() for value in scores.values()]).cpu().numpy()  # all of them in one transfer
        return dict(zip(scores, values, strict=True))

    def _scores(self) -> dict[str, Tensor]:
        """What is watched, each (fit,), where it was computed."""
        weights = {name: leaf.detach() for name, leaf in self._leaves.items()} | self._buffers
        wanted = [(("loss",), self._sample_index), (self._watched, self._valid_index)]
        train, *valid = self._measure(self._network, weights, wanted if self._valid_index.shape[1] else wanted[:1])
        return {"train_loss": train["loss"]} | {f"valid_{name}": value for said in valid for name, value in said.items()}

    def _measure(
        self, network: Network, weights: Mapping[str, Tensor], wanted: Sequence[tuple[Sequence[str], Tensor]]
    ) -> list[dict[str, Tensor]]:
        """Metrics of weights (fits, …), without noise: for each `(names, index)`, those names on the data rows `index`
        (fits, n); each (fits,)."""
        parts = [index for _, index in wanted]
        blocks = torch.split(torch.cat(parts, dim=1), self._kernels.block, dim=1)  # together there are fewer of them
        logits = network.predict_parts(weights, map(self._data.inputs, blocks))
        found = []
        for (names, index), said in zip(wanted, torch.split(logits, [p.shape[1] for p in parts], dim=1), strict=True):
            y, weight = self._data.targets(index)
            found.append(measure(names, self._data.task, said, y, weight, self._data.target_scale))
        return found

    def _judge(self) -> None:
        """Keeps each row's weights of the best epoch so far (of the last, where nothing tells which that is), and stops it at its
        last epoch or when patience ends."""
        better = []
        for i, row in enumerate(self.rows):
            if row.stopped:
                continue
            value = row.values.get(self._train.metric_key, math.nan) * self._metric.sign
            if value < row.best or not len(row.fit.valid):
                row.best, row.best_epoch = value, row.epoch
                better.append(i)
            epochs = row.fit.trial.epochs or self._train.epochs
            if row.epoch >= epochs:
                row.stopped = f"trained all {epochs} epochs"
            elif row.epoch - row.best_epoch >= self._train.patience:
                row.stopped = f"no improvement for {self._train.patience} epochs"
        if better:
            torch._foreach_copy_([self._tensors.best[i] for i in better], [self._tensors.values[i] for i in better])
