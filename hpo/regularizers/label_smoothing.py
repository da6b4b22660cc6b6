from dataclasses import replace

import torch
from torch import Tensor

from hpo.regularizers._sampling import beside
from hpo.regularizers.base import Batch, Regularizer, Step


class LabelSmoothing(Regularizer):
    """The target is 1 - s of the true class and s of all classes alike, as in torch's CrossEntropyLoss."""

    name = "label_smoothing"
    summary = "gives this share of the target to all classes alike"
    soft_targets = True
    needs = ("classes",)
    allowed = (0.0, 1.0)
    prior = {"low": 0.01, "high": 0.4, "optional": True}
    probe = (0.05, 0.9)
    source = "Szegedy, Vanhoucke, Ioffe, Shlens & Wojna, Rethinking the Inception Architecture, CVPR 2016"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        del step
        share = beside(s, batch.y)
        return replace(batch, y=torch.addcmul(share / batch.y.shape[2], batch.y, 1 - share))
