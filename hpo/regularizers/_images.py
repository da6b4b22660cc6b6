"""Image operations on minibatches (fit, batch, inputs), in which each row is a flattened (channels, height, width)."""

import torch
from torch import Tensor

from hpo.nn.rng import Noise
from hpo.regularizers._fitwise import per_fit

Image = tuple[int, ...]


def uniform_within(noise: Noise, s: Tensor, rows: int) -> Tensor:
    """Return one uniform number from -s to s per sample, (fit, rows), for `s` (fit,)."""
    return noise.uniform((rows,)).mul(2).sub_(1).mul_(s.unsqueeze(1))


def interval_mask(center: Tensor, extent: Tensor, side: int) -> Tensor:
    """Return 1 for each pixel whose center lies within half an `extent` of `center`, else 0, (…, side).

    `center` and `extent`, both (…), are in pixels along one side.
    """
    pixels = torch.arange(side, dtype=center.dtype, device=center.device) + 0.5
    distance = (pixels - center.unsqueeze(-1)).abs_()
    return torch.lt(distance, extent.unsqueeze(-1) / 2, out=torch.empty_like(distance))


def rectangle_mask(rows: Tensor, columns: Tensor, image: Image) -> Tensor:
    """Return the product of row masks (…, height) and column masks (…, width) as input masks, (…, inputs)."""
    inside = (rows.unsqueeze(-1) * columns.unsqueeze(-2)).flatten(-2)
    return inside.unsqueeze(-2).expand(*inside.shape[:-1], image[0], inside.shape[-1]).flatten(-2)


def pixel_offsets(x: Tensor, image: Image) -> tuple[Tensor, Tensor]:
    """Return the offset of each pixel from the image center: downwards (height, 1), and to the right (width,)."""
    down, right = (torch.arange(side, dtype=x.dtype, device=x.device) - (side - 1) / 2 for side in image[1:])
    return down.unsqueeze(1), right


def resample(
    x: Tensor, image: Image, down: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor], acting: Tensor
) -> Tensor:
    """Return each image sampled at other positions, (fit, batch, inputs).

    `down` and `right` are the positions relative to the center, in pixels, each as two tensors whose sum has the
    shape (fit, batch, height, width). Values between pixels are interpolated linearly; positions outside
    the image have the value of its border. Fits for which `acting` (fit,) is false get `x` itself, bit for bit.
    """
    height, width = image[1:]
    grid = x.new_empty((*x.shape[:2], height, width, 2))
    # The grid is written in place, because stacking the two coordinates takes longer than the sampling.
    for axis, (positions, side) in enumerate(((right, width), (down, height))):
        torch.add(positions[0] * (2 / side), positions[1] * (2 / side), out=grid[..., axis])
    pixels = x.reshape(-1, *image)
    sampled = torch.nn.functional.grid_sample(pixels, grid.flatten(0, 1), padding_mode="border", align_corners=False)
    return torch.lerp(x, sampled.view(x.shape), per_fit(acting.to(x.dtype), x))


def rotate(x: Tensor, image: Image, angle: Tensor, acting: Tensor) -> Tensor:
    """Return each image rotated counterclockwise about its center by `angle` (fit, batch), in radians.

    Fits for which `acting` (fit,) is false get `x` itself, bit for bit.
    """
    angle = angle[..., None, None]
    (down, right), sin, cos = pixel_offsets(x, image), angle.sin(), angle.cos()
    return resample(x, image, (down * cos, right * sin), (right * cos, -down * sin), acting)
