"""A stack: fits that share one batched tensor program, as its rows.

Rows may differ in depth. They are sorted by depth, the deepest first, so that the rows with a given layer come first,
and the layer is computed for these rows only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hpo.core.metrics import METRICS, reported_metrics, tracked_metrics
from hpo.core.samples import Samples
from hpo.core.trial import Fit
from hpo.nn.backends import Stream, backend_for
from hpo.nn.device import rng_devices
from hpo.nn.layout import Layout
from hpo.nn.network import BatchedNetwork
from hpo.nn.parameter import Parameter
from hpo.regularizers import STRENGTHS
from hpo.space.settings import TrainConfig
from hpo.training import evaluation
from hpo.training.evaluation import Evaluation
from hpo.training.program import NETWORK, TARGET, Program
from hpo.training.state import FitResult, FitState, Tensors


def _layout(network: BatchedNetwork, extra: Sequence[Parameter] = ()) -> Layout:
    return Layout((*network.parameters, *network.buffers, *extra))


class Stack:
    """Rows whose networks have the same architecture except for the depth.

    All rows have the same batch size, the same regularizers `names` (each row with its own strengths), and the same
    numbers of training and validation rows.
    """

    def __init__(self, names: Sequence[str], data: Samples, train: TrainConfig) -> None:
        self.rows: list[FitState] = []
        self._names = names
        self._copying = [name for name in names if STRENGTHS[name].needs_weight_copy]
        self._data = data
        self._batch_size, self._metric = train.minibatch, METRICS[train.metric]
        self._backend = backend_for(data.x.device)
        self._tracked = tracked_metrics(data.task, train.metric)
        self._reported = reported_metrics(data.task, train.metric)
        self._layout = Layout(())  # of the deepest network so far
        self.tensors = Tensors.initial(data.x.new_empty((0, 0)), self._copying)

    # ---- adding and removing rows, between epochs only

    def admit(self, fits: Sequence[Fit], network: BatchedNetwork, train: TrainConfig) -> list[FitState]:
        """Add rows for the fits of one trial, initialized by the network, and return them."""
        extra = self._extra_parameters(network)
        layout = _layout(network, extra)
        rows = [
            FitState(fit, network, train, self._backend.stream(fit, "order"), self._streams(fit, network))
            for fit in fits
        ]
        states = [
            network.initial_state(fit.stream("init")) | {p.name: initial_value(p, fit) for p in extra} for fit in fits
        ]
        values = torch.cat([layout.pack(state, self._data.x.dtype) for state in states])
        self.attach(rows, Tensors.initial(values.to(self._data.x.device), self._copying))
        return rows

    def _extra_parameters(self, network: BatchedNetwork) -> list[Parameter]:
        """Return the parameters that regularizers train in addition to those of the network."""
        return [p for name in self._names for p in STRENGTHS[name].extra_parameters(network.width or 0, self._data)]

    def _streams(self, fit: Fit, network: BatchedNetwork) -> dict[str, dict[int | str, Stream]]:
        """Return the random streams of a fit by user and hook point, except the stream for the order of data rows."""
        layers: list[int | str] = list(range(network.depth))
        hook_points: dict[str, list[int | str]] = {
            "layer": layers,
            "parameter": [p.name for p in network.parameters],
            "step": [0],
        }
        users = {name: hook_points[kind] for name in self._names if (kind := STRENGTHS[name].needs_rng)}
        users |= {NETWORK: layers} if network.needs_rng else {}
        users |= {TARGET: [0]} if any(STRENGTHS[name].uses_target_batch for name in self._names) else {}
        return {
            name: {point: self._backend.stream(fit, f"{name}/{point}") for point in points}
            for name, points in users.items()
        }

    def attach(self, entering: Sequence[FitState], tensors: Tensors) -> None:
        """Add rows of one depth, new or from another stack, with tensors in the layout of their network."""
        layout = _layout(entering[0].network, self._extra_parameters(entering[0].network))
        if layout.size > self._layout.size:
            self.tensors, self._layout = self.tensors.to_layout(self._layout, layout), layout
        rows, tensors = [*self.rows, *entering], tensors.to_layout(layout, self._layout)
        order = sorted(range(len(rows)), key=lambda i: -rows[i].network.depth)
        self.set_rows([rows[i] for i in order], self.tensors.join(tensors).take(order))

    def detach(self, fits: Sequence[Fit]) -> tuple[list[FitState], Tensors]:
        """Free the rows of `fits`, all of one depth; return them, and their tensors in the layout of their network."""
        index = [i for i, row in enumerate(self.rows) if row.fit in fits]
        rows = [self.rows[i] for i in index]
        network = rows[0].network
        layout = _layout(network, self._extra_parameters(network))
        tensors = self.tensors.take(index).to_layout(self._layout, layout)
        self.drop(fits)
        return rows, tensors

    def drop(self, fits: Sequence[Fit]) -> None:
        """Free the rows of `fits`."""
        staying = [i for i, row in enumerate(self.rows) if row.fit not in fits]
        self.set_rows([self.rows[i] for i in staying], self.tensors.take(staying))

    def results(self, fits: Sequence[Fit]) -> list[FitResult]:
        """Return the results of `fits`, all of one depth, in the order of the rows; the weights are on the CPU."""
        index = [i for i, row in enumerate(self.rows) if row.fit in fits]
        rows = [self.rows[i] for i in index]
        network = rows[0].network
        best = self._layout.convert(self.tensors.best[index], _layout(network))
        weights = _layout(network).views(best, [network.depth] * len(rows))
        parts = evaluation.rows_by_part([row.fit.fold for row in rows])
        validators = evaluation.available_validators(self._data, network, rows[0].fit.fold)
        names = {"train": self._reported, "valid": (*self._reported, *validators)}
        names = {part: part_names for part, part_names in names.items() if parts[part].shape[1]}
        scores = evaluation.evaluate(self._data, network, weights, parts, names).scores
        return [
            FitResult(
                row,
                {name: tensor[i].clone().cpu() for name, tensor in weights.items()},
                {part: {name: float(v[i]) for name, v in values.items()} for part, values in scores.items()},
            )
            for i, row in enumerate(rows)
        ]

    def set_rows(self, rows: list[FitState], tensors: Tensors) -> None:
        """Set the rows, deepest first, and derive everything that depends on them."""
        self.rows = rows
        self.tensors = tensors
        if not rows:
            return
        self.program = Program(rows, tensors, self._layout, self._names, self._data, self._backend)
        self._parts = evaluation.rows_by_part([row.fit.fold for row in rows])
        # The training loss is computed without noise, on as many rows as the validation loss, or on all training rows
        # if there are no validation rows.
        self._parts["train"] = self._parts["train"][:, : self._parts["valid"].shape[1] or None]

    # ---- training

    def train_epoch(self) -> None:
        """Train every row for one epoch; update its tracked metrics, its best weights and its early stopping."""
        if self.program.network.batched:
            self._train_epoch()
            return
        row = self.rows[0]
        # A module that is not batched may draw from torch's generator, which is therefore seeded by fit and epoch.
        with torch.random.fork_rng(devices=rng_devices(self._data.x.device)):
            torch.manual_seed(int(row.fit.stream(f"torch/{row.epoch}").integers(2**63)))
            self._train_epoch()

    def _train_epoch(self) -> None:
        weights = self.program.train_epoch(self._batch_size)
        evaluated = self.evaluate(weights)
        scores = tracked_scores(evaluated)
        arrays = torch.stack([value.double() for value in scores.values()]).cpu().numpy()  # in a single transfer
        metrics = {name: array.tolist() for name, array in zip(scores, arrays, strict=True)}
        for i, row in enumerate(self.rows):
            row.epoch += 1
            row.values = {name: value[i] for name, value in metrics.items()}
            if row.fit.trial.keep_valid_logits and not row.stopped:
                row.valid_logits.append(evaluated.logits["valid"][i].float().cpu().clone())
        self._update_best(weights)

    def evaluate(self, values: Tensor) -> Evaluation:
        """Compute the tracked metrics of the weights `values` (fit, size) on the device, without waiting for them."""
        weights = self.program.views(values)
        names = {"train": ("loss",)} | ({"valid": self._tracked} if self._parts["valid"].shape[1] else {})
        return evaluation.evaluate(self._data, self.program.network, weights, self._parts, names)

    def _update_best(self, values: Tensor) -> None:
        """Update early stopping; keep the weights `values` (fit, size) of rows whose epoch is the best so far."""
        key, minimized = f"valid_{self._metric.name}", self._metric.minimized
        running = [(i, row) for i, row in enumerate(self.rows) if not row.stopped]
        better = [i for i, row in running if row.update_early_stopping(minimized(row.values.get(key, math.nan)))]
        if better:
            best = self.tensors.best[:, : self._layout.network_size]
            torch._foreach_copy_([best[i] for i in better], [values[i] for i in better])


def tracked_scores(evaluated: Evaluation) -> dict[str, Tensor]:
    """Return the metrics of an evaluation under the names of the curves: `train_loss`, `valid_loss`, …."""
    return {f"{part}_{name}": value for part, metrics in evaluated.scores.items() for name, value in metrics.items()}


def initial_value(parameter: Parameter, fit: Fit) -> Tensor:
    """Return the initial value of a regularizer's parameter: uniform as in torch.nn.Linear, or zeros for a vector."""
    if len(parameter.shape) < 2:
        return torch.zeros(parameter.shape)
    bound = 1 / math.sqrt(parameter.shape[0])
    return torch.from_numpy(fit.stream(f"{parameter.name}/init").uniform(-bound, bound, parameter.shape))
