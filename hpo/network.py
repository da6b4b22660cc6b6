"""Stacked networks: pure functions on `{name: (fit, …)}`, so that every fit of a stack runs in the same operations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpo.regularizers.base import Parameter

Tensors = Mapping[str, Tensor]
Hidden = Callable[[Tensor, Tensor, int], Tensor]

# name → (function, the torch.nn class that a plain torch user writes)
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "relu": (torch.relu, "ReLU"),
    "gelu": (torch.nn.functional.gelu, "GELU"),
    "silu": (torch.nn.functional.silu, "SiLU"),
    "tanh": (torch.tanh, "Tanh"),
    "elu": (torch.nn.functional.elu, "ELU"),
}
_MOMENTUM, _EPS = 0.1, 1e-5  # torch.nn.BatchNorm1d's
BLOCK = 128  # rows of data that a prediction takes at a time: the activations of 16 fits stay in the cache


class Network(ABC):
    """What a stack asks of a network: one architecture, as functions of tensors that have the fit axis first.

    `depth` is at how many sites a regularizer acts on what is hidden. Networks whose `alike` is equal share a stack, rows
    in order of depth; a network that is not `batched` can be computed for one row only and has a stack for itself.
    """

    depth: int
    batched: bool = True

    @property
    @abstractmethod
    def alike(self) -> object: ...

    @property
    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]: ...

    @property
    @abstractmethod
    def buffers(self) -> tuple[Parameter, ...]:
        """What is not trained, but scored, kept and exported, such as the running statistics of batch normalisation."""

    @abstractmethod
    def init(self, stream: np.random.Generator) -> dict[str, Tensor]:
        """One fit's fresh parameters and buffers by name, without the fit axis."""

    @abstractmethod
    def forward(self, params: Tensors, buffers: Tensors, x: Tensor, *, hidden: Hidden, training: bool) -> Tensor:
        """x (fit, batch, n_inputs) → logits (fit, batch, n_outputs); `hidden(h, h_in, site)` at each site, while training.

        Training may update `buffers`, in place.
        """

    @abstractmethod
    def state_dict(self, tensors: Tensors) -> dict[str, Tensor]:
        """One fit's tensors (no fit axis) under the names and in the layout of the same network in plain torch."""

    @abstractmethod
    def description(self, dropout: float) -> object:
        """The same network for `hpo predict`, as JSON."""

    @abstractmethod
    def code(self, dropout: float) -> list[str]:
        """Lines of Python that make the same network in plain torch, as `net`."""

    def check(self, smallest: int) -> None:  # noqa: B027 -- what is ours works
        """Raises InputError if it cannot be built, or not be trained with `smallest` rows in a minibatch."""

    def notes(self, dropout: bool) -> list[str]:
        """What somebody who searches it should know; `dropout` is whether that is named in the space."""
        del dropout
        return []

    def predict(self, tensors: Tensors, x: Tensor) -> Tensor:
        """Logits without noise, (fit, rows, n_outputs), for x (fit, rows, n_inputs) and parameters and buffers in one."""
        return self.predict_parts(tensors, torch.split(x, BLOCK, dim=1))

    def predict_parts(self, tensors: Tensors, parts: Iterable[Tensor]) -> Tensor:
        """The same for an x that comes in parts, so that it need never be whole."""
        with torch.no_grad():
            still = [self.forward(tensors, tensors, x, hidden=lambda h, *_: h, training=False) for x in parts]
            return torch.cat([part.transpose(1, 2) for part in still], dim=2).transpose(1, 2)


