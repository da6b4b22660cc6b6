"""What a regularizer is: an immutable object without state that acts at a few fixed moments of a training step.

Order of a step: batch → forward (`hidden` after each hidden layer) → loss → gradient → AdamW (`decay`) → `after_step`. Every hook takes `(s, step, …)`, where `s` is the strength of each row, shape (fit,). A strength is a tensor
and the only case is one strength a row: never branch on its value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from torch import Tensor

from hpo.noise import Noise


@dataclass(frozen=True)
class Parameter:
    """A tensor of the network: its name, its shape without the fit axis, the depth from which on a network has it, and
    its role."""

    name: str
    shape: tuple[int, ...]
    depth: int
    role: Literal["weight", "bias", "norm", "buffer"]


class Weights(Protocol):
    """The weight matrices of all rows, no biases, no norms, as one thing to act on."""

    def soft_threshold_(self, distance: Tensor) -> None:
        """Moves every weight towards zero by its row's `distance` (fit,), and leaves it there once it arrives; in place."""


@dataclass(frozen=True)
class Step:
    """What a hook may look at. Tensors have the fit axis first; those in `params` are changed in place.

    Rows are in order of depth, the deepest first, so a tensor of a deep layer has fewer rows: the first ones.
    """

    params: Mapping[str, Tensor]  # name → (fit, *shape)
    weights: Weights
    lr: Tensor  # (fit,), as scheduled for this step
    noise: Mapping[str, Sequence[Noise]]  # by regularizer and site; empty when evaluating
    training: bool


class Regularizer:
    """The base of the family: facts to fill in, and hooks that do nothing until a member overrides one."""

    name: ClassVar[str]
    summary: ClassVar[str]
    kind: ClassVar[Literal["strength", "structure"]] = "strength"
    draws: ClassVar[bool] = False  # whether it needs random numbers, at each hidden layer
    integer: ClassVar[bool] = False
    allowed: ClassVar[tuple[float, float]] = (0.0, float("inf"))
    open_high: ClassVar[bool] = True  # whether the upper bound itself is excluded
    neutral: ClassVar[float] = 0.0  # the strength that is "off"
    prior: ClassVar[Mapping[str, float | bool]]  # a sane range, written as in a space file
    more: ClassVar[Literal[1, -1]] = 1  # the direction that is more regularized
    probe: ClassVar[tuple[float, float]]  # two strengths that must differ in effect
    source: ClassVar[str]

    def hidden(self, s: Tensor, step: Step, h: Tensor, h_in: Tensor, site: int) -> Tensor:
        """After hidden layer `site`: its output `h` and input `h_in`, both (fit, batch, features), of the rows that have
        this layer; `s` is theirs."""
        del s, step, h_in, site
        return h

    def decay(self, s: Tensor) -> Tensor | None:
        """What AdamW takes off every parameter at a step, (fit,), as a share of it and times the learning rate."""
        del s
        return None

    def after_step(self, s: Tensor, step: Step) -> None:
        """After AdamW."""
