from torch import Tensor

from hpo.regularizers._fitwise import per_fit
from hpo.regularizers.base import Regularizer, Step


class GradientNoise(Regularizer):
    """Gaussian noise on the gradient that fades out (Neelakantan et al., 2015).

    Its variance is strength / (1 + t)^0.55 at step t of a fit, counted from 0.
    """

    name = "gradient_noise"
    summary = "adds Gaussian noise to the gradient, with this variance at first and less at each step"
    needs_rng = "parameter"
    prior = {"low": 1e-6, "high": 1e-2, "log": True, "optional": True}
    probe = (1e-4, 1.0)
    source = "Neelakantan et al., Adding Gradient Noise Improves Learning for Very Deep Networks, 2015"

    def gradient(self, s: Tensor, step: Step) -> None:
        steps_done = (step.epoch - 1) * step.minibatches + step.minibatch
        deviation = (s / (1 + steps_done) ** 0.55).sqrt()
        for name, grad in step.grads.items():
            noise = step.noise[self.name][name].normal(tuple(grad.shape[1:]))
            grad.addcmul_(noise, per_fit(deviation, grad))
