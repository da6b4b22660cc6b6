import math
from dataclasses import replace

import torch
from torch import Tensor

from hpo.core.samples import Samples
from hpo.nn.rng import Noise
from hpo.regularizers._images import between, turned
from hpo.regularizers._sampling import beside, spread
from hpo.regularizers.base import Batch, Regularizer, Step

# How far a domain is from the data at most, at strength 1.
TURN, SCALE, OFFSET, NOISE, MISSING = math.pi / 2, 0.5, 1.0, 1.0, 0.5


class Randomization(Regularizer):
    """Each sample is seen in a simulated domain of its own, which is drawn evenly from those that are up to `s` times as far from the data as
    the widest: an image is turned by up to 90 degrees; all inputs, which are standardised, are multiplied by 1/2 to 3/2, moved by up
    to 1 and given Gaussian noise of a standard deviation of up to 1; and up to half of the columns are missing, which is 0, their mean.
    What a network learns in all of them it may keep in a domain that it has not seen."""

    name = "randomization"
    summary = (
        "shows each row in a simulated domain, turned, scaled, moved, noisy, with gaps, up to this far from the data"
    )
    needs_rng = "step"
    allowed = (0.0, 1.0)
    open_high = False
    prior = {"low": 0.02, "high": 1.0, "log": True, "optional": True}
    probe = (0.1, 0.8)
    source = "Tobin et al., Domain Randomization for Transferring Deep Neural Networks from Simulation to the Real World, IROS 2017"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        x, noise, image = batch.x, step.noise[self.name][0], step.data.image
        if image:
            x = turned(x, image, between(noise, s * TURN, x.shape[1]), s > 0)
        scale, offset = (between(noise, s * most, x.shape[1]).unsqueeze(2) for most in (SCALE, OFFSET))
        deviation = (noise.uniform((x.shape[1],)) * beside(s * NOISE, x[..., 0])).unsqueeze(2)
        x = x + scale * x + offset + deviation * noise.normal(tuple(x.shape[1:]))
        return replace(batch, x=x * _there(noise, s * MISSING, x, step.data))


def _there(noise: Noise, most: Tensor, x: Tensor, data: Samples) -> Tensor:
    """0 for the inputs of a column that is missing, else 1, (fit, batch, inputs): of each sample a share of up to `most` (fit,)."""
    missing = noise.uniform((x.shape[1],)) * beside(most, x[..., 0])
    draws = noise.uniform(tuple(x.shape[1:]))
    return spread(torch.ge(draws, missing.unsqueeze(2), out=torch.empty_like(draws)), data)
