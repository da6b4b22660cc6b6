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
from hpo.nn.network import BatchedNetwork, HiddenHook, Outputs, Tensors
from hpo.nn.parameter import Parameter
from hpo.nn.rng import Noise

# name → (function, the equivalent class of torch.nn)
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "relu": (torch.relu_, "ReLU"),
    "gelu": (torch.nn.functional.gelu, "GELU"),
    "silu": (torch.nn.functional.silu, "SiLU"),
    "tanh": (torch.tanh, "Tanh"),
    "elu": (torch.nn.functional.elu, "ELU"),
}
_MOMENTUM, _EPS = 0.1, 1e-5  # the defaults of torch.nn.BatchNorm1d; LayerNorm has the same eps


@dataclass(frozen=True)
class Mlp(BatchedNetwork):
    """`depth` hidden layers of `width` units, and a linear output layer.

    A hidden layer is Linear, then BatchNorm1d and LayerNorm if requested, then the activation. With a `skip`
    (see `hpo.nets.combine_branches`), every hidden layer but the first adds its output to its input.

    Hidden weights are (fit, in, out), the transpose of torch's; those of the output layer are (fit, out, in).
    Biases are (fit, out).
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
    def needs_rng(self) -> bool:  # type: ignore[override]  # computed here, a field in the base
        return nets.SKIPS[self.skip] > 0

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        parameters = []
        for i in range(self.depth):
            fan_in = self.n_inputs if i == 0 else self.width
            for branch in self._branches(i):
                parameters += _linear_parameters(
                    branch, (fan_in, self.width), self.width, i + 1, 1, 0 if i == 0 else None, layer=i
                )
                for norm in self._norms:
                    parameters.append(Parameter(f"{branch}.{norm}.weight", (self.width,), i + 1, "norm", layer=i))
                    parameters.append(Parameter(f"{branch}.{norm}.bias", (self.width,), i + 1, "norm", layer=i))
        parameters += _linear_parameters("out", (self.n_outputs, self.width), self.n_outputs, 1)
        return tuple(parameters)

    @cached_property
    def buffers(self) -> tuple[Parameter, ...]:
        """The running statistics of batch normalization."""
        if not self.batch_norm:
            return ()
        return tuple(
            Parameter(f"{branch}.norm.{name}", (self.width,), i + 1, "buffer", layer=i)
            for i in range(self.depth)
            for branch in self._branches(i)
            for name in ("running_mean", "running_var")
        )

    @property
    def _norms(self) -> tuple[str, ...]:
        """The norms that follow a linear layer, in order, each as the suffix that it adds to the layer's name."""
        return ("norm",) * self.batch_norm + ("layer_norm",) * self.layer_norm

    def _branches(self, i: int) -> tuple[str, ...]:
        """The names of the parallel linear layers that form hidden layer `i`."""
        return (str(i), f"{i}.second") if i > 0 and self.skip == "shake-shake" else (str(i),)

    def init(self, stream: np.random.Generator) -> dict[str, Tensor]:
        """Return random tensors of one fit by name, without the fit axis.

        Weights and biases are uniform in ±1/√fan_in, as in `torch.nn.Linear`.
        """
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
        hidden: HiddenHook,
        noise: Callable[[int], Noise],
        training: bool,
        labelled: int | None = None,
    ) -> Outputs:
        """Compute the outputs (see `BatchedNetwork.forward`).

        `hidden` is called after each hidden layer, or, if a layer has several branches, after each of these. Fits may
        be shallower than `depth`: the tensors of a layer contain only the fits that have this layer. The deepest fits
        come first.
        """
        fits_per_layer = tuple(len(params[f"{i}.weight"]) for i in range(self.depth))
        h, finished = x, []  # `finished` collects the last hidden outputs of shallower fits
        for i, fits in enumerate(fits_per_layer):
            if fits < len(h):
                h, shallow = torch.split(h, [fits, len(h) - fits])
                finished.append(shallow)
            branches = [
                self._branch(params, buffers, h, hidden, training, labelled, i, name) for name in self._branches(i)
            ]
            if i == 0 or self.skip == "none":
                (h,) = branches
            else:
                draws = (
                    noise(i).uniform((nets.SKIPS[self.skip], h.shape[1], 1)) if training and self.needs_rng else None
                )
                keep = shake_drop_keep(fits_per_layer, i, h.dtype, h.device)
                h = h + nets.combine_branches(self.skip, branches, keep, draws)
        if finished:
            h = torch.cat([h, *reversed(finished)])
        return Outputs(output(h, params["out.weight"], params["out.bias"]).transpose(1, 2), h)

    def _branch(
        self,
        params: Tensors,
        buffers: Tensors,
        h: Tensor,
        hidden: HiddenHook,
        training: bool,
        labelled: int | None,
        i: int,
        name: str,
    ) -> Tensor:
        """Apply the linear layer `name` of hidden layer `i`, its norms, the activation and the hook."""
        z = linear(h, params[f"{name}.weight"], params[f"{name}.bias"])
        if self.batch_norm:
            z = _batch_norm(params, buffers, f"{name}.norm", z, training, labelled)
        if self.layer_norm:
            z = _layer_norm(params, f"{name}.layer_norm", z)
        return hidden(ACTIVATIONS[self.activation][0](z), h, i)

    def description(self, dropout: float) -> object:
        if self.skip == "none":
            return self.sequential_layers(dropout)
        return {"factory": qualified_name(nets.residual), "arguments": self._residual_arguments(dropout), "image": []}

    def code(self, dropout: float) -> list[str]:
        if self.skip == "none":
            layers = self.sequential_layers(dropout)
            calls = ", ".join(f"{name}({', '.join(map(str, arguments))})" for name, *arguments in layers)
            return [f"net = torch.nn.Sequential({calls})"]
        module, _, function = qualified_name(nets.residual).partition(":")
        arguments = ", ".join(f"{key}={value!r}" for key, value in self._residual_arguments(dropout).items())
        return [f"from {module} import {function}", f"net = {function}({arguments})"]

    def _residual_arguments(self, dropout: float) -> dict[str, object]:
        """The arguments with which `nets.residual` builds the same network."""
        keys = ("n_inputs", "n_outputs", "depth", "width", "skip", "batch_norm", "layer_norm")
        arguments = {key: getattr(self, key) for key in keys}
        return arguments | {"activation": ACTIVATIONS[self.activation][1], "dropout": dropout}

    def sequential_layers(self, dropout: float) -> list[list[object]]:
        """Return the layers of the equivalent `torch.nn.Sequential`, each as `[class name, *arguments]`.

        Only a network without skips has such an equivalent.
        """
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
        return {plain: _transposed(p, tensors[p.name]).contiguous() for plain, p in self.torch_parameters.items()}

    def load_state(self, state: Tensors) -> dict[str, Tensor]:
        return {p.name: _transposed(p, state[plain]) for plain, p in self.torch_parameters.items() if plain in state}

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(plain for plain, p in self.torch_parameters.items() if p.layer < 0)

    @cached_property
    def torch_parameters(self) -> dict[str, Parameter]:
        """The parameters and buffers by their names in the equivalent plain torch module."""
        names = {}
        for p in (*self.parameters, *self.buffers):
            module, _, leaf = p.name.rpartition(".")
            names[f"{self._plain_module(module, p.layer)}.{leaf}"] = p
        return names

    def _plain_module(self, module: str, layer: int) -> str:
        """Return the plain torch name of the linear layer or norm `module`."""
        sequential = self.skip == "none"
        modules_per_layer = 3 + len(self._norms) if sequential else 1
        if module == "out":
            return str(self.depth * modules_per_layer)
        norm = module.rpartition(".")[2]
        position = 1 + self._norms.index(norm) if norm in self._norms else 0
        if sequential:
            return str(layer * modules_per_layer + position)
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


