from torch import Tensor

from hpo.regularizers.base import Regularizer


class WeightDecay(Regularizer):
    """Decoupled weight decay (Loshchilov & Hutter, ICLR 2019), which AdamW applies.

    Every parameter shrinks by learning rate × strength before the update.
    """

    name = "weight_decay"
    summary = "shrinks every parameter by learning rate × strength at each step"
    prior = {"low": 1e-4, "high": 3.0, "log": True, "optional": True}
    probe = (1e-3, 10.0)
    source = "Loshchilov & Hutter, Decoupled Weight Decay Regularization, ICLR 2019"

    def decay(self, s: Tensor) -> Tensor:
        return s
