"""The batched program of a stack: the training steps of an epoch for all rows at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from hpo.core.metrics import losses
from hpo.core.samples import Samples, epoch_rows
from hpo.nn.adamw import OptimizerState
from hpo.nn.backends import Backend
from hpo.nn.device import rng_devices
from hpo.nn.layout import Layout
from hpo.nn.linear import ignore_overflow
from hpo.nn.network import Outputs
from hpo.nn.rng import Noise, ReplayableNoise
from hpo.regularizers import STRENGTHS, overrides
from hpo.regularizers.base import Batch, ForwardOutput, Regularizer, Step
from hpo.training.state import FitState, Tensors

NETWORK = "network"  # the user of the streams from which the network itself draws
TARGET = "target"  # the user of the stream that shuffles the rows of the target domain
_HOOKS = ("batch", "hidden", "loss", "perturb", "gradient", "after_step", "after_epoch")


class Program:
    """Trains rows, sorted by depth with the deepest first, in one program.

    A new program is made whenever rows enter or leave. `names` are the regularizers that may act on the rows.
    """

    def __init__(
        self,
        rows: Sequence[FitState],
        tensors: Tensors,
        layout: Layout,
        names: Sequence[str],
        data: Samples,
        backend: Backend,
    ) -> None:
        self.rows, self._tensors, self._layout, self.data, self._backend = rows, tensors, layout, data, backend
        self.network = rows[0].network
        self._depths = [row.network.depth for row in rows]
        self._network_size = layout.network_size  # any flat values beyond it are extra parameters of regularizers
        self._regularizers = {name: STRENGTHS[name] for name in names if _acts(STRENGTHS[name], rows)}
        self._hooks = {
            hook: [name for name, member in self._regularizers.items() if overrides(member, hook)] for hook in _HOOKS
        }
        self._strengths = {
            name: tensors.values.new_tensor([row.fit.trial.params.strengths[name] for row in rows])
            for name in self._regularizers
        }
        rows_per_layer = [sum(depth > layer for depth in self._depths) for layer in range(max(self._depths))]
        self._layer_strengths = [{name: s[:n] for name, s in self._strengths.items()} for n in rows_per_layer]
        members = self._regularizers.values()
        self._soft_targets = data.task == "classification" and any(member.soft_targets for member in members)
        self._uses_target = any(member.uses_target_batch for member in members)
        self._train_index = torch.stack([row.fit.fold.train for row in rows])
        self._n_rows = epoch_rows(self._train_index.shape[1])
        self._target_index = torch.stack([row.fit.fold.target for row in rows])
        needs_previous = any(member.needs_previous_weights for member in members)
        self._previous_params = torch.empty_like(tensors.values[:, : self._network_size]) if needs_previous else None
        self._make_leaves()
        self._make_optimizer()

    def _make_leaves(self) -> None:
        """Make the views of the flat values for autograd to differentiate, and the views of the flat gradients."""
        buffers = {b.name for b in self.network.buffers}
        views = self._layout.views(self._tensors.values, self._depths)
        self.flat_grads = torch.zeros_like(self._tensors.values)
        # `view.data` has its own version counter, so that autograd does not mistake the update of a buffer for the
        # update of a weight.
        self._buffers = {name: view.data for name, view in views.items() if name in buffers}
        # Each view is its own leaf: autograd through slices of one tensor would fill all of it with zeros for each
        # slice. The gradients are views of another flat tensor, on which the optimizer works.
        self._leaves = {name: view.detach().requires_grad_() for name, view in views.items() if name not in buffers}
        grads = self._layout.views(self.flat_grads, self._depths)
        self._grads = {name: grads[name] for name in self._leaves}
        for name, leaf in self._leaves.items():
            leaf.grad = self._grads[name]

    def _make_optimizer(self) -> None:
        t = self._tensors
        decays = [
            decay
            for name, member in self._regularizers.items()
            if (decay := member.decay(self._strengths[name])) is not None
        ]
        decay = torch.stack(decays).sum(0) if decays else t.values.new_zeros(len(self.rows))
        segments = [self._layout.trained_segments(depth) for depth in self._depths]
        state = OptimizerState(t.values, self.flat_grads, t.exp_avg, t.exp_avg_sq, t.counts, decay, segments)
        self._weights, self.optimizer = self._backend.weights(state), self._backend.optimizer(state)

    def views(self, values: Tensor) -> dict[str, Tensor]:
        """Split flat `values` (fit, size) by parameter name: (fit, *shape) for the rows that have the parameter."""
        return self._layout.views(values, self._depths)

    # ---- an epoch

    def train_epoch(self, batch_size: int) -> Tensor:
        """Run the steps of an epoch; return the weights to be scored, (fit, size).

        On a GPU the steps are only queued: nothing here waits for a result.
        """
        batches = torch.split(self._epoch_index(), batch_size, dim=1)
        targets = torch.split(self._target_order(), batch_size, dim=1) if self._uses_target else [None] * len(batches)
        lr = [row.lr for row in self.rows]
        self.optimizer.set_lr(lr)
        step = self._first_step(lr, len(batches))
        with ignore_overflow():
            for number, (index, target) in enumerate(zip(batches, targets, strict=True)):
                self.train_step(replace(step, minibatch=number), index, target)
        values = step.flat_params
        with torch.no_grad():
            for name in self._hooks["after_epoch"]:
                values = self._regularizers[name].after_epoch(self._strengths[name], step, values)
        return values

    def _epoch_index(self) -> Tensor:
        """Return the training rows of an epoch in random order, (fit, rows): all, or the next part of a pass."""
        n_train = self._train_index.shape[1]
        if n_train == self._n_rows:
            return self._train_index.gather(1, self._noise([row.order for row in self.rows]).permutation(n_train))
        return torch.stack([self._next_part(row) for row in self.rows])

    def _next_part(self, row: FitState) -> Tensor:
        """Take the next rows of the shuffled training rows of a fit, (rows,), which are shuffled again at their end."""
        train = row.fit.fold.train
        unseen = train[:0] if row.unseen is None else row.unseen
        if len(unseen) < self._n_rows:
            noise = self._backend.noise([row.order], [row.passes], self.data.x.dtype, self.data.x.device)
            unseen = torch.cat([unseen, train[noise.permutation(len(train))[0]]])
            row.passes += 1
        row.unseen = unseen[self._n_rows :]
        return unseen[: self._n_rows]

    def _target_order(self) -> Tensor:
        """Shuffle the rows of the target domain, repeated or cut to the number of rows of an epoch: (fit, rows)."""
        streams = [row.streams[TARGET][0] for row in self.rows]
        order = self._noise(streams).permutation(self._target_index.shape[1])
        times = -(-self._n_rows // order.shape[1])
        return self._target_index.gather(1, order).repeat(1, times)[:, : self._n_rows]

    def _first_step(self, lr: Sequence[float], minibatches: int) -> Step:
        values = self._tensors.values[:, : self._network_size]
        infos = {p.name: p for p in self.network.parameter_infos if p.name in self._leaves}
        epoch, epochs = values.new_tensor([row.next_epoch for row in self.rows]).T
        copies = self._tensors.weight_copies
        return Step(
            params={name: self._leaves[name] for name in infos},
            grads={name: self._grads[name] for name in infos},
            infos=infos,
            weights=self._weights,
            extra={name: leaf for name, leaf in self._leaves.items() if name not in infos},
            flat_params=values,
            previous_params=self._previous_params,
            views=self.views,
            layers=values.new_tensor([row.network.hidden_layers for row in self.rows]),
            buffers=self._layout.buffers,
            flat_grads=self.flat_grads[:, : self._network_size],
            weight_copies={name: copy[:, : self._network_size] for name, copy in copies.items()},
            lr=values.new_tensor(lr),
            epoch=epoch,
            epochs=epochs,
            minibatch=0,
            minibatches=minibatches,
            data=self.data,
            noise=self._epoch_noise(),
            training=True,
        )

    def _epoch_noise(self) -> dict[str, dict[int | str, Noise]]:
        """Return the noise of an epoch by user and hook point, for those first rows that have the hook point."""
        noise: dict[str, dict[int | str, Noise]] = {}
        for name, points in self.rows[0].streams.items():
            for point in points if name in self._regularizers or name == NETWORK else ():
                streams = [row.streams[name][point] for row in self.rows if point in row.streams[name]]
                point_noise = self._noise(streams)
                noise.setdefault(name, {})[point] = (
                    ReplayableNoise(point_noise) if self._hooks["perturb"] else point_noise
                )
        return noise

    def _noise(self, streams: Sequence[object]) -> Noise:
        """Return the noise of the first rows, as many as there are streams."""
        epochs = [row.epoch for row in self.rows[: len(streams)]]
        return self._backend.noise(streams, epochs, self.data.x.dtype, self.data.x.device)

    # ---- a step

    def train_step(self, step: Step, index: Tensor, target: Tensor | None) -> None:
        """Train on the training rows `index` (fit, batch), and on as many rows of the target domain, `target`."""
        batch = self._batch(step, index, target)
        if self._hooks["perturb"]:
            self.compute_perturbed_gradients(step, batch)
        else:
            self.compute_gradients(step, batch, self._buffers)
        with torch.no_grad():
            for name in self._hooks["gradient"]:
                self._regularizers[name].gradient(self._strengths[name], step)
            if self._previous_params is not None:
                self._previous_params.copy_(step.flat_params)
            self.optimizer.step()
            for name in self._hooks["after_step"]:
                self._regularizers[name].after_step(self._strengths[name], step)

    def _batch(self, step: Step, index: Tensor, target: Tensor | None) -> Batch:
        data = self.data
        y, weight = data.targets(index)
        if self._soft_targets:
            y = torch.nn.functional.one_hot(y, data.n_outputs).to(data.x.dtype)
        target_x, target_offset = (None, None) if target is None else (data.inputs(target), data.offsets(target))
        batch = Batch(data.inputs(index), y, weight, data.offsets(index), index, target_x, target_offset)
        with torch.no_grad():
            for name in self._hooks["batch"]:
                batch = self._regularizers[name].batch(self._strengths[name], step, batch)
        return batch

    def compute_perturbed_gradients(self, step: Step, batch: Batch) -> None:
        """Compute the gradient at weights or inputs perturbed by regularizers; the weights are restored afterwards.

        Both passes see the same noise; buffers are updated by the first pass only.
        """
        noise = [n for points in step.noise.values() for n in points.values() if isinstance(n, ReplayableNoise)]
        for replayable in noise:
            replayable.clear()
        with self._restored_generator():
            slope = self.compute_gradients(step, batch, self._buffers, to_inputs=True)
        values = step.flat_params.clone()
        with torch.no_grad():
            for name in self._hooks["perturb"]:
                batch = self._regularizers[name].perturb(self._strengths[name], step, batch, slope)
        for replayable in noise:
            replayable.rewind()
        self.compute_gradients(step, batch, {name: buffer.clone() for name, buffer in self._buffers.items()})
        step.flat_params.copy_(values)
        for replayable in noise:  # later hooks must draw new numbers
            replayable.clear()

    def _restored_generator(self) -> AbstractContextManager[None]:
        """Restore torch's generator on exit, so that a module that uses it draws the same numbers again."""
        return nullcontext() if self.network.batched else torch.random.fork_rng(devices=rng_devices(self.data.x.device))

    def compute_gradients(
        self, step: Step, batch: Batch, buffers: Mapping[str, Tensor], to_inputs: bool = False
    ) -> Tensor:
        """Write the gradient of the loss into `grads`; if `to_inputs`, return that with respect to the inputs."""
        x = batch.x.detach().requires_grad_() if to_inputs else batch.x
        loss = self._losses(step, batch, x, buffers).sum()  # no mean: gradients must not depend on the number of rows
        leaves = list(self._leaves.values())
        # Inputs that the network uses as category numbers have no gradient; it is materialized as zeros.
        grads = torch.autograd.grad(loss, [*leaves, x] if to_inputs else leaves, materialize_grads=to_inputs)
        with torch.no_grad():
            for view, grad in zip(self._grads.values(), grads, strict=False):
                if grad is not view:  # not every operation writes its gradient into the view
                    view.copy_(grad)
        return grads[-1]

    def _losses(self, step: Step, batch: Batch, x: Tensor, buffers: Mapping[str, Tensor]) -> Tensor:
        """Run the forward pass on the inputs `x` and return the loss of each row, (fit,)."""
        inputs, labelled = x, None
        if batch.target is not None:  # both domains in one pass
            inputs, labelled = torch.cat([x, batch.target], dim=1), x.shape[1]
        outputs = self.network.forward(
            self._leaves,
            buffers,
            inputs,
            hidden=partial(self._hidden, step),
            noise=step.noise.get(NETWORK, {}).__getitem__,
            training=step.training,
            labelled=labelled,
        )
        forward = _forward_output(outputs, batch)
        total = losses(self.data.task, forward.logits, batch.y, batch.weight)
        for name in self._hooks["loss"]:
            penalty = self._regularizers[name].loss(self._strengths[name], step, forward)
            total = total if penalty is None else total + penalty
        return total

    def _hidden(self, step: Step, h: Tensor, h_in: Tensor, site: int) -> Tensor:
        for name in self._hooks["hidden"]:
            h = self._regularizers[name].hidden(self._layer_strengths[site][name], step, h, h_in, site)
        return h


def _forward_output(outputs: Outputs, batch: Batch) -> ForwardOutput:
    """Split the outputs into those of labelled rows and those of the target domain, and add their offsets."""
    logits, features = outputs
    target_logits, target_features = None, None
    if batch.target is not None:  # without a target nothing is split, because the gradient of a split makes a copy
        parts = [batch.x.shape[1], batch.target.shape[1]]
        logits, target_logits = torch.split(logits, parts, dim=1)
        features, target_features = (None, None) if features is None else torch.split(features, parts, dim=1)
        target_logits = target_logits if batch.target_offset is None else target_logits + batch.target_offset
    logits = logits if batch.offset is None else logits + batch.offset
    return ForwardOutput(batch, logits, features, target_logits, target_features)


def _acts(member: Regularizer, rows: Sequence[FitState]) -> bool:
    """Return whether a regularizer must run for these rows.

    A regularizer that is off in all rows changes nothing and only costs time, unless it passes rows of the target
    domain through the network or has extra parameters, which need gradients.
    """
    active = not all(member.is_off(row.fit.trial.params.strengths[member.name]) for row in rows)
    return active or member.uses_target_batch or overrides(member, "extra_parameters")
