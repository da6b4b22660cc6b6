import torch
from torch import Tensor

from hpo.regularizers._fitwise import per_fit
from hpo.regularizers._mixing import mix, partners
from hpo.regularizers.base import Batch, Regularizer, Step


class Mixup(Regularizer):
    """Mixup: samples are mixed with others of their minibatch, inputs and targets alike.

    A mixture has λ of a sample and 1 - λ of its partner, with one λ per minibatch from Beta(s, s).
    """

    name = "mixup"
    summary = "mixes pairs of samples, inputs and targets, in proportions drawn from Beta(s, s)"
    needs_rng = "step"
    soft_targets = True
    prior = {"low": 0.05, "high": 2.0, "log": True, "optional": True}
    probe = (0.05, 5.0)
    source = "Zhang, Cisse, Dauphin & Lopez-Paz, mixup: Beyond Empirical Risk Minimization, ICLR 2018"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        share = 1 - step.noise[self.name][0].beta(s, ())
        return mix(batch, torch.lerp(batch.x, partners(batch.x), per_fit(share, batch.x)), share)
