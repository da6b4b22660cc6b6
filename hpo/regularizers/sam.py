from torch import Tensor

from hpo.regularizers._fitwise import fit_norms
from hpo.regularizers.base import Batch, Regularizer, Step

_EPS = 1e-12  # as in the authors' code


class Sam(Regularizer):
    """Sharpness-aware minimization (Foret et al., ICLR 2021).

    The gradient is taken at the point in the neighborhood where the loss is largest, which to first order lies at
    distance `s` along the gradient, over all parameters of a fit. It needs a second forward and backward pass.
    """

    name = "sam"
    summary = "takes the gradient at this distance uphill, where the loss is largest; doubles the training time"
    prior = {"low": 0.01, "high": 0.5, "log": True, "optional": True}
    probe = (0.01, 1.0)
    source = "Foret et al., Sharpness-Aware Minimization for Efficiently Improving Generalization, ICLR 2021"

    def perturb(self, s: Tensor, step: Step, batch: Batch, input_grad: Tensor) -> Batch:
        del input_grad
        scale = s / (fit_norms(step.grads, len(s)) + _EPS)
        step.flat_params.addcmul_(step.flat_grads, scale.unsqueeze(1))
        return batch
