"""User networks: ordinary `torch.nn.Module`s. `torch.func` can run many of them as one batched program.

A factory function builds the module. Modules of one architecture have tensors of equal shapes, so the
tensors are stacked, and a single module is called with all of them under `vmap`. Every `nn.Dropout` is replaced by a
hook point. Regularizers act there with the searched rate of each fit instead of the module's own rate, and with noise
from the fit's own stream.
"""

from __future__ import annotations

import copy
import functools
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from hpo.core.errors import InputError, describe_exception, truncate
from hpo.core.importing import Factory
from hpo.nn.device import rng_devices
from hpo.nn.hook_points import identity
from hpo.nn.network import BatchedNetwork, HiddenHook, Outputs, Tensors
from hpo.nn.parameter import Parameter
from hpo.nn.rng import Noise
from hpo.nn.vmap import VmapProgram

# Phrases in the error messages of torch.func → their meaning.
_REASONS = {
    "random operation": (
        "it draws random numbers outside nn.Dropout (functional dropout, or the dropout argument of an attention layer)"
    ),
    "control flow": "its control flow depends on the data",
    ".item()": "its control flow depends on the data",
    "dynamic shape": "its shapes depend on the data",
}


@dataclass(frozen=True)
class VmappedModule(BatchedNetwork):
    """The module that `factory(**arguments)` returns; `image` is its input shape per sample, () for a plain vector."""

    factory: Factory
    name: str
    arguments: tuple[tuple[str, Any], ...]
    n_inputs: int
    n_outputs: int
    image: tuple[int, ...] = ()
    init_weights: Tensors = field(default_factory=dict, compare=False, repr=False)

    @property
    def stack_key(self) -> object:
        return self

    @property
    def program(self) -> VmapProgram:
        return vmap_program(self)  # shared by all networks that are equal

    @property
    def depth(self) -> int:  # type: ignore[override]  # computed here, a field in the base
        return len(self.program.hook_points)

    @property
    def batched(self) -> bool:  # type: ignore[override]  # computed here, a field in the base
        return not self.sequential_reason

    @property
    def width(self) -> int | None:  # type: ignore[override]  # computed here, a field in the base
        """The input size of the last nn.Linear with as many outputs as the network."""
        return self.program.feature_tap.width

    @property
    def sequential_reason(self) -> str:
        """The reason why the module runs one fit at a time; "" if it runs batched."""
        return self.program.sequential_reason

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The trained tensors; those with at least two axes are weights."""
        roles: dict[str, Literal["weight", "bias", "norm"]] = {
            name: "weight" if p.dim() > 1 else "bias" if name.endswith("bias") else "norm"
            for name, p in self.program.trained
        }
        layers = layer_indices(self.program.trained)
        return tuple(
            Parameter(name, tuple(p.shape), 0, roles[name], layer=layers[name]) for name, p in self.program.trained
        )

    @cached_property
    def buffers(self) -> tuple[Parameter, ...]:
        return tuple(Parameter(name, tuple(b.shape), 0, "buffer") for name, b in self.program.buffers)

    def build(self, seed: int) -> nn.Module:
        """Return a new module with initial weights drawn from `seed`. Raises InputError."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                module = self.factory(**dict(self.arguments))
            except Exception as error:
                raise InputError(f"network: {self._call} failed with {describe_exception(error)}.") from error
        if not isinstance(module, nn.Module):
            raise InputError(f"network: {self._call} must return a torch.nn.Module, got {truncate(module)}.")
        return module

    def init(self, stream: np.random.Generator) -> dict[str, Tensor]:
        module = self.build(int(stream.integers(2**63)))
        return {name: tensor.detach() for name, tensor in (*module.named_parameters(), *module.named_buffers())}

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
        del noise
        return self.program.run(params, buffers, x, hidden, training, self.batched, labelled)

    def state_dict(self, tensors: Tensors) -> dict[str, Tensor]:
        module = self.build(0)
        with torch.no_grad():
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                tensor.copy_(tensors[name])
        return {
            name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in module.state_dict().items()
        }

    def load_state(self, state: Tensors) -> dict[str, Tensor]:
        return {p.name: state[p.name] for p in (*self.parameters, *self.buffers) if p.name in state}

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.parameters if p.layer < 0)

    def description(self, dropout: float) -> object:
        del dropout  # there is no dropout in a prediction
        return {"factory": self.name, "arguments": dict(self.arguments), "image": list(self.image)}

    def code(self, dropout: float) -> list[str]:
        module, _, function = self.name.partition(":")
        comment = f"  # it takes x as (batch, {', '.join(map(str, self.image))})" if self.image else ""
        lines = [
            f"from {module} import {function.partition('.')[0]}",
            f"net = {function}{self._arguments_text}{comment}",
        ]
        if self.program.hook_points:
            lines += [
                "for module in net.modules():",
                f'    if "Dropout" in type(module).__name__: module.p = {dropout}',
            ]
        return lines

    def check(self, smallest: int, device: torch.device) -> None:
        try:
            x = torch.zeros(smallest, self.n_inputs, device=device)
            _train_single(self.program, self.init(np.random.default_rng(0)), x)
        except InputError:
            raise
        except Exception as error:
            hint = "; choose another train.batch_size to avoid a last minibatch of 1" if smallest == 1 else ""
            where = "" if device.type == "cpu" else f" on {device.type}"
            raise self.error(
                f"cannot learn from a minibatch of {smallest}{where} ({describe_exception(error)}){hint}."
            ) from error

    def notes(self, dropout: bool) -> list[str]:
        notes = []
        if self.sequential_reason:
            notes.append(f"{self.name} is trained one network at a time, which is slower: {self.sequential_reason}.")
        if self.depth > 0 and not dropout:
            notes.append(f"the dropout of {self.name} is off, because the space does not contain the key dropout.")
        return notes

    @property
    def _arguments_text(self) -> str:
        return f"({', '.join(f'{name}={value!r}' for name, value in self.arguments)})"

    @property
    def _call(self) -> str:
        return truncate(self.name.rpartition(":")[2] + self._arguments_text)

    def error(self, text: str) -> InputError:
        """Return an InputError about the module; `text` completes the sentence."""
        return InputError(f"network: the module of {self._call} {text}")


