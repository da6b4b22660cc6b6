from torch import Tensor

from hpo.regularizers._rowwise import along
from hpo.regularizers.base import Regularizer, Step


class GradientNoise(Regularizer):
    """Gaussian noise on the gradient (Neelakantan et al., 2015) that fades out: of variance strength / (1 + t)^0.55 at the step t of
    a fit, from 0."""

    name = "gradient_noise"
    summary = "adds normal noise to the gradient: of this variance at first, then less and less"
    needs_rng = "parameter"
    prior = {"low": 1e-6, "high": 1e-2, "log": True, "optional": True}
    probe = (1e-4, 1.0)
    source = "Neelakantan et al., Adding Gradient Noise Improves Learning for Very Deep Networks, 2015"

    def gradient(self, s: Tensor, step: Step) -> None:
        before = (step.epoch - 1) * step.minibatches + step.minibatch
        deviation = (s / (1 + before) ** 0.55).sqrt()
        for name, grad in step.grads.items():
            noise = step.noise[self.name][name].normal(tuple(grad.shape[1:]))
            grad.addcmul_(noise, along(deviation, grad))
