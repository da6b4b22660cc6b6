from dataclasses import replace

import torch
from torch import Tensor

from hpo.nn.rng import Noise
from hpo.regularizers.base import Batch, Regularizer, Step


class Crop(Regularizer):
    """Random shifts of images by whole pixels, up to `s` of the side in each direction.

    This equals padding an image with its border and cropping it at a random place.
    """

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
        row, column = (_source_pixels(noise, s, x.shape[1], side) for side in (height, width))
        pixel = (row.unsqueeze(3) * width + column.unsqueeze(2)).flatten(2)  # (fit, batch, height × width)
        shifted = x.view(*x.shape[:2], channels, -1).gather(3, pixel.unsqueeze(2).expand(-1, -1, channels, -1))
        return replace(batch, x=shifted.flatten(2))


def _source_pixels(noise: Noise, s: Tensor, rows: int, side: int) -> Tensor:
    """Return the source position of each pixel along one side after a random shift, (fit, rows, side).

    Shifts are rounded from a range that reaches half a pixel beyond the largest shift, so that all whole shifts are
    equally likely; at strength 0 nothing is shifted.
    """
    largest = (s * side).unsqueeze(1)
    shift = noise.uniform((rows,)).mul(2).sub_(1).mul_(largest + 0.5).round_()
    positions = torch.arange(side, device=s.device) + shift.long().unsqueeze(2)
    return positions.clamp_(0, side - 1)
