"""The batched program of a stack's rows: the steps of an epoch, for all of them at once. Made anew when rows enter or leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from hpo.core.metrics import losses
from hpo.core.samples import Samples
from hpo.nn.adamw import OptimizerState
from hpo.nn.backends import Backend
from hpo.nn.device import generators
from hpo.nn.layout import Layout
from hpo.nn.linear import diverging
from hpo.nn.network import Outputs
from hpo.nn.rng import Noise, ReplayableNoise
from hpo.regularizers import STRENGTHS, overrides
from hpo.regularizers.base import Batch, ForwardOutput, Regularizer, Step
from hpo.training.state import FitState, Tensors

NETWORK = "network"  # who draws, where a network itself does
TARGET = "target"  # what is drawn for the order of the rows of another domain
_HOOKS = ("batch", "hidden", "loss", "perturb", "gradient", "after_step", "after_epoch")


class Program:
    """Rows, the deepest first, that are computed together; `names` are the regularizers that may act on them."""

    def __init__(
        self,
        rows: Sequence[FitState],
        tensors: Tensors,
        layout: Layout,
        names: Sequence[str],
        data: Samples,
        way: Backend,
    ) -> None:
        self._rows, self._tensors, self._layout, self._data, self._kernels = rows, tensors, layout, data, way
        self.network = network = rows[0].network
        self._depths = [row.network.depth for row in rows]
        buffers = {b.name for b in network.buffers}
        self._own = layout.network  # from here on, what a row has is not the network's
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
        self._members = {name: STRENGTHS[name] for name in names if _needed(STRENGTHS[name], rows)}
        self._acting = {
            hook: [name for name, member in self._members.items() if overrides(member, hook)] for hook in _HOOKS
        }
        self._strengths = {
            n: tensors.values.new_tensor([row.fit.trial.params[n] for row in rows]) for n in self._members
        }
        having = [sum(depth > site for depth in self._depths) for site in range(max(self._depths))]
        self._strengths_at = [{name: s[:n] for name, s in self._strengths.items()} for n in having]
        self._mixes = data.task == "classification" and any(member.soft_targets for member in self._members.values())
        self._optimize()
        self._train_index = torch.stack([row.fit.fold.train for row in rows])
        self._adapts = any(member.uses_target_batch for member in self._members.values())
        self._target_index = torch.stack([row.fit.fold.target for row in rows])
        recalls = any(member.needs_previous_weights for member in self._members.values())
        self._before = torch.empty_like(tensors.values[:, : self._own]) if recalls else None

    def _optimize(self) -> None:
        t = self._tensors
        decays = [d for name, member in self._members.items() if (d := member.decay(self._strengths[name])) is not None]
        decay = torch.stack(decays).sum(0) if decays else t.values.new_zeros(len(self._rows))
        pieces = [self._layout.trained(depth) for depth in self._depths]
        memory = OptimizerState(t.values, self._slopes, t.exp_avg, t.exp_avg_sq, t.counts, decay, pieces)
        self._weights, self._optimizer = self._kernels.weights(memory), self._kernels.optimizer(memory)

    def views(self, values: Tensor) -> dict[str, Tensor]:
        """The network's `values` (fit, size) by name, each (fit, *shape) for the rows that have it."""
        return self._layout.views(values, self._depths)

    # ---- an epoch

    def learn(self, batch_size: int) -> Tensor:
        """The steps of an epoch; returns the network's values (fit, size) to be scored. On a GPU the steps are only told: nothing here
        waits for a result."""
        order = self._noise([row.order for row in self._rows]).permutation(self._train_index.shape[1])
        minibatches = torch.split(self._train_index.gather(1, order), batch_size, dim=1)
        beside = torch.split(self._target_order(), batch_size, dim=1) if self._adapts else [None] * len(minibatches)
        lr = [row.lr for row in self._rows]
        self._optimizer.set_lr(lr)
        step = self._opening(lr, len(minibatches))
        with diverging():
            for number, (index, target) in enumerate(zip(minibatches, beside, strict=True)):
                self._step(replace(step, minibatch=number), index, target)
        values = step.flat_params
        with torch.no_grad():
            for name in self._acting["after_epoch"]:
                values = self._members[name].after_epoch(self._strengths[name], step, values)
        return values

    def _target_order(self) -> Tensor:
        """As many rows of the other domain as there are labelled ones, (fit, n_train): each once before any comes again."""
        streams = [row.streams[TARGET][0] for row in self._rows]
        order = self._noise(streams).permutation(self._target_index.shape[1])
        times = -(-self._train_index.shape[1] // order.shape[1])
        return self._target_index.gather(1, order).repeat(1, times)[:, : self._train_index.shape[1]]

    def _opening(self, lr: Sequence[float], minibatches: int) -> Step:
        """The epoch's first step."""
        values = self._tensors.values[:, : self._own]
        facts = {p.name: p for p in self.network.parameter_infos if p.name in self._leaves}
        epoch, epochs = values.new_tensor([row.next_epoch for row in self._rows]).T
        return Step(
            params={name: self._leaves[name] for name in facts},
            grads={name: self._grads[name] for name in facts},
            infos=facts,
            weights=self._weights,
            extra={name: leaf for name, leaf in self._leaves.items() if name not in facts},
            flat_params=values,
            previous_params=self._before,
            views=self.views,
            layers=values.new_tensor([row.network.hidden_layers for row in self._rows]),
            buffers=self._layout.buffers,
            flat_grads=self._slopes[:, : self._own],
            weight_copies={name: kept[:, : self._own] for name, kept in self._tensors.kept.items()},
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
            for place in places if name in self._members or name == NETWORK else ():
                streams = [row.streams[name][place] for row in self._rows if place in row.streams[name]]
                noise = self._noise(streams)
                found.setdefault(name, {})[place] = ReplayableNoise(noise) if self._acting["perturb"] else noise
        return found

    def _noise(self, streams: Sequence[object]) -> Noise:
        """Of the first rows, as many as there are streams."""
        epochs = [row.epoch for row in self._rows[: len(streams)]]
        return self._kernels.noise(streams, epochs, self._data.x.dtype, self._data.x.device)

    # ---- a step

    def _step(self, step: Step, index: Tensor, target: Tensor | None) -> None:
        batch = self._batch(step, index, target)
        if ascending := self._acting["perturb"]:
            self._ascend(step, batch, ascending)
        else:
            self._differentiate(step, batch, self._buffers)
        with torch.no_grad():
            for name in self._acting["gradient"]:
                self._members[name].gradient(self._strengths[name], step)
            if self._before is not None:
                self._before.copy_(step.flat_params)
            self._optimizer.step()
            for name in self._acting["after_step"]:
                self._members[name].after_step(self._strengths[name], step)

    def _batch(self, step: Step, index: Tensor, target: Tensor | None) -> Batch:
        y, weight = self._data.targets(index)
        if self._mixes:
            y = torch.nn.functional.one_hot(y, self._data.n_outputs).to(self._data.x.dtype)
        beside, base = (None, None) if target is None else (self._data.inputs(target), self._data.offsets(target))
        batch = Batch(self._data.inputs(index), y, weight, self._data.offsets(index), index, beside, base)
        with torch.no_grad():
            for name in self._acting["batch"]:
                batch = self._members[name].batch(self._strengths[name], step, batch)
        return batch

    def _ascend(self, step: Step, batch: Batch, names: Sequence[str]) -> None:
        """The gradient at the place to which members go. Buffers learn from the first pass alone."""
        noise = [one for places in step.noise.values() for one in places.values() if isinstance(one, ReplayableNoise)]
        for one in noise:
            one.forget()
        with self._own_draws():
            slope = self._differentiate(step, batch, self._buffers, to_inputs=True)
        values = step.flat_params.clone()
        with torch.no_grad():
            for name in names:
                batch = self._members[name].perturb(self._strengths[name], step, batch, slope)
        for one in noise:
            one.rewind()
        self._differentiate(step, batch, {name: b.clone() for name, b in self._buffers.items()})
        step.flat_params.copy_(values)
        for one in noise:  # what was drawn on the way is not for those who draw next
            one.forget()

    def _own_draws(self) -> AbstractContextManager[None]:
        """Within it, a module that draws from torch itself leaves torch's generator as it was, so that it draws the same again."""
        return nullcontext() if self.network.batched else torch.random.fork_rng(devices=generators(self._data.x.device))

    def _differentiate(
        self, step: Step, batch: Batch, buffers: Mapping[str, Tensor], to_inputs: bool = False
    ) -> Tensor:
        """Leaves the gradient of the loss in its place; returns that by the inputs, if it is wanted."""
        x = batch.x.detach().requires_grad_() if to_inputs else batch.x
        draws = step.noise.get(NETWORK, {})
        hidden = partial(self._hidden, step)
        every, labelled = (
            (x, None) if batch.target is None else (torch.cat([x, batch.target], dim=1), x.shape[1])
        )  # in one pass
        outputs = self.network.forward(
            self._leaves,
            buffers,
            every,
            hidden=hidden,
            noise=draws.__getitem__,
            training=step.training,
            labelled=labelled,
        )
        seen = _seen(outputs, batch)
        each = losses(self._data.task, seen.logits, batch.y, batch.weight)
        for name in self._acting["loss"]:
            more = self._members[name].loss(self._strengths[name], step, seen)
            each = each if more is None else each + more
        total = each.sum()  # not averaged: a gradient must not depend on how many rows share the program
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


def _seen(outputs: Outputs, batch: Batch) -> ForwardOutput:
    """What a network says of labelled rows, and of those of another domain behind them."""
    logits, features = outputs
    beside, beside_features = None, None
    if batch.target is not None:  # else nothing is cut, since the gradient of a cut is a copy
        parts = [batch.x.shape[1], batch.target.shape[1]]
        logits, beside = torch.split(logits, parts, dim=1)
        features, beside_features = (None, None) if features is None else torch.split(features, parts, dim=1)
        beside = beside if batch.target_offset is None else beside + batch.target_offset
    return ForwardOutput(
        batch, logits if batch.offset is None else logits + batch.offset, features, beside, beside_features
    )


def _needed(member: Regularizer, rows: Sequence[FitState]) -> bool:
    """Whether a member must be there: one that is off in all rows changes no bit, but costs its time. Not so one that lets other rows
    pass through the network, or trains tensors of its own, which need their gradients."""
    acts = any(row.fit.trial.params[member.name] != member.default_value for row in rows)
    return acts or member.uses_target_batch or overrides(member, "extra_parameters")
