"""The networks `resnet` and `cnn`: functions as anyone may write one for `network.factory`. They need torch alone."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        inner = 2 * width
        self.branch = nn.Sequential(
            nn.BatchNorm1d(width), nn.Linear(width, inner), nn.ReLU(), nn.Dropout(), nn.Linear(inner, width), nn.Dropout()
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
