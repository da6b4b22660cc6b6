from dataclasses import replace

import torch
from torch import Tensor

from hpo.nn.rng import Noise
from hpo.regularizers._fitwise import per_fit
from hpo.regularizers._images import Image, interval_mask, rectangle_mask
from hpo.regularizers._sampling import column_mask, columns_to_inputs
from hpo.regularizers.base import Batch, Regularizer, Step


class Cutout(Regularizer):
    """A part of every sample is set to 0, which is the mean.

    In images, the part is a square patch, whose side is `s` times the shorter side of the image and which may extend
    beyond the border. In tables, it is the share `s` of the columns, rounded up or down at random.
    """

    name = "cutout"
    summary = "sets a patch with this relative side (in tables: this share of the columns) to 0"
    needs_rng = "step"
    allowed = (0.0, 1.0)
    prior = {"low": 0.05, "high": 0.6, "optional": True}
    probe = (0.2, 0.9)
    source = "DeVries & Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        noise, image = step.noise[self.name][0], step.data.image
        kept = 1 - _patch_mask(noise, s, batch.x, image) if image else _column_mask(noise, s, step, batch.x)
        return replace(batch, x=batch.x * kept)


def _patch_mask(noise: Noise, s: Tensor, x: Tensor, image: Image) -> Tensor:
    """Return 1 for the inputs within the patch of each sample, else 0, (fit, batch, inputs)."""
    extent, places = (s * min(image[1:])).unsqueeze(1), noise.uniform((x.shape[1], 2))
    rows, columns = (interval_mask(places[..., i] * side, extent, side) for i, side in enumerate(image[1:]))
    return rectangle_mask(rows, columns, image)


def _column_mask(noise: Noise, s: Tensor, step: Step, x: Tensor) -> Tensor:
    """Return 0 for the inputs of the columns that each sample loses, else 1, (fit, batch, inputs).

    Each minibatch has a random circular order of the columns; a sample loses consecutive columns from a random
    position on.
    """
    existing = column_mask(step.data, x)
    draws = torch.where(existing > 0, noise.uniform((x.shape[2],)), 2.0)
    rank = draws.argsort(dim=1, stable=True).argsort(dim=1).to(x.dtype) / existing.sum()
    position = columns_to_inputs(rank.unsqueeze(1), step.data) + noise.uniform((x.shape[1], 1))
    position = position.frac_()
    return torch.ge(position, per_fit(s, position), out=torch.empty_like(position))
