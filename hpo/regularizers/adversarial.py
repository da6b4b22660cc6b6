from dataclasses import replace

import torch
from torch import Tensor

from hpo.regularizers._fitwise import per_fit
from hpo.regularizers.base import Batch, Regularizer, Step


class Adversarial(Regularizer):
    """Adversarial training with the fast gradient sign method.

    Each standardized input moves by `s` in the direction in which the loss rises, and the network learns from the
    moved samples only, as in Wong, Rice & Kolter (ICLR 2020), but without their random start: the perturbation
    starts at the sample itself.
    """

    name = "adversarial"
    summary = "trains on inputs moved by this much in the direction that increases the loss (FGSM)"
    prior = {"low": 1e-3, "high": 0.3, "log": True, "optional": True}
    probe = (1e-2, 0.5)
    source = "Goodfellow, Shlens & Szegedy, Explaining and Harnessing Adversarial Examples, ICLR 2015"

    def perturb(self, s: Tensor, step: Step, batch: Batch, input_grad: Tensor) -> Batch:
        del step
        return replace(batch, x=torch.addcmul(batch.x, input_grad.sign(), per_fit(s, input_grad)))
