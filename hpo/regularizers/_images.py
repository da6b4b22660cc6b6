"""What members that act on images share. A minibatch of them is (fit, batch, inputs), each row `image` = (channels, height, width) flat."""

import torch
from torch import Tensor

from hpo.nn.rng import Noise
from hpo.regularizers._sampling import beside

Image = tuple[int, ...]


def between(noise: Noise, s: Tensor, rows: int) -> Tensor:
    """A number from -s to s for each sample, `s` (fit,); returns (fit, rows)."""
    return noise.uniform((rows,)).mul(2).sub_(1).mul_(s.unsqueeze(1))


def covered(centre: Tensor, extent: Tensor, side: int) -> Tensor:
    """1 for each pixel of a side whose middle is within half an `extent` of `centre`, both (…) in pixels, else 0; (…, side)."""
    middles = torch.arange(side, dtype=centre.dtype, device=centre.device) + 0.5
    away = (middles - centre.unsqueeze(-1)).abs_()
    return torch.lt(away, extent.unsqueeze(-1) / 2, out=torch.empty_like(away))


def rectangle(rows: Tensor, columns: Tensor, image: Image) -> Tensor:
    """The inputs that lie in both, `rows` (…, height) and `columns` (…, width) of 0 and 1; (…, inputs)."""
    inside = (rows.unsqueeze(-1) * columns.unsqueeze(-2)).flatten(-2)
    return inside.unsqueeze(-2).expand(*inside.shape[:-1], image[0], inside.shape[-1]).flatten(-2)


def centred(x: Tensor, image: Image) -> tuple[Tensor, Tensor]:
    """How far each pixel is below the centre, (height, 1), and right of it, (width,)."""
    down, right = (torch.arange(side, dtype=x.dtype, device=x.device) - (side - 1) / 2 for side in image[1:])
    return down.unsqueeze(1), right


def sampled(
    x: Tensor, image: Image, down: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor], acting: Tensor
) -> Tensor:
    """Each image as seen at other places: `down` below its centre and `right` of it, in pixels, each the sum of a pair that gives
    (fit, batch, height, width); between pixels linearly, and beyond the border as on it. Bit for bit `x` for the fits where
    `acting` (fit,) is false."""
    sides = image[1:]
    grid = x.new_empty((*x.shape[:2], *sides, 2))
    # Written to their place at once: to stack them takes longer than to sample.
    for i, ((one, other), side) in enumerate(((right, sides[1]), (down, sides[0]))):
        torch.add(one * (2 / side), other * (2 / side), out=grid[..., i])
    pixels = x.reshape(-1, *image)
    found = torch.nn.functional.grid_sample(pixels, grid.flatten(0, 1), padding_mode="border", align_corners=False)
    return torch.lerp(x, found.view(x.shape), beside(acting.to(x.dtype), x))


def turned(x: Tensor, image: Image, angle: Tensor, acting: Tensor) -> Tensor:
    """Each image turned about its centre by an `angle` (fit, batch), to the left; bit for bit `x` for the fits where `acting` (fit,) is
    false."""
    angle = angle[..., None, None]
    (down, right), sin, cos = centred(x, image), angle.sin(), angle.cos()
    return sampled(x, image, (down * cos, right * sin), (right * cos, -down * sin), acting)
