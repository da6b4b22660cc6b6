"""Network factories in plain torch, usable as `network.factory`, and the skip connections of the built-in MLP.

The module depends on torch only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

# The kind of connection around a hidden layer → the number of random numbers per sample that it needs in training.
SKIPS = {"none": 0, "residual": 0, "shake-shake": 2, "shake-drop": 3}


class _Scale(torch.autograd.Function):
    """Multiplies `h` by one factor, and its gradient by another."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, forward_factor: Tensor, backward_factor: Tensor) -> Tensor:
        ctx.save_for_backward(backward_factor)
        return h * forward_factor

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (backward_factor,) = ctx.saved_tensors
        return grad * backward_factor, None, None


def _scale(h: Tensor, forward_factor: Tensor, backward_factor: Tensor) -> Tensor:
    result: Tensor = _Scale.apply(h, forward_factor, backward_factor)  # type: ignore[no-untyped-call]  # torch has no type for `apply`
    return result


def keep_probability(layer: int, depth: int) -> float:
    """Return the probability with which ShakeDrop leaves a layer unchanged.

    It falls linearly from 1 for the first layer, which has no skip connection, to one half for the last.
    `layer` counts from 0.
    """
    return 1 - layer / (depth - 1) / 2


def combine_branches(skip: str, branches: Sequence[Tensor], keep: float | Tensor, draws: Tensor | None) -> Tensor:
    """Combine the outputs of a layer's branches, each (…, batch, width), into the term that is added to its input.

    `draws` (…, SKIPS[skip], batch, 1) are uniform in [0, 1), different for each sample; None in evaluation, which
    uses the expectation. Shake-Shake (Gastaldi, 2017) mixes two branches and divides the gradient between them in
    different proportions. ShakeDrop (Yamada et al., IEEE Access 2019) leaves a branch unchanged with probability
    `keep`; otherwise it multiplies the branch by a number between -1 and 1, and its gradient by another
    number between 0 and 1.
    """
    if skip == "shake-shake":
        first, second = branches
        if draws is None:
            return (first + second) / 2
        forward, backward = draws.unbind(-3)
        return _scale(first, forward, backward) + _scale(second, 1 - forward, 1 - backward)
    (branch,) = branches
    if skip == "residual":
        return branch
    if draws is None:
        return branch * keep
    chance, forward, backward = draws.unbind(-3)
    kept = (chance < keep).to(branch.dtype)
    return _scale(branch, kept + (1 - kept) * (2 * forward - 1), kept + (1 - kept) * backward)


class SkipBlock(nn.Module):
    """A layer with a skip connection around it."""

    def __init__(self, skip: str, keep: float, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.skip, self.keep, self.branches = skip, keep, nn.ModuleList(branches)

    def draws(self, h: Tensor) -> Tensor:
        return torch.rand(SKIPS[self.skip], len(h), 1, dtype=h.dtype, device=h.device)

    def forward(self, h: Tensor) -> Tensor:
        draws = self.draws(h) if self.training and SKIPS[self.skip] else None
        return h + combine_branches(self.skip, [branch(h) for branch in self.branches], self.keep, draws)


def residual(
    n_inputs: int,
    n_outputs: int,
    depth: int = 2,
    width: int = 128,
    skip: str = "residual",
    activation: str = "ReLU",
    *,
    batch_norm: bool = False,
    layer_norm: bool = False,
    dropout: float = 0.0,
) -> nn.Module:
    """Return a multilayer perceptron with skip connections around its hidden layers, from the second one on.

    `skip` is residual, shake-shake or shake-drop; `activation` is the name of a class of torch.nn.
    """

    def layer(fan_in: int) -> nn.Module:
        norms = ([nn.BatchNorm1d(width)] if batch_norm else []) + ([nn.LayerNorm(width)] if layer_norm else [])
        return nn.Sequential(nn.Linear(fan_in, width), *norms, getattr(nn, activation)(), nn.Dropout(dropout))

    branches = 2 if skip == "shake-shake" else 1
    hidden = [
        SkipBlock(skip, keep_probability(i, depth), [layer(width) for _ in range(branches)]) for i in range(1, depth)
    ]
    return nn.Sequential(layer(n_inputs), *hidden, nn.Linear(width, n_outputs))


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        inner = 2 * width
        self.branch = nn.Sequential(
            nn.BatchNorm1d(width),
            nn.Linear(width, inner),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(inner, width),
            nn.Dropout(),
        )

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = h + self.branch(h)
        return out


def resnet(n_inputs: int, n_outputs: int, depth: int = 2, width: int = 128) -> nn.Module:
    """Return a ResNet for tabular data (Gorishniy et al., NeurIPS 2021).

    It has `depth` blocks of two linear layers with a skip connection. Both dropouts of a block have the searched
    rate. Paper: Revisiting Deep Learning Models for Tabular Data.
    """
    head = (nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, n_outputs))
    return nn.Sequential(nn.Linear(n_inputs, width), *(_Block(width) for _ in range(depth)), *head)


def cnn(image: Sequence[int], n_outputs: int, depth: int = 2, width: int = 16) -> nn.Module:
    """Return a small convolutional network: convolution, norm, activation and dropout, repeated `depth` times.

    The first convolution has `width` channels; each further one halves the sides and doubles the channels.
    """
    channels, height, side = image
    layers: list[nn.Module] = []
    for i in range(depth):
        out_channels, stride = width * 2**i, 2 if i else 1
        convolution = nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1)
        layers += [convolution, nn.GroupNorm(1, out_channels), nn.ReLU(), nn.Dropout()]
        channels, height, side = out_channels, -(-height // stride), -(-side // stride)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * side, n_outputs))