@dataclass(frozen=True)
class Mlp(Network):
    """`depth` hidden layers of `width` units: Linear, BatchNorm1d if asked for, activation; then a Linear to the outputs.

    Hidden weights are (fit, in, out), torch's own transposed, so that a layer is one `baddbmm`. The output layer's are
    (fit, out, in): ten columns are slow to multiply, ten rows are not, and classes come out before rows, as the loss wants
    them. Biases are (fit, out).
    """

    n_inputs: int
    n_outputs: int
    depth: int
    width: int
    activation: str = "relu"
    batch_norm: bool = False

    @property
    def alike(self) -> object:
        return replace(self, depth=1)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The output layer comes second, so that a shallower network's tensors are the first of a deeper one's."""
        found = []
        for i in range(self.depth):
            fan_in = self.n_inputs if i == 0 else self.width
            found += _linear_parameters(str(i), (fan_in, self.width), self.width, i + 1)
            if self.batch_norm:
                found.append(Parameter(f"{i}.norm.weight", (self.width,), i + 1, "norm"))
                found.append(Parameter(f"{i}.norm.bias", (self.width,), i + 1, "norm"))
            if i == 0:
                found += _linear_parameters("out", (self.n_outputs, self.width), self.n_outputs, 1)
        return tuple(found)

    @cached_property
    def buffers(self) -> tuple[Parameter, ...]:
        """The running statistics of batch normalisation: not trained, but scored, kept and exported."""
        if not self.batch_norm:
            return ()
        names = ("running_mean", "running_var")
        return tuple(Parameter(f"{i}.norm.{n}", (self.width,), i + 1, "norm") for i in range(self.depth) for n in names)

    def init(self, stream: np.random.Generator) -> dict[str, Tensor]:
        """One fit's fresh tensors by name, without the fit axis, distributed as `torch.nn.Linear` draws them:
        uniform in ±1/√fan_in."""
        tensors = {}
        for p in self.parameters:
            if p.role == "norm":
                tensors[p.name] = torch.ones(p.shape) if p.name.endswith("weight") else torch.zeros(p.shape)
            else:
                bound = 1 / math.sqrt(self.n_inputs if p.name.startswith("0.") else self.width)
                tensors[p.name] = torch.from_numpy(stream.uniform(-bound, bound, p.shape))
        for b in self.buffers:
            tensors[b.name] = torch.ones(b.shape) if b.name.endswith("var") else torch.zeros(b.shape)
        return tensors

    def forward(self, params: Tensors, buffers: Tensors, x: Tensor, *, hidden: Hidden, training: bool) -> Tensor:
        """x (fit, batch, n_inputs) → logits (fit, batch, n_outputs); `hidden(h, h_in, site)` after each hidden layer.

        Fits may be shallower than `depth`: those that have a layer are the first rows, and its tensors are theirs alone.
        With batch normalisation, training updates `buffers` in place.
        """
        function = ACTIVATIONS[self.activation][0]
        h, done = x, []  # `done` holds what came out of the last layer of the shallower fits
        for i in range(self.depth):
            having = len(params[f"{i}.weight"])
            if having < len(h):
                h, shallow = torch.split(h, [having, len(h) - having])
                done.append(shallow)
            z = torch.baddbmm(params[f"{i}.bias"].unsqueeze(1), h, params[f"{i}.weight"])
            if self.batch_norm:
                z = _batch_norm(params, buffers, i, z, training)
            h = hidden(function(z), h, i)
        if done:
            h = torch.cat([h, *reversed(done)])
        out: Tensor = _Output.apply(h, params["out.weight"], params["out.bias"])  # type: ignore[no-untyped-call]
        return out.transpose(1, 2)

    def description(self, dropout: float) -> object:
        return self.layers(dropout)

    def code(self, dropout: float) -> list[str]:
        layers = ", ".join(f"{name}({', '.join(map(str, arguments))})" for name, *arguments in self.layers(dropout))
        return [f"net = torch.nn.Sequential({layers})"]

    def layers(self, dropout: float) -> list[list[object]]:
        """The same network as arguments of a plain `torch.nn.Sequential`: `[class name, *arguments]` a layer."""
        layers: list[list[object]] = []
        for i in range(self.depth):
            layers.append(["Linear", self.n_inputs if i == 0 else self.width, self.width])
            if self.batch_norm:
                layers.append(["BatchNorm1d", self.width])
            layers.append([ACTIVATIONS[self.activation][1]])
            layers.append(["Dropout", dropout])
        return [*layers, ["Linear", self.width, self.n_outputs]]

    def state_dict(self, tensors: Tensors) -> dict[str, Tensor]:
        """One fit's tensors (no fit axis) under the names and in the layout of that `torch.nn.Sequential`."""
        per_block = 4 if self.batch_norm else 3
        state = {}
        for p in (*self.parameters, *self.buffers):
            layer = self.depth if p.name.startswith("out.") else p.depth - 1
            position = layer * per_block + (".norm." in p.name)
            value, transposed = tensors[p.name], p.role == "weight" and p.name != "out.weight"
            state[f"{position}.{p.name.rpartition('.')[2]}"] = (value.T if transposed else value).contiguous()
        return state


