from torch import Tensor

from hpo.regularizers._fitwise import per_fit
from hpo.regularizers.base import Regularizer, Step


class L2(Regularizer):
    """The classical L2 penalty strength / 2 × ‖w‖² in the loss (ridge: Hoerl & Kennard, Technometrics 1970).

    It covers weight matrices, not biases and norms. Its gradient, strength × w, passes through Adam's moments, so
    that weights with large gradients shrink less; `weight_decay` bypasses the moments.
    """

    name = "l2"
    summary = "adds strength / 2 × squared weights to the loss; unlike weight decay, Adam rescales it"
    prior = {"low": 1e-5, "high": 0.1, "log": True, "optional": True}
    probe = (1e-3, 1.0)
    source = "Krogh & Hertz, A Simple Weight Decay Can Improve Generalization, NeurIPS 1991"

    def gradient(self, s: Tensor, step: Step) -> None:
        for name, grad in step.grads.items():
            if step.infos[name].role == "weight":
                grad.addcmul_(step.params[name], per_fit(s, grad))
