"""Descriptions of a network's tensors, and the interface to the weight matrices of a whole stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Parameter:
    """The description of one trained tensor or buffer of a network, or of a regularizer."""

    name: str
    shape: tuple[int, ...]  # without the fit axis
    depth: int  # the smallest depth of a network that has it
    role: Literal["weight", "bias", "norm", "buffer", "regularizer"]  # "regularizer": trained, but not exported
    units: int = 0  # of a weight, the axis of `shape` that counts its output units
    inputs: int | None = None  # of a weight applied to the data itself, the axis of `shape` that counts its inputs
    layer: int = -1  # the layer, counting those with a matrix, from 0 at the data; -1 for the output layer
    fresh: bool = False  # whether it began at random while other tensors of the network began with given weights


class WeightMatrices(Protocol):
    """The weight matrices of all fits of a stack, without biases and norms."""

    def soft_threshold_(self, distance: Tensor) -> None:
        """Move every weight towards zero by the `distance` (fit,) of its fit, without crossing zero, in place."""