class _Output(torch.autograd.Function):
    """The output layer: h (fit, batch, in), weight (fit, out, in), bias (fit, out) → (fit, out, batch).

    Its gradients are written out because autograd's would reach the layers before it transposed, and a transposed gradient
    is summed in an order that depends on the number of fits.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(h, weight)
        return torch.baddbmm(bias.unsqueeze(2), weight, h.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, weight = ctx.saved_tensors
        return torch.bmm(grad.transpose(1, 2), weight), torch.bmm(grad, h), grad.sum(2)


def _linear_parameters(layer: str, shape: tuple[int, int], outputs: int, depth: int) -> list[Parameter]:
    return [Parameter(f"{layer}.weight", shape, depth, "weight"), Parameter(f"{layer}.bias", (outputs,), depth, "bias")]


def _batch_norm(params: Tensors, buffers: Tensors, i: int, z: Tensor, training: bool) -> Tensor:
    """Ioffe & Szegedy, ICML 2015, as `torch.nn.BatchNorm1d` does it; z is (fit, batch, features)."""
    running_mean, running_var = buffers[f"{i}.norm.running_mean"], buffers[f"{i}.norm.running_var"]
    if training:
        mean = z.mean(1)
        var = z.var(1, correction=0)
        n = z.shape[1]
        with torch.no_grad():
            running_mean.lerp_(mean, _MOMENTUM)
            running_var.lerp_(var * (n / max(n - 1, 1)), _MOMENTUM)
    else:
        mean, var = running_mean, running_var
    scale = params[f"{i}.norm.weight"] * torch.rsqrt(var + _EPS)
    return (z - mean.unsqueeze(1)) * scale.unsqueeze(1) + params[f"{i}.norm.bias"].unsqueeze(1)


@dataclass(frozen=True)
class Layout:
    """Where each named tensor lies in a row of a flat buffer (fit, size)."""

    entries: tuple[Parameter, ...]

    @cached_property
    def _lengths(self) -> list[int]:
        return [math.prod(p.shape) for p in self.entries]

    @cached_property
    def size(self) -> int:
        return sum(self._lengths)

    def views(self, flat: Tensor, depths: Sequence[int]) -> dict[str, Tensor]:
        """The first `size` columns of `flat` (fit, …) as `{name: (fit, *shape)}` on the same memory; a layer's tensors have the rows that are deep
        enough, of the `depths` that the fits have in falling order."""
        parts = torch.split(flat[:, : self.size], self._lengths, dim=1) if self.entries else ()
        having = [sum(depth >= p.depth for depth in depths) for p in self.entries]
        return {p.name: part[:n].view(n, *p.shape) for p, n, part in zip(self.entries, having, parts, strict=True)}

    def pack(self, tensors: Tensors, dtype: torch.dtype) -> Tensor:
        """One fit's tensors as one flat row (1, size)."""
        row = torch.zeros((1, self.size), dtype=dtype)
        for name, view in self.views(row, [max((p.depth for p in self.entries), default=0)]).items():
            view[0] = tensors[name]
        return row
