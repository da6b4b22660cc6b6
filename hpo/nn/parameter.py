"""What the tensors of a network are, and how all weights of all rows are acted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Parameter:
    """A tensor of the network: its name, its shape without the fit axis, the depth from which on a network has it, and
    its role. Of a weight, `units` is the axis of that shape that counts what it computes, and `inputs`, if it meets the data
    themselves, the axis that counts their columns. What is `own` belongs to a regularizer: it is trained with the network, and left behind.

    `layer` counts the layers that have a matrix, from 0 at the data; -1 is the output layer, where there may be fewer layers before it in
    one row than in another. What is `fresh` began at random in a network that began with the weights of another."""

    name: str
    shape: tuple[int, ...]
    depth: int
    role: Literal["weight", "bias", "norm", "buffer", "own"]
    units: int = 0
    inputs: int | None = None
    layer: int = -1
    fresh: bool = False


class WeightMatrices(Protocol):
    """The weight matrices of all rows, no biases, no norms, as one thing to act on."""

    def soft_threshold_(self, distance: Tensor) -> None:
        """Moves every weight towards zero by its row's `distance` (fit,), and leaves it there once it arrives; in place."""
