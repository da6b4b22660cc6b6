from dataclasses import replace

import torch
from torch import Tensor

from hpo.nn.rng import Noise
from hpo.regularizers._images import Image, covered, rectangle
from hpo.regularizers._sampling import beside, occurring, spread
from hpo.regularizers.base import Batch, Regularizer, Step


class Cutout(Regularizer):
    """A part of every sample is set to 0, the mean: of images a square patch, whose side is `s` of the image's shorter one and which may
    stick out of it, of tables that share of the columns, rounded up or down at random."""

    name = "cutout"
    summary = "sets a patch of this side (of tables: this share of the columns) to 0"
    needs_rng = "step"
    allowed = (0.0, 1.0)
    prior = {"low": 0.05, "high": 0.6, "optional": True}
    probe = (0.2, 0.9)
    source = "DeVries & Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        noise, image = step.noise[self.name][0], step.data.image
        staying = 1 - _patch(noise, s, batch.x, image) if image else _columns(noise, s, step, batch.x)
        return replace(batch, x=batch.x * staying)


def _patch(noise: Noise, s: Tensor, x: Tensor, image: Image) -> Tensor:
    """1 for the inputs within the patch of each sample, else 0, (fit, batch, inputs)."""
    extent, places = (s * min(image[1:])).unsqueeze(1), noise.uniform((x.shape[1], 2))
    rows, columns = (covered(places[..., i] * side, extent, side) for i, side in enumerate(image[1:]))
    return rectangle(rows, columns, image)


def _columns(noise: Noise, s: Tensor, step: Step, x: Tensor) -> Tensor:
    """0 for the inputs of the columns that each sample loses, else 1, (fit, batch, inputs).

    A minibatch has one random order of the columns, in a circle; a sample begins somewhere, and loses those that follow.
    """
    there = occurring(step.data, x)
    draws = torch.where(there > 0, noise.uniform((x.shape[2],)), 2.0)
    rank = draws.argsort(dim=1, stable=True).argsort(dim=1).to(x.dtype) / there.sum()
    place = spread(rank.unsqueeze(1), step.data) + noise.uniform((x.shape[1], 1))
    place = place.frac_()
    return torch.ge(place, beside(s, place), out=torch.empty_like(place))
