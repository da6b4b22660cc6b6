"""Networks as plain torch has them, and the shortcuts of our own: functions as anyone may write one for `network.factory`. They need
torch alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

# What carries the input of a hidden layer past it → how many random numbers that takes for each row of data.
SKIPS = {"none": 0, "residual": 0, "shake-shake": 2, "shake-drop": 3}


class _Shake(torch.autograd.Function):
    """`h` times one factor, and its gradient times another."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, ahead: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return h * ahead

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return grad * back, None, None


def _shake(h: Tensor, ahead: Tensor, back: Tensor) -> Tensor:
    result: Tensor = _Shake.apply(h, ahead, back)  # type: ignore[no-untyped-call]
    return result


def kept(layer: int, depth: int) -> float:
    """The probability with which Shake-Drop leaves a layer as it is: it falls evenly from the first layer, which has no shortcut
    and is always left, to one half in the last. `layer` counts from 0."""
    return 1 - layer / (depth - 1) / 2


def joined(skip: str, branches: Sequence[Tensor], stays: float | Tensor, draws: Tensor | None) -> Tensor:
    """What a layer adds to its input, made of what its branches say, each (…, batch, width).

    `draws` (…, numbers of SKIPS, batch, 1) are uniform in [0, 1) while training; None to evaluate, which gives the expectation.
    Shake-Shake (Gastaldi, 2017) mixes two branches, and divides the gradient between them otherwise than it mixed them.
    Shake-Drop (Yamada et al., IEEE Access 2019) leaves a branch as it is with the probability `stays`, else multiplies it by a
    number in ±1, and its gradient by another in 0 to 1. Every row of data has numbers of its own.
    """
    if skip == "shake-shake":
        a, b = branches
        if draws is None:
            return (a + b) / 2
        ahead, back = draws.unbind(-3)
        return _shake(a, ahead, back) + _shake(b, 1 - ahead, 1 - back)
    (branch,) = branches
    if skip == "residual":
        return branch
    if draws is None:
        return branch * stays
    chance, ahead, back = draws.unbind(-3)
    left = (chance < stays).to(branch.dtype)
    return _shake(branch, left + (1 - left) * (2 * ahead - 1), left + (1 - left) * back)


class _Skip(nn.Module):
    """A layer beside a shortcut."""

    def __init__(self, skip: str, stays: float, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.skip, self.stays, self.branches = skip, stays, nn.ModuleList(branches)

    def draws(self, h: Tensor) -> Tensor:
        return torch.rand(SKIPS[self.skip], len(h), 1, dtype=h.dtype, device=h.device)

    def forward(self, h: Tensor) -> Tensor:
        draws = self.draws(h) if self.training and SKIPS[self.skip] else None
        return h + joined(self.skip, [branch(h) for branch in self.branches], self.stays, draws)


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
    """A multilayer perceptron with shortcuts around its hidden layers, from the second on (`skip`: residual, shake-shake or
    shake-drop); `activation` is the name of a class of torch.nn."""

    def layer(fan_in: int) -> nn.Module:
        norms = ([nn.BatchNorm1d(width)] if batch_norm else []) + ([nn.LayerNorm(width)] if layer_norm else [])
        return nn.Sequential(nn.Linear(fan_in, width), *norms, getattr(nn, activation)(), nn.Dropout(dropout))

    branches = 2 if skip == "shake-shake" else 1
    more = [_Skip(skip, kept(i, depth), [layer(width) for _ in range(branches)]) for i in range(1, depth)]
    return nn.Sequential(layer(n_inputs), *more, nn.Linear(width, n_outputs))


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
    """The ResNet for tables (Gorishniy et al., Revisiting Deep Learning Models for Tabular Data, NeurIPS 2021): `depth`
    blocks of two linear layers beside a shortcut. Both dropouts of a block have the searched rate."""
    head = (nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, n_outputs))
    return nn.Sequential(nn.Linear(n_inputs, width), *(_Block(width) for _ in range(depth)), *head)


def cnn(image: Sequence[int], n_outputs: int, depth: int = 2, width: int = 16) -> nn.Module:
    """A small convolutional network: `depth` times convolution, norm, activation and dropout, of `width` channels at first;
    each further convolution halves the sides and doubles the channels."""
    channels, height, side = image
    layers: list[nn.Module] = []
    for i in range(depth):
        here, stride = width * 2**i, 2 if i else 1
        convolution = nn.Conv2d(channels, here, 3, stride=stride, padding=1)
        layers += [convolution, nn.GroupNorm(1, here), nn.ReLU(), nn.Dropout()]
        channels, height, side = here, -(-height // stride), -(-side // stride)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * side, n_outputs))
