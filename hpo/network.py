"""Stacked networks: pure functions on `{name: (fit, …)}`, so that every fit of a stack runs in the same operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpo.linear import Linear, Output, diverging
from hpo.regularizers.base import Parameter

Tensors = Mapping[str, Tensor]
Hidden = Callable[[Tensor, Tensor, int], Tensor]

# name → (function, the torch.nn class that a plain torch user writes)
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "relu": (torch.relu_, "ReLU"),
    "gelu": (torch.nn.functional.gelu, "GELU"),
    "silu": (torch.nn.functional.silu, "SiLU"),
    "tanh": (torch.tanh, "Tanh"),
    "elu": (torch.nn.functional.elu, "ELU"),
}
_MOMENTUM, _EPS = 0.1, 1e-5  # torch.nn.BatchNorm1d's
_DEEPEST = 10**9
BLOCK = 128  # rows of data that a prediction takes at a time: the activations of 16 fits stay in the cache


@dataclass(frozen=True)
class Mlp:
    """`depth` hidden layers of `width` units: Linear, BatchNorm1d if asked for, activation; then a Linear to the outputs.

    Hidden weights are (fit, in, out), torch's own transposed; the output layer's are (fit, out, in). Biases are (fit, out).
    """

    n_inputs: int
    n_outputs: int
    depth: int
    width: int
    activation: str = "relu"
    batch_norm: bool = False

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        found = []
        for i in range(self.depth):
            fan_in = self.n_inputs if i == 0 else self.width
            found += _linear_parameters(str(i), (fan_in, self.width), self.width, i + 1)
            if self.batch_norm:
                found.append(Parameter(f"{i}.norm.weight", (self.width,), i + 1, "norm"))
                found.append(Parameter(f"{i}.norm.bias", (self.width,), i + 1, "norm"))
        found += _linear_parameters("out", (self.n_outputs, self.width), self.n_outputs, 1)
        return tuple(found)

    @cached_property
    def buffers(self) -> tuple[Parameter, ...]:
        """The running statistics of batch normalisation: not trained, but scored, kept and exported."""
        if not self.batch_norm:
            return ()
        names = ("running_mean", "running_var")
        return tuple(Parameter(f"{i}.norm.{n}", (self.width,), i + 1, "buffer") for i in range(self.depth) for n in names)

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
            z: Tensor = Linear.apply(h, params[f"{i}.weight"], params[f"{i}.bias"])  # type: ignore[no-untyped-call]
            if self.batch_norm:
                z = _batch_norm(params, buffers, i, z, training)
            h = hidden(function(z), h, i)
        if done:
            h = torch.cat([h, *reversed(done)])
        out: Tensor = Output.apply(h, params["out.weight"], params["out.bias"])  # type: ignore[no-untyped-call]
        return out.transpose(1, 2)

    def predict(self, tensors: Tensors, x: Tensor) -> Tensor:
        """Logits without noise, (fit, rows, n_outputs), for x (fit, rows, n_inputs) and parameters and buffers in one."""
        return self.predict_parts(tensors, torch.split(x, BLOCK, dim=1))

    def predict_parts(self, tensors: Tensors, parts: Iterable[Tensor]) -> Tensor:
        """The same for an x that comes in parts, so that it need never be whole."""
        with torch.no_grad(), diverging():
            still = [self.forward(tensors, tensors, x, hidden=lambda h, *_: h, training=False) for x in parts]
            return torch.cat([part.transpose(1, 2) for part in still], dim=2).transpose(1, 2)

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


class Layout:
    """Where each named tensor lies in a row of a flat buffer (fit, size): the weights first, then what else is trained, then
    buffers, each in order of depth, so that what a shallower network has of them lies at their beginning."""

    def __init__(self, entries: Sequence[Parameter]) -> None:
        self._entries = sorted(entries, key=lambda p: (_part(p), p.depth))
        self._lengths = [math.prod(p.shape) for p in self._entries]
        self.size = sum(self._lengths)

    def views(self, flat: Tensor, depths: Sequence[int]) -> dict[str, Tensor]:
        """`flat` (fit, size) as `{name: (fit, *shape)}` on the same memory, for fits of these depths in falling order; a layer's
        tensors have the rows that are deep enough, and are left out where there is none."""
        found = {}
        for p, part in zip(self._entries, torch.split(flat, self._lengths, dim=1), strict=True):
            if having := sum(depth >= p.depth for depth in depths):
                found[p.name] = part[:having].view(having, *p.shape)
        return found

    def trained(self, row: Tensor, depth: int) -> tuple[Tensor, Tensor]:
        """What a network of this depth trains in its `row` (size,): its weights, and all else."""
        starts, sizes = [0, 0], [0, 0]
        for p, length in zip(self._entries, self._lengths, strict=True):
            if (part := _part(p)) < 2:
                starts[1] += length * (part == 0)
                sizes[part] += length * (p.depth <= depth)
        weights, rest = (row[start : start + size] for start, size in zip(starts, sizes, strict=True))
        return weights, rest

    def pack(self, tensors: Tensors, dtype: torch.dtype) -> Tensor:
        """One fit's tensors as one flat row (1, size); zero where it has none."""
        row = torch.zeros((1, self.size), dtype=dtype)
        for name, place in self.views(row, [_DEEPEST]).items():
            if name in tensors:
                place[0] = tensors[name]
        return row

    def moved(self, flat: Tensor, other: Layout) -> Tensor:
        """`flat` (fit, size) as the layout `other` has it, which knows the same tensors and more."""
        result = flat.new_zeros((len(flat), other.size))
        everywhere = [_DEEPEST] * len(flat)
        places = other.views(result, everywhere)
        for name, part in self.views(flat, everywhere).items():
            places[name].copy_(part)
        return result


def _part(p: Parameter) -> int:
    return {"weight": 0, "buffer": 2}.get(p.role, 1)
