from dataclasses import replace

import torch
from torch import Tensor

from hpo.regularizers._fitwise import per_fit
from hpo.regularizers.base import Batch, Regularizer, Step


class InputNoise(Regularizer):
    """Gaussian noise of standard deviation `s` on every standardized input.

    To first order it is a penalty on the network's slope (Bishop, Neural Computation 1995).
    """

    name = "input_noise"
    summary = "adds Gaussian noise of this standard deviation to the standardized inputs"
    needs_rng = "step"
    prior = {"low": 0.01, "high": 1.0, "log": True, "optional": True}
    probe = (0.05, 1.0)
    source = "Bishop, Training with Noise is Equivalent to Tikhonov Regularization, Neural Computation 1995"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        noise = step.noise[self.name][0].normal(tuple(batch.x.shape[1:]))
        return replace(batch, x=torch.addcmul(batch.x, noise, per_fit(s, noise)))