def layer_indices(trained: Sequence[tuple[str, Tensor]]) -> dict[str, int]:
    """Return the layer of each parameter.

    Each submodule that directly owns a matrix starts a new layer, in the order of registration; one without a matrix,
    such as a norm, belongs to the preceding layer. The last layer is the output layer, with index -1.
    """
    parts = list(dict.fromkeys(name.rpartition(".")[0] for name, p in trained if p.dim() > 1))
    layers, layer = {}, 0
    for name, _ in trained:
        part = name.rpartition(".")[0]
        layer = parts.index(part) if part in parts else layer
        layers[name] = -1 if layer >= len(parts) - 1 else layer
    return layers


@functools.lru_cache(maxsize=32)
def vmap_program(network: VmappedModule) -> VmapProgram:
    """Return the program of an architecture, after a trial run on random inputs. Raises InputError."""
    # Work on a copy, because its dropouts are replaced, and the factory may return the same module every time.
    program = VmapProgram(copy.deepcopy(network.build(0)), network.image, network.n_outputs)
    _check_tensors(network, program)
    x = torch.randn(2, 3, network.n_inputs, generator=torch.Generator().manual_seed(0))
    rows = [network.init(np.random.default_rng(i)) for i in range(2)]
    try:
        singles = [_train_single(program, row, part) for row, part in zip(rows, x, strict=True)]
        repeats = [_train_single(program, rows[0], x[1], seed) for seed in range(1, 5)]
    except Exception as error:
        shape = (3, *(network.image or (network.n_inputs,)))
        raise network.error(f"failed on a batch of shape {shape} with {describe_exception(error)}.") from error
    shape = tuple(singles[0]["the output"].shape)
    if shape != (3, network.n_outputs):
        raise network.error(f"must return (batch, {network.n_outputs}) for a batch of 3, got {shape}.")
    if any(result.keys() != singles[0].keys() for result in (*singles, *repeats)):
        raise network.error("uses some parameters in some steps only, which a fused optimizer cannot handle.")
    stacked = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    program.sequential_reason = _sequential_reason(program, stacked, x, singles)
    # Like torch's optimizers, leave parameters without a gradient unchanged.
    program.exclude_from_training([name for name, _ in program.trained if name not in singles[0]])
    if not program.trained:
        raise network.error("has no parameter to train.")
    return program


