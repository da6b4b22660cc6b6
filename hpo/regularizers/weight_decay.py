import torch
from torch import Tensor

from hpo.regularizers.base import Regularizer, Step, per_row


class WeightDecay(Regularizer):
    """Decoupled weight decay (Loshchilov & Hutter, ICLR 2019), exactly where `torch.optim.AdamW` applies it:
    every parameter shrinks by learning rate × strength before the update."""

    name = "weight_decay"
    summary = "shrinks every parameter by learning rate × strength at each step"
    prior = {"low": 1e-4, "high": 3.0, "log": True}
    probe = (1e-3, 10.0)
    source = "Loshchilov & Hutter, Decoupled Weight Decay Regularization, ICLR 2019"

    def before_step(self, s: Tensor, step: Step) -> None:
        keep = 1 - step.lr * s
        tensors = list(step.params.values())
        torch._foreach_mul_(tensors, [per_row(keep, tensor) for tensor in tensors])
