"""The multilayer perceptron, stacked by hand: every layer of all fits is one operation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hpo.linear import linear, output
from hpo.network import Hidden, Network, Tensors
from hpo.noise import Noise
from hpo.regularizers.base import Parameter

# name → (function, the torch.nn class that a plain torch user writes)
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "relu": (torch.relu_, "ReLU"),
    "gelu": (torch.nn.functional.gelu, "GELU"),
    "silu": (torch.nn.functional.silu, "SiLU"),
    "tanh": (torch.tanh, "Tanh"),
    "elu": (torch.nn.functional.elu, "ELU"),
}
_MOMENTUM, _EPS = 0.1, 1e-5  # torch.nn.BatchNorm1d's


@dataclass(frozen=True)
class Mlp(Network):
    """`depth` hidden layers of `width` units: Linear, BatchNorm1d if asked for, activation; then a Linear to the outputs.

    Hidden weights are (fit, in, out), torch's own transposed; the output layer's are (fit, out, in). Biases are (fit, out).
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

    def forward(
        self, params: Tensors, buffers: Tensors, x: Tensor, *, hidden: Hidden, noise: Callable[[int], Noise], training: bool
    ) -> Tensor:
        """x (fit, batch, n_inputs) → logits (fit, batch, n_outputs); `hidden(h, h_in, site)` after each hidden layer.

        Fits may be shallower than `depth`: those that have a layer are the first rows, and its tensors are theirs alone.
        With batch normalisation, training updates `buffers` in place.
        """
        del noise
        function = ACTIVATIONS[self.activation][0]
        h, done = x, []  # `done` holds what came out of the last layer of the shallower fits
        for i in range(self.depth):
            having = len(params[f"{i}.weight"])
            if having < len(h):
                h, shallow = torch.split(h, [having, len(h) - having])
                done.append(shallow)
            z = linear(h, params[f"{i}.weight"], params[f"{i}.bias"])
            if self.batch_norm:
                z = _batch_norm(params, buffers, i, z, training)
            h = hidden(function(z), h, i)
        if done:
            h = torch.cat([h, *reversed(done)])
        return output(h, params["out.weight"], params["out.bias"]).transpose(1, 2)

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
