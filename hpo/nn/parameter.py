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
    depth: int  # the smallest depth of a network that has this tensor
    role: Literal["weight", "bias", "norm", "buffer", "regularizer"]  # "regularizer": trained, but not exported
    units: int = 0  # for a weight: the axis of `shape` that counts its output units
    inputs: int | None = None  # for a weight applied to the data itself: the axis of `shape` that counts its inputs
    layer: int = -1  # the index among the layers with a matrix: 0 for the one next to the data, -1 for the output layer
    newly_initialized: bool = False  # initialized at random, although the network starts from given weights


class WeightMatrices(Protocol):
    """The weight matrices of all fits of a stack, without biases and norms."""

    def soft_threshold_(self, distance: Tensor) -> None:
        """Move every weight towards zero by the `distance` (fit,) of its fit, without crossing zero, in place."""
