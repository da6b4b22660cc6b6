"""The interface of stacked networks: pure functions of tensors whose first axis is the fit axis."""

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
from hpo.nn.linear import ignore_overflow
from hpo.nn.parameter import Parameter
from hpo.nn.rng import Noise

Tensors = Mapping[str, Tensor]
HiddenHook = Callable[[Tensor, Tensor, int], Tensor]  # (h, h_in, site) → h


class Outputs(NamedTuple):
    """The outputs of a network and the inputs of its last linear layer, which are None if it does not expose them."""

    logits: Tensor  # (fit, batch, n_outputs)
    features: Tensor | None  # (fit, batch, width)


def no_noise(site: int) -> Noise:
    """Raise AssertionError. This function is the `noise` argument of a forward pass in evaluation."""
    raise AssertionError(f"evaluation draws no noise, but site {site} requested some")


class BatchedNetwork(ABC):
    """An architecture as functions of tensors (fit, …).

    Networks with equal `stack_key` share a stack, in which the fits are sorted by depth. A network that is not
    `batched` can be computed for only one fit at a time, and is alone in its stack.
    """

    depth: int  # the number of hook points for regularizers
    batched: bool = True
    needs_rng: bool = False  # whether it draws random numbers in training, at each hook point
    width: int | None = None  # the number of features; None if the network does not expose them
    init_weights: Tensors = MappingProxyType({})  # initial tensors that replace those of `init`, without the fit axis

    @property
    @abstractmethod
    def stack_key(self) -> object: ...

    @property
    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]: ...

    @property
    @abstractmethod
    def buffers(self) -> tuple[Parameter, ...]:
        """The tensors, such as running statistics, that are scored, kept and exported, but not trained."""

    @abstractmethod
    def init(self, stream: np.random.Generator) -> dict[str, Tensor]:
        """Return randomly initialized parameters and buffers of one fit by name, without the fit axis."""

    def initial_state(self, stream: np.random.Generator) -> dict[str, Tensor]:
        """Return the initial tensors of a fit: `init_weights`, completed by `init`."""
        return self.init(stream) | dict(self.init_weights)

    @property
    def parameter_infos(self) -> tuple[Parameter, ...]:
        """The parameters. If there are `init_weights`, parameters missing from them are marked as newly initialized."""
        return tuple(
            replace(p, newly_initialized=bool(self.init_weights) and p.name not in self.init_weights)
            for p in self.parameters
        )

    @property
    def hidden_layers(self) -> int:
        """The number of layers before the output layer."""
        return 1 + max(p.layer for p in self.parameters)

    @abstractmethod
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
        """Compute logits (fit, batch, n_outputs) and features for x (fit, batch, n_inputs).

        In training, `hidden(h, h_in, site)` is called at each hook point, `buffers` may be updated in place,
        and a network that `needs_rng` draws from `noise(site)`. The first `labelled` samples may be followed by
        samples of another domain. Batch normalization then uses the statistics of the labelled samples only, so that
        their outputs are the same as without the other samples.
        """

    @abstractmethod
    def state_dict(self, tensors: Tensors) -> dict[str, Tensor]:
        """Return the tensors of one fit, without the fit axis, as the state dict of the same network in plain torch."""

    @abstractmethod
    def load_state(self, state: Tensors) -> dict[str, Tensor]:
        """Return those tensors of a plain torch state dict that this network has, under the names used here."""

    @property
    @abstractmethod
    def output_names(self) -> tuple[str, ...]:
        """The plain torch names of the tensors of the output layer."""

    @abstractmethod
    def description(self, dropout: float) -> object:
        """Return a JSON description from which `hpo predict` builds the network."""

    @abstractmethod
    def code(self, dropout: float) -> list[str]:
        """Return lines of Python that build the network in plain torch as `net`."""

    def check(self, smallest: int, device: torch.device) -> None:  # noqa: B027 -- built-in networks always work
        """Raise InputError if the network cannot be built, or trained on `device` with `smallest` samples per step."""

    def notes(self, dropout: bool) -> list[str]:
        """Return notes for the user of a search; `dropout` tells whether the space contains the key dropout."""
        del dropout
        return []

    def predict(self, tensors: Tensors, x: Tensor) -> Tensor:
        """Return logits without noise, (fit, rows, n_outputs), for x (fit, rows, n_inputs).

        `tensors` contains the parameters and the buffers.
        """
        return self.predict_parts(tensors, torch.split(x, backend_for(x.device).block, dim=1)).logits

    def predict_parts(self, tensors: Tensors, parts: Iterable[Tensor], features: bool = False) -> Outputs:
        """Return the outputs for an x that comes in parts along its rows, so that it need not be in memory as a whole.

        Features are computed if `features` is set.
        """
        with torch.no_grad(), ignore_overflow():
            outputs = [
                self.forward(tensors, tensors, x, hidden=lambda h, *_: h, noise=no_noise, training=False) for x in parts
            ]
            logits = torch.cat([part.logits.transpose(1, 2) for part in outputs], dim=2).transpose(1, 2)
            feature_parts = [part.features for part in outputs if features and part.features is not None]
            return Outputs(logits, torch.cat(feature_parts, dim=1) if feature_parts else None)
