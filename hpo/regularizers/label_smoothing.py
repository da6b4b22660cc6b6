from dataclasses import replace

import torch
from torch import Tensor

from hpo.regularizers._fitwise import per_fit
from hpo.regularizers.base import Batch, Regularizer, Step


class LabelSmoothing(Regularizer):
    """Label smoothing as in torch's CrossEntropyLoss.

    The target is 1 - s for the true class, plus `s` distributed evenly over all classes.
    """

    name = "label_smoothing"
    summary = "distributes this share of the target evenly over all classes"
    soft_targets = True
    needs = ("classes",)
    allowed = (0.0, 1.0)
    prior = {"low": 0.01, "high": 0.4, "optional": True}
    probe = (0.05, 0.9)
    source = "Szegedy, Vanhoucke, Ioffe, Shlens & Wojna, Rethinking the Inception Architecture, CVPR 2016"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        del step
        smoothing = per_fit(s, batch.y)
        return replace(batch, y=torch.addcmul(smoothing / batch.y.shape[2], batch.y, 1 - smoothing))
