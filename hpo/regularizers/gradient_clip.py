import torch
from torch import Tensor

from hpo.regularizers._fitwise import fit_norms
from hpo.regularizers.base import Regularizer, Step

_EPS = 1e-6  # as in torch.nn.utils.clip_grad_norm_


class GradientClip(Regularizer):
    """Gradient clipping (Pascanu et al., ICML 2013) by norm, one fit at a time.

    As in `torch.nn.utils.clip_grad_norm_`, a gradient whose norm over all parameters exceeds `s` is scaled down to
    that norm; 0 is off.
    """

    name = "gradient_clip"
    summary = "scales the gradient of a fit down to at most this norm; 0 is off"
    prior = {"low": 0.01, "high": 2.0, "log": True, "optional": True}
    direction = -1
    probe = (1e-3, 0.1)
    source = "Pascanu, Mikolov & Bengio, On the difficulty of training recurrent neural networks, ICML 2013"

    def gradient(self, s: Tensor, step: Step) -> None:
        factor = (s / (fit_norms(step.grads, len(s)) + _EPS)).clamp_(max=1)
        step.flat_grads.mul_(torch.where(s > 0, factor, 1).unsqueeze(1))
