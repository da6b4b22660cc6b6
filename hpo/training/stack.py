"""A stack: fits that can share one batched tensor program, as its rows. They may differ in depth: a layer is computed for
the rows that have it, which come first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hpo.core.metrics import METRICS, reported_metrics, tracked_metrics
from hpo.core.samples import Samples
from hpo.core.trial import Fit
from hpo.nn.backends import Stream, backend_for
from hpo.nn.device import generators
from hpo.nn.layout import Layout
from hpo.nn.network import BatchedNetwork
from hpo.nn.parameter import Parameter
from hpo.regularizers import STRENGTHS
from hpo.space.settings import TrainConfig
from hpo.training import evaluation
from hpo.training.program import NETWORK, TARGET, Program
from hpo.training.state import FitResult, FitState, Tensors


def _layout(network: BatchedNetwork, own: Sequence[Parameter] = ()) -> Layout:
    return Layout((*network.parameters, *network.buffers, *own))


class Stack:
    """The rows of networks that are alike but for their depth, with one set of named regularizers and one size of minibatches, and
    with as many rows of data to learn from and to choose their best epochs by."""

    def __init__(self, names: Sequence[str], data: Samples, train: TrainConfig) -> None:
        self.rows: list[FitState] = []
        self._names = names
        self._keeping = [name for name in names if STRENGTHS[name].needs_weight_copy]
        self._data = data
        self._batch_size, self._metric = train.batch_size, METRICS[train.metric]
        self._kernels = backend_for(data.x.device)
        self._watched = tracked_metrics(data.task, train.metric)
        self._reported = reported_metrics(data.task, train.metric)
        self._layout = Layout(())  # of the deepest network there has been
        self._tensors = Tensors.fresh(data.x.new_empty((0, 0)), self._keeping)

    # ---- rows enter and leave, between epochs only

    def admit(self, fits: Sequence[Fit], network: BatchedNetwork, train: TrainConfig) -> list[FitState]:
        """Gives the fits of one trial rows, which begin as the network does."""
        own = self._own(network)
        layout = _layout(network, own)
        rows = [
            FitState(fit, network, train, self._kernels.stream(fit, "order"), self._streams(fit, network))
            for fit in fits
        ]
        begun = [network.initial_state(fit.stream("init")) | {p.name: _begun(p, fit) for p in own} for fit in fits]
        fresh = torch.cat([layout.pack(tensors, self._data.x.dtype) for tensors in begun])
        self.attach(rows, Tensors.fresh(fresh.to(self._data.x.device), self._keeping))
        return rows

    def _own(self, network: BatchedNetwork) -> list[Parameter]:
        """What the regularizers train besides a network."""
        return [p for name in self._names for p in STRENGTHS[name].extra_parameters(network.width or 0, self._data)]

    def _streams(self, fit: Fit, network: BatchedNetwork) -> dict[str, dict[int | str, Stream]]:
        """All that a fit draws from, but for the order of its rows."""
        layers: list[int | str] = list(range(network.depth))
        places: dict[str, list[int | str]] = {
            "layer": layers,
            "parameter": [p.name for p in network.parameters],
            "step": [0],
        }
        drawing = {name: places[draws] for name in self._names if (draws := STRENGTHS[name].needs_rng)}
        drawing |= {NETWORK: layers} if network.needs_rng else {}
        drawing |= {TARGET: [0]} if any(STRENGTHS[name].uses_target_batch for name in self._names) else {}
        return {
            name: {place: self._kernels.stream(fit, f"{name}/{place}") for place in own}
            for name, own in drawing.items()
        }

    def attach(self, entering: Sequence[FitState], tensors: Tensors) -> None:
        """Lets in rows of one depth, new or from another stack, with what belongs to them as their own layout has it."""
        layout = _layout(entering[0].network, self._own(entering[0].network))
        if layout.size > self._layout.size:
            self._tensors, self._layout = self._tensors.moved(self._layout, layout), layout
        rows, tensors = [*self.rows, *entering], tensors.moved(layout, self._layout)
        order = sorted(range(len(rows)), key=lambda i: -rows[i].network.depth)
        self._set([rows[i] for i in order], self._tensors.join(tensors).keep(order))

    def detach(self, fits: Sequence[Fit]) -> tuple[list[FitState], Tensors]:
        """Frees the rows of `fits`, all of one depth; returns them as they are, and what belongs to them as their own layout has
        it."""
        chosen = [i for i, row in enumerate(self.rows) if row.fit in fits]
        given = [self.rows[i] for i in chosen]
        network = given[0].network
        tensors = self._tensors.keep(chosen).moved(self._layout, _layout(network, self._own(network)))
        self.drop(fits)
        return given, tensors

    def drop(self, fits: Sequence[Fit]) -> None:
        """Frees the rows of `fits`."""
        staying = [i for i, row in enumerate(self.rows) if row.fit not in fits]
        self._set([self.rows[i] for i in staying], self._tensors.keep(staying))

    def results(self, fits: Sequence[Fit]) -> list[FitResult]:
        """What the rows of `fits`, all of one depth, have learned, in the order of the rows; on the CPU."""
        chosen = [i for i, row in enumerate(self.rows) if row.fit in fits]
        rows = [self.rows[i] for i in chosen]
        network = rows[0].network
        best = self._layout.moved(self._tensors.best[chosen], _layout(network))
        weights = _layout(network).views(best, [network.depth] * len(rows))
        parts = evaluation.rows([row.fit.fold for row in rows])
        wanted = {
            "train": self._reported,
            "valid": (*self._reported, *evaluation.available_validators(self._data, network, rows[0].fit.fold)),
        }
        scores = evaluation.measure(
            self._data, network, weights, parts, {part: names for part, names in wanted.items() if parts[part].shape[1]}
        )
        found = []
        for i, row in enumerate(rows):
            own = {part: {name: float(value[i]) for name, value in said.items()} for part, said in scores.items()}
            mine = {name: tensor[i : i + 1] for name, tensor in weights.items()}
            found.append(FitResult(row, {name: tensor[0].clone().cpu() for name, tensor in mine.items()}, own))
        return found

    def _set(self, rows: list[FitState], tensors: Tensors) -> None:
        """Takes rows, the deepest first, and derives from them all that depends on which rows there are."""
        self.rows = rows
        self._tensors = tensors
        if not rows:
            return
        self._program = Program(rows, tensors, self._layout, self._names, self._data, self._kernels)
        self._parts = evaluation.rows([row.fit.fold for row in rows])
        # Training loss is taken without noise, on as many training rows as there are validation rows; without any, on all.
        self._parts["train"] = self._parts["train"][:, : self._parts["valid"].shape[1] or None]

    # ---- training

    def train_epoch(self) -> None:
        """One epoch of every row; leaves with each what is watched, and moves best weights and patience on."""
        if self._program.network.batched:
            self._train_epoch()
            return
        row = self.rows[0]
        with torch.random.fork_rng(
            devices=generators(self._data.x.device)
        ):  # it may draw from torch itself, so torch gets the fit's own seed
            torch.manual_seed(int(row.fit.stream(f"torch/{row.epoch}").integers(2**63)))
            self._train_epoch()

    def _train_epoch(self) -> None:
        scored = self._program.learn(self._batch_size)
        values = {name: value.tolist() for name, value in self._evaluate(scored).items()}
        for i, row in enumerate(self.rows):
            row.epoch += 1
            row.values = {name: value[i] for name, value in values.items()}
        self._judge(scored)

    # ---- judging

    def _evaluate(self, values: Tensor) -> dict[str, np.ndarray]:
        scores = self._scores(values)
        found = torch.stack([value.double() for value in scores.values()]).cpu().numpy()  # all of them in one transfer
        return dict(zip(scores, found, strict=True))

    def _scores(self, values: Tensor) -> dict[str, Tensor]:
        """What is watched of `values` (fit, size), each (fit,), where it was computed."""
        weights = self._program.views(values)
        wanted = {"train": ("loss",)} | ({"valid": self._watched} if self._parts["valid"].shape[1] else {})
        found = evaluation.measure(self._data, self._program.network, weights, self._parts, wanted)
        return {f"{part}_{name}": value for part, said in found.items() for name, value in said.items()}

    def _judge(self, values: Tensor) -> None:
        """Keeps each row's weights of the best epoch so far (of the last, where nothing tells which that is), and stops it at its
        last epoch or when patience ends."""
        key, sign = f"valid_{self._metric.name}", self._metric.sign
        going = [(i, row) for i, row in enumerate(self.rows) if not row.stopped]
        better = [i for i, row in going if row.update_early_stopping(row.values.get(key, math.nan) * sign)]
        if better:
            best = self._tensors.best[:, : self._layout.network]
            torch._foreach_copy_([best[i] for i in better], [values[i] for i in better])


def _begun(parameter: Parameter, fit: Fit) -> Tensor:
    """How what a regularizer trains begins."""
    if len(parameter.shape) < 2:
        return torch.zeros(parameter.shape)
    bound = 1 / math.sqrt(parameter.shape[0])
    return torch.from_numpy(fit.stream(f"{parameter.name}/init").uniform(-bound, bound, parameter.shape))
