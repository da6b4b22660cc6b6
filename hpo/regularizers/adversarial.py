from dataclasses import replace

import torch
from torch import Tensor

from hpo.regularizers._sampling import beside
from hpo.regularizers.base import Batch, Regularizer, Step


class Adversarial(Regularizer):
    """The fast gradient sign method: every standardised input moves by `s` in the direction in which the loss rises, and the network learns from
    such samples alone, as in Wong, Rice & Kolter (ICLR 2020), but from the samples themselves and not from beside them."""

    name = "adversarial"
    summary = "learns from inputs moved by this much to where the loss is larger (FGSM)"
    prior = {"low": 1e-3, "high": 0.3, "log": True, "optional": True}
    probe = (1e-2, 0.5)
    source = "Goodfellow, Shlens & Szegedy, Explaining and Harnessing Adversarial Examples, ICLR 2015"

    def perturb(self, s: Tensor, step: Step, batch: Batch, slope: Tensor) -> Batch:
        del step
        return replace(batch, x=torch.addcmul(batch.x, slope.sign(), beside(s, slope)))
