"""Anyone's network: an ordinary `torch.nn.Module`, many of which run as one batched program by `torch.func`.

A function, the factory, makes the module. Modules of one architecture have tensors of equal shapes, so these are stacked and
one module is called with all of them under `vmap`. Every `nn.Dropout` is replaced by a site, where the regularizers act: the
searched rate of each row instead of the module's own, and noise from the row's own stream.
"""

from __future__ import annotations

import copy
import functools
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpo.core.errors import InputError, describe_exception, truncate
from hpo.core.importing import Factory
from hpo.nn.device import generators
from hpo.nn.hook_points import identity
from hpo.nn.network import BatchedNetwork, Hidden, Outputs, Tensors
from hpo.nn.parameter import Parameter
from hpo.nn.rng import Noise
from hpo.nn.vmap import VmapProgram

# What torch.func says of what it cannot batch → what it means.
_REASONS = {
    "random operation": "it draws random numbers elsewhere than in nn.Dropout (functional dropout, an attention layer's own rate)",
    "control flow": "its control flow depends on the data",
    ".item()": "its control flow depends on the data",
    "dynamic shape": "its shapes depend on the data",
}


@dataclass(frozen=True)
class VmappedModule(BatchedNetwork):
    """The module that `factory(**arguments)` returns; `image` is the shape in which it takes a row, () for a plain one."""

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
    def _plan(self) -> VmapProgram:
        return _plan(self)  # one for all networks that are equal

    @property
    def depth(self) -> int:  # type: ignore[override]
        return len(self._plan.sites)

    @property
    def batched(self) -> bool:  # type: ignore[override]
        return not self.sequential_reason

    @property
    def width(self) -> int | None:  # type: ignore[override]
        """What the last nn.Linear that makes as many numbers as there are outputs is given of a row."""
        return self._plan.head.width

    @property
    def sequential_reason(self) -> str:
        """Why it is run one row at a time; "" if it need not be."""
        return self._plan.sequential_reason

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """What is at least a matrix is a weight, as torch users tell them apart, too."""
        roles = {
            name: "weight" if p.dim() > 1 else "bias" if name.endswith("bias") else "norm"
            for name, p in self._plan.trained
        }
        layers = _layers(self._plan.trained)
        return tuple(
            Parameter(name, tuple(p.shape), 0, roles[name], layer=layers[name])  # type: ignore[arg-type]
            for name, p in self._plan.trained
        )

    @cached_property
    def buffers(self) -> tuple[Parameter, ...]:
        return tuple(Parameter(name, tuple(b.shape), 0, "buffer") for name, b in self._plan.buffer_names)

    def build(self, seed: int) -> nn.Module:
        """A fresh module, its initial weights drawn from `seed`. Raises InputError."""
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
        hidden: Hidden,
        noise: Callable[[int], Noise],
        training: bool,
        labelled: int | None = None,
    ) -> Outputs:
        del noise
        return self._plan.run(params, buffers, x, hidden, training, self.batched, labelled)

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
        del dropout  # nothing is dropped in a prediction
        return {"factory": self.name, "arguments": dict(self.arguments), "image": list(self.image)}

    def code(self, dropout: float) -> list[str]:
        where, _, what = self.name.partition(":")
        takes = f"  # it takes x as (batch, {', '.join(map(str, self.image))})" if self.image else ""
        lines = [f"from {where} import {what.partition('.')[0]}", f"net = {what}{self._values}{takes}"]
        if self._plan.sites:
            lines += [
                "for module in net.modules():",
                f'    if "Dropout" in type(module).__name__: module.p = {dropout}',
            ]
        return lines

    def check(self, smallest: int, device: torch.device) -> None:
        try:
            _alone(self._plan, self.init(np.random.default_rng(0)), torch.zeros(smallest, self.n_inputs, device=device))
        except Exception as error:
            if isinstance(error, InputError):
                raise
            hint = "; another train.batch_size leaves no such last one" if smallest == 1 else ""
            where = "" if device.type == "cpu" else f" on {device.type}"
            raise self.refuse(
                f"cannot learn from a minibatch of {smallest}{where} ({describe_exception(error)}){hint}."
            ) from error

    def notes(self, dropout: bool) -> list[str]:
        alone = (
            [f"{self.name} is trained one row at a time, which is slower: {self.sequential_reason}."]
            if self.sequential_reason
            else []
        )
        unused = self.depth > 0 and not dropout
        return alone + (
            [f"the dropout of {self.name} is off, as that of any network whose space does not name it."]
            if unused
            else []
        )

    @property
    def _values(self) -> str:
        return f"({', '.join(f'{name}={value!r}' for name, value in self.arguments)})"

    @property
    def _call(self) -> str:
        return truncate(self.name.rpartition(":")[2] + self._values)

    def refuse(self, what: str) -> InputError:
        return InputError(f"network: the module of {self._call} {what}")


