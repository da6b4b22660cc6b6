import math
from dataclasses import replace

import torch
from torch import Tensor

from hpo.core.samples import Samples
from hpo.nn.rng import Noise
from hpo.regularizers._fitwise import per_fit
from hpo.regularizers._images import rotate, uniform_within
from hpo.regularizers._sampling import columns_to_inputs
from hpo.regularizers.base import Batch, Regularizer, Step

# The largest differences between a simulated domain and the data, at strength 1.
TURN, SCALE, OFFSET, NOISE, MISSING = math.pi / 2, 0.5, 1.0, 1.0, 0.5


class Randomization(Regularizer):
    """Domain randomization: each sample appears in a simulated domain of its own.

    The changes are drawn uniformly, up to `s` times the largest ones: an image is rotated by up to 90 degrees; all
    inputs, which are standardized, are multiplied by 1/2 to 3/2, shifted by up to 1 and given Gaussian noise with a
    standard deviation of up to 1; and up to half of the columns are missing, that is, set to 0, their mean. A network
    that works in all simulated domains may also work in a new domain.
    """

    name = "randomization"
    summary = "shows each sample in a random simulated domain (rotated, scaled, shifted, noisy), up to this far away"
    needs_rng = "step"
    allowed = (0.0, 1.0)
    open_high = False
    prior = {"low": 0.02, "high": 1.0, "log": True, "optional": True}
    probe = (0.1, 0.8)
    source = (
        "Tobin et al., Domain Randomization for Transferring Deep Neural Networks from Simulation to the Real World, "
        "IROS 2017"
    )

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        x, noise, image = batch.x, step.noise[self.name][0], step.data.image
        if image:
            x = rotate(x, image, uniform_within(noise, s * TURN, x.shape[1]), s > 0)
        scale, offset = (uniform_within(noise, s * largest, x.shape[1]).unsqueeze(2) for largest in (SCALE, OFFSET))
        deviation = (noise.uniform((x.shape[1],)) * per_fit(s * NOISE, x[..., 0])).unsqueeze(2)
        x = x + scale * x + offset + deviation * noise.normal(tuple(x.shape[1:]))
        return replace(batch, x=x * _present_mask(noise, s * MISSING, x, step.data))


def _present_mask(noise: Noise, max_share: Tensor, x: Tensor, data: Samples) -> Tensor:
    """Return 0 for the inputs of missing columns, else 1, (fit, batch, inputs).

    Each sample misses a random share of its columns, at most `max_share` (fit,).
    """
    missing = noise.uniform((x.shape[1],)) * per_fit(max_share, x[..., 0])
    draws = noise.uniform(tuple(x.shape[1:]))
    return columns_to_inputs(torch.ge(draws, missing.unsqueeze(2), out=torch.empty_like(draws)), data)