def _transposed(p: Parameter, value: Tensor) -> Tensor:
    """Convert between this layout and that of plain torch: the weights of hidden layers are transposed."""
    return value.T if p.role == "weight" and p.layer >= 0 else value


@lru_cache(maxsize=256)
def shake_drop_keep(fits_per_layer: tuple[int, ...], layer: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the probability that ShakeDrop leaves the layer unchanged, (fit, 1, 1), for each fit that has it.

    It depends on the depth of each fit's own network, which follows from `fits_per_layer`. The deepest fits come first.
    """
    depths = [sum(row < fits for fits in fits_per_layer) for row in range(fits_per_layer[layer])]
    probabilities = [nets.keep_probability(layer, depth) for depth in depths]
    return torch.tensor(probabilities, dtype=dtype, device=device).view(-1, 1, 1)


def _layer_norm(params: Tensors, name: str, z: Tensor) -> Tensor:
    """Layer-normalize z (fit, batch, features) as `torch.nn.LayerNorm` does (Ba, Kiros & Hinton, 2016)."""
    normed = torch.nn.functional.layer_norm(z, z.shape[2:], eps=_EPS)
    return normed * params[f"{name}.weight"].unsqueeze(1) + params[f"{name}.bias"].unsqueeze(1)


def _batch_norm(
    params: Tensors, buffers: Tensors, name: str, z: Tensor, training: bool, labelled: int | None
) -> Tensor:
    """Batch-normalize z (fit, batch, features) as `torch.nn.BatchNorm1d` does (Ioffe & Szegedy, ICML 2015).

    Training uses the statistics of the first `labelled` samples, or of all samples if `labelled` is None.
    """
    running_mean, running_var = buffers[f"{name}.running_mean"], buffers[f"{name}.running_var"]
    if training:
        reference = z[:, :labelled]
        mean = reference.mean(1)
        var = reference.var(1, correction=0)
        n = reference.shape[1]
        with torch.no_grad():
            running_mean.lerp_(mean, _MOMENTUM)
            running_var.lerp_(var * (n / max(n - 1, 1)), _MOMENTUM)
    else:
        mean, var = running_mean, running_var
    scale = params[f"{name}.weight"] * torch.rsqrt(var + _EPS)
    return (z - mean.unsqueeze(1)) * scale.unsqueeze(1) + params[f"{name}.bias"].unsqueeze(1)
