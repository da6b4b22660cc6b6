"""Stacked networks: pure functions on `{name: (fit, …)}`, so that every fit of a stack runs in the same operations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hpo.nn.backends import backend_for
from hpo.nn.linear import diverging
from hpo.nn.parameter import Parameter
from hpo.nn.rng import Noise

Tensors = Mapping[str, Tensor]
Hidden = Callable[[Tensor, Tensor, int], Tensor]


class Outputs(NamedTuple):
    """What a network says of rows, and what its last linear layer is given; None if it does not tell."""

    logits: Tensor  # (fit, batch, n_outputs)
    features: Tensor | None  # (fit, batch, width)


def no_noise(site: int) -> Noise:
    """What a network is given that is not to draw."""
    raise AssertionError(f"evaluation draws no noise, but site {site} asked for some")


class BatchedNetwork(ABC):
    """What a stack asks of a network: one architecture, as functions of tensors that have the fit axis first.

    `depth` is at how many sites a regularizer acts on what is hidden. Networks whose `alike` is equal share a stack, rows
    in order of depth; a network that is not `batched` can be computed for one row only and has a stack for itself.
    """

    depth: int
    batched: bool = True
    needs_rng: bool = False  # whether it needs random numbers of its own while training, at each site
    width: int | None = None  # of its features; None if it does not tell them
    init_weights: Tensors = MappingProxyType(
        {}
    )  # what a fit begins with in place of what `init` draws, without the fit axis

    @property
    @abstractmethod
    def stack_key(self) -> object: ...

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

    def initial_state(self, stream: np.random.Generator) -> dict[str, Tensor]:
        """What a fit begins with: `start`, and where that lacks something, what `init` draws."""
        return self.init(stream) | dict(self.init_weights)

    @property
    def parameter_infos(self) -> tuple[Parameter, ...]:
        """Its parameters, those marked as fresh that began at random beside others that did not."""
        return tuple(
            replace(p, fresh=bool(self.init_weights) and p.name not in self.init_weights) for p in self.parameters
        )

    @property
    def hidden_layers(self) -> int:
        """How many layers it has before the output layer."""
        return 1 + max(p.layer for p in self.parameters)

    @abstractmethod
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
        """x (fit, batch, n_inputs) → logits (fit, batch, n_outputs) and features; `hidden(h, h_in, site)` at each site, while training.

        Training may update `buffers`, in place, and draw from `noise(site)` if the network `draws`. Where rows of another domain stand
        behind the first `labelled` ones, batch normalisation goes by these alone, so that they come out as without the others.
        """

    @abstractmethod
    def state_dict(self, tensors: Tensors) -> dict[str, Tensor]:
        """One fit's tensors (no fit axis) under the names and in the layout of the same network in plain torch."""

    @abstractmethod
    def load_state(self, state: Tensors) -> dict[str, Tensor]:
        """The inverse of `state_dict`: what `state` has of this network, under our names."""

    @property
    @abstractmethod
    def output_names(self) -> tuple[str, ...]:
        """What plain torch calls the tensors of the output layer."""

    @abstractmethod
    def description(self, dropout: float) -> object:
        """The same network for `hpo predict`, as JSON."""

    @abstractmethod
    def code(self, dropout: float) -> list[str]:
        """Lines of Python that make the same network in plain torch, as `net`."""

    def check(self, smallest: int, device: torch.device) -> None:  # noqa: B027 -- what is ours works
        """Raises InputError if it cannot be built, or not be trained on `device` with `smallest` rows in a minibatch."""

    def notes(self, dropout: bool) -> list[str]:
        """What somebody who searches it should know; `dropout` is whether that is named in the space."""
        del dropout
        return []

    def predict(self, tensors: Tensors, x: Tensor) -> Tensor:
        """Logits without noise, (fit, rows, n_outputs), for x (fit, rows, n_inputs) and parameters and buffers in one."""
        return self.predict_parts(tensors, torch.split(x, backend_for(x.device).block, dim=1)).logits

    def predict_parts(self, tensors: Tensors, parts: Iterable[Tensor], features: bool = False) -> Outputs:
        """The same for an x that comes in parts, so that it need never be whole; with `features`, if they are wanted."""
        with torch.no_grad(), diverging():
            still = [
                self.forward(tensors, tensors, x, hidden=lambda h, *_: h, noise=no_noise, training=False) for x in parts
            ]
            logits = torch.cat([part.logits.transpose(1, 2) for part in still], dim=2).transpose(1, 2)
            told = [part.features for part in still if features and part.features is not None]
            return Outputs(logits, torch.cat(told, dim=1) if told else None)
