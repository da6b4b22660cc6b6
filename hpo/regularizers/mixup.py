import torch
from torch import Tensor

from hpo.regularizers._mixing import mixed, partners
from hpo.regularizers._sampling import beside
from hpo.regularizers.base import Batch, Regularizer, Step


class Mixup(Regularizer):
    """Samples are mixed with others of their minibatch, inputs and targets alike: λ of a sample and 1 - λ of its partner, with one λ a
    minibatch from Beta(s, s)."""

    name = "mixup"
    summary = "mixes samples in pairs, inputs and targets, by shares from Beta(s, s)"
    needs_rng = "step"
    soft_targets = True
    prior = {"low": 0.05, "high": 2.0, "log": True, "optional": True}
    probe = (0.05, 5.0)
    source = "Zhang, Cisse, Dauphin & Lopez-Paz, mixup: Beyond Empirical Risk Minimization, ICLR 2018"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        share = 1 - step.noise[self.name][0].beta(s, ())
        return mixed(batch, torch.lerp(batch.x, partners(batch.x), beside(share, batch.x)), share)
