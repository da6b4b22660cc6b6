from dataclasses import replace

import torch
from torch import Tensor

from hpo.nn.rng import Noise
from hpo.regularizers.base import Batch, Regularizer, Step


class Crop(Regularizer):
    """Every image is shifted by whole pixels, up to `s` of its side in each direction, as if it were padded with its border and cropped
    at a random place."""

    name = "crop"
    summary = "shifts images by up to this share of their side (pad and crop)"
    needs_rng = "step"
    needs = ("image",)
    allowed = (0.0, 1.0)
    prior = {"low": 0.02, "high": 0.25, "optional": True}
    probe = (0.1, 0.5)
    source = "He, Zhang, Ren & Sun, Deep Residual Learning for Image Recognition, CVPR 2016 (as on CIFAR-10)"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        noise, x = step.noise[self.name][0], batch.x
        channels, height, width = step.data.image
        row, column = (_places(noise, s, x.shape[1], side) for side in (height, width))
        pixel = (row.unsqueeze(3) * width + column.unsqueeze(2)).flatten(2)  # (fit, batch, height × width)
        seen = x.view(*x.shape[:2], channels, -1).gather(3, pixel.unsqueeze(2).expand(-1, -1, channels, -1))
        return replace(batch, x=seen.flatten(2))


def _places(noise: Noise, s: Tensor, rows: int, side: int) -> Tensor:
    """Where each pixel of a side comes from after a shift, (fit, rows, side).

    Rounded from half a pixel beyond the largest shift on, so that all shifts up to it are equally likely; at 0 none is shifted.
    """
    largest = (s * side).unsqueeze(1)
    shift = noise.uniform((rows,)).mul(2).sub_(1).mul_(largest + 0.5).round_()
    places = torch.arange(side, device=s.device) + shift.long().unsqueeze(2)
    return places.clamp_(0, side - 1)
