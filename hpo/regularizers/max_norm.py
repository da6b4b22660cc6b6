import torch
from torch import Tensor

from hpo.regularizers._fitwise import per_fit
from hpo.regularizers.base import Regularizer, Step


class MaxNorm(Regularizer):
    """Max-norm (Srivastava et al., JMLR 2014, section 5.1).

    After the update the incoming weights of each unit, outputs included, are scaled back to a norm of at most `s`;
    0 is off. A newly initialized linear layer of torch has norms of about 0.58.
    """

    name = "max_norm"
    summary = "keeps the norm of each unit's incoming weights at or below this; 0 is off"
    prior = {"low": 0.5, "high": 3.0, "log": True, "optional": True}
    direction = -1
    probe = (0.3, 0.6)
    source = "Srivastava et al., Dropout, JMLR 2014"

    def after_step(self, s: Tensor, step: Step) -> None:
        for name, info in step.infos.items():
            if info.role == "weight":
                weight = step.params[name]
                incoming = [axis for axis in range(1, weight.dim()) if axis != info.units + 1]
                bound = per_fit(s, weight)
                factor = (bound / weight.square().sum(incoming, keepdim=True).sqrt_()).clamp_(max=1)
                weight.mul_(torch.where(bound > 0, factor, 1))
