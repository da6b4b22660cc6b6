import torch
from torch import Tensor

from hpo.regularizers._rowwise import norm
from hpo.regularizers.base import Regularizer, Step

_EPS = 1e-6  # torch.nn.utils.clip_grad_norm_'s


class GradientClip(Regularizer):
    """Gradient clipping (Pascanu et al., ICML 2013) as `torch.nn.utils.clip_grad_norm_` does it, a fit at a time: a gradient whose
    norm over all parameters is above `s` is scaled down to it; 0 is off."""

    name = "gradient_clip"
    summary = "scales a fit's gradient down to a norm of at most this; 0 is off"
    prior = {"low": 0.01, "high": 2.0, "log": True, "optional": True}
    direction = -1
    probe = (1e-3, 0.1)
    source = "Pascanu, Mikolov & Bengio, On the difficulty of training recurrent neural networks, ICML 2013"

    def gradient(self, s: Tensor, step: Step) -> None:
        kept = (s / (norm(step.grads, len(s)) + _EPS)).clamp_(max=1)
        step.flat_grads.mul_(torch.where(s > 0, kept, 1).unsqueeze(1))