def _check_tensors(network: VmappedModule, program: VmapProgram) -> None:
    """Raise InputError if the module has uninitialized layers, or tensors that float32 cannot represent."""
    if any(map(torch.nn.parameter.is_lazy, program.module.parameters())):
        raise network.error("has layers without a size; give them one, using n_inputs.")
    for name, t in (*program.trained, *program.buffers):
        if t.is_complex() or not torch.equal(t.detach().float().to(t.dtype), t.detach()):
            raise network.error(f"has the tensor {name} ({t.dtype}), which float32 cannot represent exactly.")


def _train_single(program: VmapProgram, row: Tensors, x: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Return the results of `_train_step` for a single fit. Before the step, check that an evaluation works, too."""
    tensors = {name: t.detach().clone().float().unsqueeze(0).to(x.device) for name, t in row.items()}
    with torch.random.fork_rng(devices=rng_devices(x.device)), torch.no_grad():
        torch.manual_seed(seed)
        program.run(tensors, tensors, x.unsqueeze(0), identity, training=False, batched=False)
    return {name: t[0] for name, t in _train_step(program, tensors, x.unsqueeze(0), batched=False, seed=seed).items()}


@torch.enable_grad()  # a network may be built during a prediction, which disables gradients
def _train_step(
    program: VmapProgram, tensors: dict[str, Tensor], x: Tensor, batched: bool, seed: int = 0
) -> dict[str, Tensor]:
    """Return the outputs, the gradient of each parameter that has one, and the buffers afterwards."""
    leaves = {name: tensors[name].requires_grad_() for name, _ in program.trained}
    with torch.random.fork_rng(devices=rng_devices(x.device)):
        torch.manual_seed(seed)
        out = program.run(leaves, tensors, x, identity, True, batched).logits
    learns = leaves and out.requires_grad
    grads = torch.autograd.grad(out.square().sum(), list(leaves.values()), allow_unused=True) if learns else ()
    used = {name: grad for name, grad in zip(leaves, grads, strict=False) if grad is not None}
    return {"the output": out.detach(), **used, **{name: tensors[name] for name, _ in program.buffers}}


def _sequential_reason(program: VmapProgram, tensors: Tensors, x: Tensor, singles: Sequence[Tensors]) -> str:
    """Return why the fits cannot be batched; "" if they can, with the same results as `singles`."""
    copies = {name: t.detach().clone().float() for name, t in tensors.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # torch.func warns about operations that it runs in a loop
            batched = _train_step(program, copies, x, batched=True)
    except Exception as error:  # noqa: BLE001 -- whatever the error of torch.func, running one fit at a time works
        text = str(error)
        rule = re.search(r"atching rule (?:not implemented )?for (\S+?)\.?\s", f"{text} ")
        known = [reason for words, reason in _REASONS.items() if words in text]
        return known[0] if known else f"torch.func cannot batch {rule.group(1)}" if rule else describe_exception(error)
    equal = all(
        torch.allclose(
            single, batched[name][i], rtol=1e-2, atol=1e-3 * float(single.abs().max().clamp(min=1)), equal_nan=True
        )
        for i, row in enumerate(singles)
        for name, single in row.items()
    )
    return "" if equal else "torch.func computes other numbers for a batch of networks"
