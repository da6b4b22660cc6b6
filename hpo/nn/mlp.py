"""The multilayer perceptron, stacked by hand: every layer of all fits is one operation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from hpo import nets
from hpo.core.importing import qualified_name
from hpo.nn.linear import linear, output
from hpo.nn.network import BatchedNetwork, Hidden, Outputs, Tensors
from hpo.nn.parameter import Parameter
from hpo.nn.rng import Noise

# name → (function, the torch.nn class that a plain torch user writes)
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "relu": (torch.relu_, "ReLU"),
    "gelu": (torch.nn.functional.gelu, "GELU"),
    "silu": (torch.nn.functional.silu, "SiLU"),
    "tanh": (torch.tanh, "Tanh"),
    "elu": (torch.nn.functional.elu, "ELU"),
}
_MOMENTUM, _EPS = 0.1, 1e-5  # those of torch.nn.BatchNorm1d, and of LayerNorm


@dataclass(frozen=True)
class Mlp(BatchedNetwork):
    """`depth` hidden layers of `width` units: Linear, BatchNorm1d and LayerNorm if asked for, activation; then a Linear to the
    outputs. With a `skip` (see `hpo.nets.joined`) every hidden layer but the first adds to its input.

    Hidden weights are (fit, in, out), torch's own transposed; the output layer's are (fit, out, in). Biases are (fit, out).
    """

    n_inputs: int
    n_outputs: int
    depth: int
    width: int
    activation: str = "relu"
    batch_norm: bool = False
    layer_norm: bool = False
    skip: str = "none"
    init_weights: Tensors = field(default_factory=dict, compare=False, repr=False)

    @property
    def stack_key(self) -> object:
        return replace(self, depth=1)

    @property
    def needs_rng(self) -> bool:  # type: ignore[override]
        return nets.SKIPS[self.skip] > 0

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        found = []
        for i in range(self.depth):
            fan_in = self.n_inputs if i == 0 else self.width
            for branch in self._branches(i):
                found += _linear_parameters(
                    branch, (fan_in, self.width), self.width, i + 1, 1, 0 if i == 0 else None, layer=i
                )
                for norm in self._norms:
                    found.append(Parameter(f"{branch}.{norm}.weight", (self.width,), i + 1, "norm", layer=i))
                    found.append(Parameter(f"{branch}.{norm}.bias", (self.width,), i + 1, "norm", layer=i))
        found += _linear_parameters("out", (self.n_outputs, self.width), self.n_outputs, 1)
        return tuple(found)

    @cached_property
    def buffers(self) -> tuple[Parameter, ...]:
        """The running statistics of batch normalisation: not trained, but scored, kept and exported."""
        if not self.batch_norm:
            return ()
        names, branches = (
            ("running_mean", "running_var"),
            [(i, branch) for i in range(self.depth) for branch in self._branches(i)],
        )
        return tuple(
            Parameter(f"{branch}.norm.{n}", (self.width,), i + 1, "buffer", layer=i)
            for i, branch in branches
            for n in names
        )

    @property
    def _norms(self) -> tuple[str, ...]:
        """What a linear layer's name is followed by in those of its norms, in their order."""
        return ("norm",) * self.batch_norm + ("layer_norm",) * self.layer_norm

    def _branches(self, i: int) -> tuple[str, ...]:
        """The names of the linear layers that stand side by side as hidden layer `i`."""
        return (str(i), f"{i}.second") if i > 0 and self.skip == "shake-shake" else (str(i),)

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
        self,
        params: Tensors,
        buffers: Tensors,
        x: Tensor,
        *,
        hidden: Hidden,
        noise: Callable[[int], Noise],
        training: bool,
        labelled: int | None = None,
    ) -> Outputs:
        """x (fit, batch, n_inputs) → logits (fit, batch, n_outputs) and features (fit, batch, width); `hidden(h, h_in, site)` after each
        hidden layer, or each of its branches. Draws from `noise(site)` while training, if the network `draws`.

        Fits may be shallower than `depth`: those that have a layer are the first rows, and its tensors are theirs alone.
        With batch normalisation, training updates `buffers` in place, by the first `labelled` rows.
        """
        having = tuple(len(params[f"{i}.weight"]) for i in range(self.depth))
        h, done = x, []  # `done` holds what came out of the last layer of the shallower fits
        for i, rows in enumerate(having):
            if rows < len(h):
                h, shallow = torch.split(h, [rows, len(h) - rows])
                done.append(shallow)
            branches = [
                self._branch(params, buffers, h, hidden, training, labelled, i, name) for name in self._branches(i)
            ]
            if i == 0 or self.skip == "none":
                (h,) = branches
            else:
                draws = (
                    noise(i).uniform((nets.SKIPS[self.skip], h.shape[1], 1)) if training and self.needs_rng else None
                )
                h = h + nets.joined(self.skip, branches, _kept(having, i, h.dtype, h.device), draws)
        if done:
            h = torch.cat([h, *reversed(done)])
        return Outputs(output(h, params["out.weight"], params["out.bias"]).transpose(1, 2), h)

    def _branch(
        self,
        params: Tensors,
        buffers: Tensors,
        h: Tensor,
        hidden: Hidden,
        training: bool,
        labelled: int | None,
        i: int,
        name: str,
    ) -> Tensor:
        """What the linear layer `name` and all behind it make of h, as hidden layer `i` or a part of it."""
        z = linear(h, params[f"{name}.weight"], params[f"{name}.bias"])
        if self.batch_norm:
            z = _batch_norm(params, buffers, f"{name}.norm", z, training, labelled)
        if self.layer_norm:
            z = _layer_norm(params, f"{name}.layer_norm", z)
        return hidden(ACTIVATIONS[self.activation][0](z), h, i)

    def description(self, dropout: float) -> object:
        if self.skip == "none":
            return self.layers(dropout)
        return {"factory": qualified_name(nets.residual), "arguments": self._arguments(dropout), "image": []}

    def code(self, dropout: float) -> list[str]:
        if self.skip == "none":
            layers = ", ".join(f"{name}({', '.join(map(str, arguments))})" for name, *arguments in self.layers(dropout))
            return [f"net = torch.nn.Sequential({layers})"]
        where, _, what = qualified_name(nets.residual).partition(":")
        arguments = ", ".join(f"{key}={value!r}" for key, value in self._arguments(dropout).items())
        return [f"from {where} import {what}", f"net = {what}({arguments})"]

    def _arguments(self, dropout: float) -> dict[str, object]:
        """Those with which `nets.residual` makes the same network."""
        own = {
            key: getattr(self, key)
            for key in ("n_inputs", "n_outputs", "depth", "width", "skip", "batch_norm", "layer_norm")
        }
        return own | {"activation": ACTIVATIONS[self.activation][1], "dropout": dropout}

    def layers(self, dropout: float) -> list[list[object]]:
        """The same network, if it has no skips, as arguments of a plain `torch.nn.Sequential`: `[class name, *arguments]` a layer."""
        layers: list[list[object]] = []
        for i in range(self.depth):
            layers.append(["Linear", self.n_inputs if i == 0 else self.width, self.width])
            if self.batch_norm:
                layers.append(["BatchNorm1d", self.width])
            if self.layer_norm:
                layers.append(["LayerNorm", self.width])
            layers.append([ACTIVATIONS[self.activation][1]])
            layers.append(["Dropout", dropout])
        return [*layers, ["Linear", self.width, self.n_outputs]]

    def state_dict(self, tensors: Tensors) -> dict[str, Tensor]:
        """One fit's tensors (no fit axis) under the names and in the layout of that `torch.nn.Sequential`, or of `nets.residual`."""
        return {plain: _turned(p, tensors[p.name]).contiguous() for plain, p in self._plain.items()}

    def load_state(self, state: Tensors) -> dict[str, Tensor]:
        return {p.name: _turned(p, state[plain]) for plain, p in self._plain.items() if plain in state}

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(plain for plain, p in self._plain.items() if p.layer < 0)

    @cached_property
    def _plain(self) -> dict[str, Parameter]:
        """What plain torch calls each parameter and buffer."""
        found = {}
        for p in (*self.parameters, *self.buffers):
            module, _, leaf = p.name.rpartition(".")
            found[f"{self._place(module, p.layer)}.{leaf}"] = p
        return found

    def _place(self, module: str, layer: int) -> str:
        """What plain torch calls the linear layer or norm `module` of a hidden layer."""
        plain = self.skip == "none"
        a_layer = 3 + len(self._norms) if plain else 1  # how many modules, one behind the other
        if module == "out":
            return str(self.depth * a_layer)
        norm = module.rpartition(".")[2]
        position = 1 + self._norms.index(norm) if norm in self._norms else 0
        if plain:
            return str(layer * a_layer + position)
        branch = f".branches.{int('.second' in module)}" if layer else ""
        return f"{layer}{branch}.{position}"