def _layers(trained: Sequence[tuple[str, Tensor]]) -> dict[str, int]:
    """To which layer each parameter belongs. A layer begins with each part of the module that has a matrix of its own, in the order in
    which these were set; what has none, such as a norm, belongs to the layer before it. The last is the output layer."""
    parts = list(dict.fromkeys(name.rpartition(".")[0] for name, p in trained if p.dim() > 1))
    found, layer = {}, 0
    for name, _ in trained:
        part = name.rpartition(".")[0]
        layer = parts.index(part) if part in parts else layer
        found[name] = -1 if layer >= len(parts) - 1 else layer
    return found


@functools.lru_cache(maxsize=32)
def _plan(network: VmappedModule) -> VmapProgram:
    """The plan of an architecture, tried out on a few made rows. Raises InputError."""
    plan = VmapProgram(
        copy.deepcopy(network.build(0)), network.image, network.n_outputs
    )  # its dropouts are replaced; it may be somebody's only one
    if any(map(torch.nn.parameter.is_lazy, plan.module.parameters())):
        raise network.refuse("has layers without a size; give them one, with the help of n_inputs.")
    for name, t in (*plan.trained, *plan.buffer_names):
        if t.is_complex() or not torch.equal(t.detach().float().to(t.dtype), t.detach()):
            raise network.refuse(f"holds {name}, of which float32 keeps less than it is ({t.dtype}).")
    x = torch.randn(2, 3, network.n_inputs, generator=torch.Generator().manual_seed(0))
    rows = [network.init(np.random.default_rng(i)) for i in range(2)]
    try:
        alone = [_alone(plan, row, part) for row, part in zip(rows, x, strict=True)]
        again = [_alone(plan, rows[0], x[1], seed) for seed in range(1, 5)]
    except Exception as error:
        shape = (3, *(network.image or (network.n_inputs,)))
        raise network.refuse(f"failed on a batch of shape {shape} with {describe_exception(error)}.") from error
    got = alone[0]["the output"]
    if got.shape != (3, network.n_outputs):
        raise network.refuse(f"must return (batch, {network.n_outputs}) for a batch of 3, got {tuple(got.shape)}.")
    if any(other.keys() != alone[0].keys() for other in (*alone, *again)):
        raise network.refuse("uses some parameters in some steps only, which a fused optimizer cannot follow.")
    plan.sequential_reason = _why_alone(
        plan, {name: torch.stack([row[name] for row in rows]) for name in rows[0]}, x, alone
    )
    # What has no gradient is left as it is, as torch's optimizers do.
    plan.keep_buffers([name for name, _ in plan.trained if name not in alone[0]])
    if not plan.trained:
        raise network.refuse("has no parameter to train.")
    return plan


def _alone(plan: VmapProgram, row: Tensors, x: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """What one row gives by itself in training; it is evaluated, too, which must not fail."""
    tensors = {name: t.detach().clone().float().unsqueeze(0).to(x.device) for name, t in row.items()}
    with torch.random.fork_rng(devices=generators(x.device)), torch.no_grad():
        torch.manual_seed(seed)
        plan.run(tensors, tensors, x.unsqueeze(0), identity, training=False, batched=False)
    return {name: t[0] for name, t in _learn(plan, tensors, x.unsqueeze(0), batched=False, seed=seed).items()}


@torch.enable_grad()  # a network may be met first in a prediction
def _learn(plan: VmapProgram, tensors: dict[str, Tensor], x: Tensor, batched: bool, seed: int = 0) -> dict[str, Tensor]:
    """The outputs, the gradient of each parameter that has one, and the buffers afterwards."""
    leaves = {name: tensors[name].requires_grad_() for name, _ in plan.trained}
    with torch.random.fork_rng(devices=generators(x.device)):
        torch.manual_seed(seed)
        out = plan.run(leaves, tensors, x, identity, True, batched).logits
    learns = leaves and out.requires_grad
    grads = torch.autograd.grad(out.square().sum(), list(leaves.values()), allow_unused=True) if learns else ()
    found = {name: grad for name, grad in zip(leaves, grads, strict=False) if grad is not None}
    return {"the output": out.detach(), **found, **{name: tensors[name] for name, _ in plan.buffer_names}}


def _why_alone(plan: VmapProgram, tensors: Tensors, x: Tensor, alone: Sequence[Tensors]) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # one is how torch.func says that an operation runs row by row
            together = _learn(plan, {name: t.detach().clone().float() for name, t in tensors.items()}, x, batched=True)
    except Exception as error:  # noqa: BLE001 -- whatever torch.func says, one row at a time works
        text = str(error)
        rule = re.search(r"atching rule (?:not implemented )?for (\S+?)\.?\s", f"{text} ")
        known = [reason for words, reason in _REASONS.items() if words in text]
        return known[0] if known else f"torch.func cannot batch {rule.group(1)}" if rule else describe_exception(error)
    same = all(
        torch.allclose(
            mine, together[name][i], rtol=1e-2, atol=1e-3 * float(mine.abs().max().clamp(min=1)), equal_nan=True
        )
        for i, row in enumerate(alone)
        for name, mine in row.items()
    )
    return "" if same else "batched by torch.func it gives other numbers"
