from torch import Tensor

from hpo.regularizers._rowwise import norm
from hpo.regularizers.base import Batch, Regularizer, Step

_EPS = 1e-12  # of the authors' own code


class Sam(Regularizer):
    """Sharpness-aware minimization (Foret et al., ICLR 2021): the gradient is taken where the loss is largest nearby, to first order
    a distance of `s` along the gradient, over all parameters of a fit. Costs a second pass, forward and backward."""

    name = "sam"
    summary = "takes the gradient at this distance uphill, where the loss is sharpest; twice the time"
    prior = {"low": 0.01, "high": 0.5, "log": True, "optional": True}
    probe = (0.01, 1.0)
    source = "Foret et al., Sharpness-Aware Minimization for Efficiently Improving Generalization, ICLR 2021"

    def perturb(self, s: Tensor, step: Step, batch: Batch, slope: Tensor) -> Batch:
        del slope
        far = s / (norm(step.grads, len(s)) + _EPS)
        step.flat_params.addcmul_(step.flat_grads, far.unsqueeze(1))
        return batch
