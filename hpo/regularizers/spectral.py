import torch
from torch import Tensor

from hpo.regularizers._fitwise import per_fit
from hpo.regularizers.base import Regularizer, Step

_ITERATIONS = 3


class Spectral(Regularizer):
    """Spectral norm regularization (Yoshida & Miyato, 2017).

    The penalty is strength / 2 × σ² for each weight matrix, where σ is its largest singular value; a convolution
    counts as a matrix (units, rest).

    The singular vectors come from a power iteration that restarts at each step, from the incoming weights of the
    unit with the largest norm, so that the result depends on the weights of the fit only.
    """

    name = "spectral"
    summary = "adds strength / 2 × squared largest singular value of each weight matrix to the loss"
    prior = {"low": 1e-3, "high": 1.0, "log": True, "optional": True}
    probe = (1e-2, 10.0)
    source = "Yoshida & Miyato, Spectral Norm Regularization for Improving the Generalizability of Deep Learning, 2017"

    def gradient(self, s: Tensor, step: Step) -> None:
        for name, info in step.infos.items():
            if info.role == "weight":
                grad = step.grads[name].movedim(info.units + 1, 1)
                u, projected = _leading(step.params[name].detach().movedim(info.units + 1, 1).flatten(2))
                grad.addcmul_((u * projected).view(grad.shape), per_fit(s, grad))


def _leading(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the leading left singular vector and its projection for `weight` (fit, units, rest).

    These are u (fit, units, 1) and weightᵀ·u (fit, 1, rest); the latter is σ times the right singular vector. Both
    are zero for a weight of zeros.
    """
    largest = weight.square().sum(2).argmax(1).view(-1, 1, 1)
    v = weight.take_along_dim(largest, 1)
    for _ in range(_ITERATIONS):
        # Multiply and sum instead of bmm: several times faster for one vector, and independent of other fits.
        u = _unit(weight * v, 2)
        v = (weight * u).sum(1, keepdim=True)
    return u, v


def _unit(products: Tensor, axis: int) -> Tensor:
    """Return the sum over `axis` as a vector of norm 1."""
    vector = products.sum(axis, keepdim=True)
    return vector / vector.square().sum(1, keepdim=True).sqrt().clamp_min(torch.finfo(vector.dtype).tiny)