def _linear_parameters(
    name: str,
    shape: tuple[int, int],
    outputs: int,
    depth: int,
    units: int = 0,
    inputs: int | None = None,
    layer: int = -1,
) -> list[Parameter]:
    weight = Parameter(f"{name}.weight", shape, depth, "weight", units, inputs, layer)
    return [weight, Parameter(f"{name}.bias", (outputs,), depth, "bias", layer=layer)]


def _turned(p: Parameter, value: Tensor) -> Tensor:
    """From our layout to that of plain torch, or back: the weights of hidden layers are transposed."""
    return value.T if p.role == "weight" and p.layer >= 0 else value


@lru_cache(maxsize=256)
def _kept(having: tuple[int, ...], layer: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Of each row that has the layer, the probability that Shake-Drop leaves it as it is, (fit, 1, 1): it depends on how deep that
    row's own network is. `having` says how many rows have each layer, the deepest first."""
    depths = [sum(row < rows for rows in having) for row in range(having[layer])]
    found = [nets.kept(layer, depth) for depth in depths]
    return torch.tensor(found, dtype=dtype, device=device).view(-1, 1, 1)


def _layer_norm(params: Tensors, name: str, z: Tensor) -> Tensor:
    """Ba, Kiros & Hinton, 2016, as `torch.nn.LayerNorm` does it; z is (fit, batch, features)."""
    even = torch.nn.functional.layer_norm(z, z.shape[2:], eps=_EPS)
    return even * params[f"{name}.weight"].unsqueeze(1) + params[f"{name}.bias"].unsqueeze(1)


def _batch_norm(
    params: Tensors, buffers: Tensors, name: str, z: Tensor, training: bool, labelled: int | None
) -> Tensor:
    """Ioffe & Szegedy, ICML 2015, as `torch.nn.BatchNorm1d` does it; z is (fit, batch, features). Training goes by the first `labelled`
    rows, if not by all."""
    running_mean, running_var = buffers[f"{name}.running_mean"], buffers[f"{name}.running_var"]
    if training:
        some = z[:, :labelled]
        mean = some.mean(1)
        var = some.var(1, correction=0)
        n = some.shape[1]
        with torch.no_grad():
            running_mean.lerp_(mean, _MOMENTUM)
            running_var.lerp_(var * (n / max(n - 1, 1)), _MOMENTUM)
    else:
        mean, var = running_mean, running_var
    scale = params[f"{name}.weight"] * torch.rsqrt(var + _EPS)
    return (z - mean.unsqueeze(1)) * scale.unsqueeze(1) + params[f"{name}.bias"].unsqueeze(1)
