import torch
from torch import Tensor

from hpo.regularizers._rowwise import along
from hpo.regularizers.base import Regularizer, Step

_ITERATIONS = 3


class Spectral(Regularizer):
    """Spectral norm regularization (Yoshida & Miyato, 2017): a penalty of strength / 2 × σ² for each weight matrix, where σ is its
    largest singular value; a convolution counts as a matrix (units, rest).

    The singular vectors come from a power iteration that begins anew at each step, with the incoming weights of the unit that has
    the largest: a row's numbers hang on its weights alone.
    """

    name = "spectral"
    summary = "adds half the strength × squared largest singular value of each weight matrix to the loss"
    prior = {"low": 1e-3, "high": 1.0, "log": True, "optional": True}
    probe = (1e-2, 10.0)
    source = "Yoshida & Miyato, Spectral Norm Regularization for Improving the Generalizability of Deep Learning, 2017"

    def gradient(self, s: Tensor, step: Step) -> None:
        for name, fact in step.infos.items():
            if fact.role == "weight":
                grad = step.grads[name].movedim(fact.units + 1, 1)
                u, projected = _leading(step.params[name].detach().movedim(fact.units + 1, 1).flatten(2))
                grad.addcmul_((u * projected).view(grad.shape), along(s, grad))


def _leading(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Of weight (fit, units, rest) the leading left singular vector u (fit, units, 1), and weightᵀ·u (fit, 1, rest), which is σ times
    the right one. Zeros of a weight that is zero."""
    largest = weight.square().sum(2).argmax(1).view(-1, 1, 1)
    v = weight.take_along_dim(largest, 1)
    for _ in range(_ITERATIONS):
        # Products and sums, and not bmm: several times as fast for one vector, and a row's bits are its own.
        u = _unit(weight * v, 2)
        v = (weight * u).sum(1, keepdim=True)
    return u, v


def _unit(products: Tensor, axis: int) -> Tensor:
    """The sum over an axis of 2, as a vector of norm 1."""
    vector = products.sum(axis, keepdim=True)
    return vector / vector.square().sum(1, keepdim=True).sqrt().clamp_min(torch.finfo(vector.dtype).tiny)
