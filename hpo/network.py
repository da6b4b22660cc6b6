"""Stacked networks: pure functions on `{name: (fit, …)}`, so that every fit of a stack runs in the same operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

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
_BLOCK = 1024  # rows that a prediction takes at a time, so that activations stay in the cache


@dataclass(frozen=True)
class Mlp:
    """`depth` hidden layers of `width` units: Linear, BatchNorm1d if asked for, activation; then a Linear to the outputs.

    Weights are (fit, in, out), biases (fit, out): torch's own transposed, so that a layer is one `baddbmm`.
    """

    n_inputs: int
    n_outputs: int
    depth: int
    width: int
    activation: str = "relu"
    batch_norm: bool = False

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return (self.n_inputs, *[self.width] * self.depth, self.n_outputs)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        found = []
        for i, (fan_in, fan_out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            found.append(Parameter(f"{i}.weight", (fan_in, fan_out), i, "weight"))
            found.append(Parameter(f"{i}.bias", (fan_out,), i, "bias"))
            if self.batch_norm and i < self.depth:
                found.append(Parameter(f"{i}.norm.weight", (fan_out,), i, "norm"))
                found.append(Parameter(f"{i}.norm.bias", (fan_out,), i, "norm"))
        return tuple(found)

    @cached_property
    def buffers(self) -> tuple[Parameter, ...]:
        """The running statistics of batch normalisation: not trained, but scored, kept and exported."""
        if not self.batch_norm:
            return ()
        names = ("running_mean", "running_var")
        return tuple(Parameter(f"{i}.norm.{n}", (self.width,), i, "norm") for i in range(self.depth) for n in names)

    def init(self, stream: np.random.Generator) -> dict[str, Tensor]:
        """One fit's fresh tensors by name, without the fit axis, distributed as `torch.nn.Linear` draws them:
        uniform in ±1/√fan_in."""
        tensors = {}
        for p in self.parameters:
            if p.role == "norm":
                tensors[p.name] = torch.ones(p.shape) if p.name.endswith("weight") else torch.zeros(p.shape)
            else:
                bound = 1 / math.sqrt(self.sizes[p.layer])
                tensors[p.name] = torch.from_numpy(stream.uniform(-bound, bound, p.shape))
        for b in self.buffers:
            tensors[b.name] = torch.ones(b.shape) if b.name.endswith("var") else torch.zeros(b.shape)
        return tensors

    def forward(self, params: Tensors, buffers: Tensors, x: Tensor, *, hidden: Hidden, training: bool) -> Tensor:
        """x (fit, batch, n_inputs) → logits (fit, batch, n_outputs); `hidden(h, h_in, site)` after each hidden layer.

        With batch normalisation, training updates `buffers` in place.
        """
        function = ACTIVATIONS[self.activation][0]
        h = x
        for i in range(self.depth):
            z = _linear(params, i, h)
            if self.batch_norm:
                z = _batch_norm(params, buffers, i, z, training)
            h = hidden(function(z), h, i)
        return _linear(params, self.depth, h)

    def predict(self, tensors: Tensors, x: Tensor) -> Tensor:
        """Logits without noise, (fit, rows, n_outputs), for x (fit, rows, n_inputs) and parameters and buffers in one."""
        with torch.no_grad():
            parts = torch.split(x, _BLOCK, dim=1)
            still = [self.forward(tensors, tensors, part, hidden=lambda h, *_: h, training=False) for part in parts]
            return torch.cat(still, dim=1)

    def layers(self, dropout: float) -> list[list[object]]:
        """The same network as arguments of a plain `torch.nn.Sequential`: `[class name, *arguments]` a layer."""
        layers: list[list[object]] = []
        for i in range(self.depth):
            layers.append(["Linear", self.sizes[i], self.width])
            if self.batch_norm:
                layers.append(["BatchNorm1d", self.width])
            layers.append([ACTIVATIONS[self.activation][1]])
            layers.append(["Dropout", dropout])
        return [*layers, ["Linear", self.sizes[-2], self.n_outputs]]

    def state_dict(self, tensors: Tensors) -> dict[str, Tensor]:
        """One fit's tensors (no fit axis) under the names and in the layout of that `torch.nn.Sequential`."""
        per_block = 4 if self.batch_norm else 3
        state = {}
        for p in (*self.parameters, *self.buffers):
            position = p.layer * per_block + (".norm." in p.name)
            value = tensors[p.name]
            state[f"{position}.{p.name.rpartition('.')[2]}"] = (value.T if p.role == "weight" else value).contiguous()
        return state


def _linear(params: Tensors, i: int, h: Tensor) -> Tensor:
    return torch.baddbmm(params[f"{i}.bias"].unsqueeze(1), h, params[f"{i}.weight"])


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
    def size(self) -> int:
        return sum(math.prod(p.shape) for p in self.entries)

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """`flat` (fit, size) as `{name: (fit, *shape)}` on the same memory."""
        parts = torch.split(flat, [math.prod(p.shape) for p in self.entries], dim=1) if self.entries else ()
        return {p.name: part.view(-1, *p.shape) for p, part in zip(self.entries, parts, strict=True)}

    def pack(self, tensors: Tensors, dtype: torch.dtype) -> Tensor:
        """One fit's tensors as one flat row (1, size)."""
        parts = [tensors[p.name].to(dtype).flatten() for p in self.entries]
        return torch.cat(parts).unsqueeze(0) if parts else torch.empty((1, 0), dtype=dtype)
