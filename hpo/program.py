"""The batched program of a stack's rows: the steps of an epoch, for all of them at once. Made anew when rows enter or leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from hpo.dataset import Samples
from hpo.device import generators
from hpo.kernels import Kernels
from hpo.layout import Layout
from hpo.linear import diverging
from hpo.metrics import losses
from hpo.noise import Noise
from hpo.optimizer import Memory
from hpo.regularizers import STRENGTHS
from hpo.regularizers.base import Batch, Regularizer, Step
from hpo.replay import Replay
from hpo.row import Row, Tensors

NETWORK = "network"  # who draws, where a network itself does
_HOOKS = ("batch", "hidden", "ascend", "gradient", "after_step", "after_epoch")


class Program:
    """Rows, the deepest first, that are computed together; `names` are the regularizers that act on them."""

    def __init__(
        self, rows: Sequence[Row], tensors: Tensors, layout: Layout, names: Sequence[str], data: Samples, way: Kernels
    ) -> None:
        self._rows, self._tensors, self._layout, self._data, self._kernels = rows, tensors, layout, data, way
        self.network = network = rows[0].network
        self._depths = [row.network.depth for row in rows]
        buffers = {b.name for b in network.buffers}
        views, self._slopes = layout.views(tensors.values, self._depths), torch.zeros_like(tensors.values)
        # `data` has a version counter of its own: autograd need not fear that a buffer's update has changed a weight.
        self._buffers = {name: view.data for name, view in views.items() if name in buffers}
        # Each view is a leaf of its own: autograd through slices of one buffer would zero-fill all of it per slice. A leaf's
        # gradient has its place in another buffer, where the optimizer finds it.
        self._leaves = {name: view.detach().requires_grad_() for name, view in views.items() if name not in buffers}
        places = layout.views(self._slopes, self._depths)
        self._grads = {name: places[name] for name in self._leaves}
        for name, leaf in self._leaves.items():
            leaf.grad = self._grads[name]
        self._members = {name: STRENGTHS[name] for name in names}
        self._acting = {hook: [name for name, member in self._members.items() if _overrides(member, hook)] for hook in _HOOKS}
        self._strengths = {n: tensors.values.new_tensor([row.fit.trial.params[n] for row in rows]) for n in names}
        having = [sum(depth > site for depth in self._depths) for site in range(max(self._depths))]
        self._strengths_at = [{name: s[:n] for name, s in self._strengths.items()} for n in having]
        self._mixes = data.task == "classification" and any(member.mixes for member in self._members.values())
        self._optimize(names)
        self._train_index = torch.stack([row.fit.train for row in rows])

    def _optimize(self, names: Sequence[str]) -> None:
        t = self._tensors
        decays = [d for name in names if (d := self._members[name].decay(self._strengths[name])) is not None]
        decay = torch.stack(decays).sum(0) if decays else t.values.new_zeros(len(self._rows))
        pieces = [self._layout.trained(depth) for depth in self._depths]
        memory = Memory(t.values, self._slopes, t.exp_avg, t.exp_avg_sq, t.counts, decay, pieces)
        self._weights, self._optimizer = self._kernels.weights(memory), self._kernels.optimizer(memory)

    def views(self, values: Tensor) -> dict[str, Tensor]:
        """`values` (fit, size) by name, each (fit, *shape) for the rows that have it."""
        return self._layout.views(values, self._depths)

    # ---- an epoch

    def learn(self, batch_size: int) -> Tensor:
        """The steps of an epoch; returns the values (fit, size) to be scored. On a GPU the steps are only told: nothing here waits
        for a result."""
        order = self._noise([row.order for row in self._rows]).permutation(self._train_index.shape[1])
        minibatches = torch.split(self._train_index.gather(1, order), batch_size, dim=1)
        lr = [row.lr for row in self._rows]
        self._optimizer.set_lr(lr)
        step = self._opening(lr, len(minibatches))
        with diverging():
            for number, index in enumerate(minibatches):
                self._step(replace(step, minibatch=number), index)
        values = self._tensors.values
        with torch.no_grad():
            for name in self._acting["after_epoch"]:
                values = self._members[name].after_epoch(self._strengths[name], step, values)
        return values

    def _opening(self, lr: Sequence[float], minibatches: int) -> Step:
        """The epoch's first step."""
        values = self._tensors.values
        parameters = {p.name: p for p in self.network.parameters}
        epoch, epochs = values.new_tensor([row.coming for row in self._rows]).T
        return Step(
            params=self._leaves,
            grads=self._grads,
            facts={name: parameters[name] for name in self._leaves},
            weights=self._weights,
            values=values,
            still=self._layout.still,
            slopes=self._slopes,
            kept=self._tensors.kept,
            lr=values.new_tensor(lr),
            epoch=epoch,
            epochs=epochs,
            minibatch=0,
            minibatches=minibatches,
            data=self._data,
            noise=self._draws(),
            training=True,
        )

    def _draws(self) -> dict[str, dict[int | str, Noise]]:
        """The noise of an epoch, by who draws and by what for: of the rows that have that, which come first."""
        found: dict[str, dict[int | str, Noise]] = {}
        for name, places in self._rows[0].streams.items():
            for place in places:
                streams = [row.streams[name][place] for row in self._rows if place in row.streams[name]]
                noise = self._noise(streams)
                found.setdefault(name, {})[place] = Replay(noise) if self._acting["ascend"] else noise
        return found

    def _noise(self, streams: Sequence[object]) -> Noise:
        """Of the first rows, as many as there are streams."""
        epochs = [row.epoch for row in self._rows[: len(streams)]]
        return self._kernels.noise(streams, epochs, self._data.x.dtype, self._data.x.device)

    # ---- a step

    def _step(self, step: Step, index: Tensor) -> None:
        batch = self._batch(step, index)
        if ascending := self._acting["ascend"]:
            self._ascend(step, batch, ascending)
        else:
            self._differentiate(step, batch, self._buffers)
        with torch.no_grad():
            for name in self._acting["gradient"]:
                self._members[name].gradient(self._strengths[name], step)
            self._optimizer.step()
            for name in self._acting["after_step"]:
                self._members[name].after_step(self._strengths[name], step)

    def _batch(self, step: Step, index: Tensor) -> Batch:
        y, weight = self._data.targets(index)
        if self._mixes:
            y = torch.nn.functional.one_hot(y, self._data.n_outputs).to(self._data.x.dtype)
        batch = Batch(self._data.inputs(index), y, weight, self._data.bases(index), index)
        with torch.no_grad():
            for name in self._acting["batch"]:
                batch = self._members[name].batch(self._strengths[name], step, batch)
        return batch

    def _ascend(self, step: Step, batch: Batch, names: Sequence[str]) -> None:
        """The gradient at the place to which members go. Buffers learn from the first pass alone."""
        noise = [one for places in step.noise.values() for one in places.values() if isinstance(one, Replay)]
        for one in noise:
            one.forget()
        with self._own_draws():
            slope = self._differentiate(step, batch, self._buffers, to_inputs=True)
        values = step.values.clone()
        with torch.no_grad():
            for name in names:
                batch = self._members[name].ascend(self._strengths[name], step, batch, slope)
        for one in noise:
            one.rewind()
        self._differentiate(step, batch, {name: b.clone() for name, b in self._buffers.items()})
        step.values.copy_(values)
        for one in noise:  # what was drawn on the way is not for those who draw next
            one.forget()

    def _own_draws(self) -> AbstractContextManager[None]:
        """Within it, a module that draws from torch itself leaves torch's generator as it was, so that it draws the same again."""
        return nullcontext() if self.network.batched else torch.random.fork_rng(devices=generators(self._data.x.device))

    def _differentiate(self, step: Step, batch: Batch, buffers: Mapping[str, Tensor], to_inputs: bool = False) -> Tensor:
        """Leaves the gradient of the loss in its place; returns that by the inputs, if it is wanted."""
        x = batch.x.detach().requires_grad_() if to_inputs else batch.x
        draws = step.noise.get(NETWORK, {})
        hidden = partial(self._hidden, step)
        logits = self.network.forward(self._leaves, buffers, x, hidden=hidden, noise=draws.__getitem__, training=step.training)
        logits = logits if batch.base is None else logits + batch.base
        # Summed, not averaged: a gradient must not depend on how many rows share the program.
        total = losses(self._data.task, logits, batch.y, batch.weight).sum()
        leaves = list(self._leaves.values())
        # Zeros by inputs that a network takes for numbers of categories, which have no slope.
        grads = torch.autograd.grad(total, [*leaves, x] if to_inputs else leaves, materialize_grads=to_inputs)
        with torch.no_grad():
            for place, grad in zip(self._grads.values(), grads, strict=False):
                if grad is not place:  # not every operation writes its gradient there
                    place.copy_(grad)
        return grads[-1]

    def _hidden(self, step: Step, h: Tensor, h_in: Tensor, site: int) -> Tensor:
        for name in self._acting["hidden"]:
            h = self._members[name].hidden(self._strengths_at[site][name], step, h, h_in, site)
        return h


def _overrides(member: Regularizer, hook: str) -> bool:
    return getattr(type(member), hook) is not getattr(Regularizer, hook)
