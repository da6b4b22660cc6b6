from torch import Tensor

from hpo.regularizers._fitwise import per_fit
from hpo.regularizers.base import Regularizer, Step


class L2Sp(Regularizer):
    """L2-SP (Li, Grandvalet & Davoine, ICML 2018): the penalty strength / 2 × ‖w - w⁰‖² in the loss.

    It pulls every parameter, biases and norms included, towards its initial value: the weights of `network.init`,
    or the random ones. Its gradient passes through Adam's moments, as that of `l2` does. A newly initialized output
    layer is not pulled; the paper's β, which shrinks it, corresponds to `l2` or `weight_decay`.
    """

    name = "l2_sp"
    summary = "pulls all parameters towards their initial values: strength / 2 × squared distance in the loss"
    needs_weight_copy = True
    prior = {"low": 1e-4, "high": 1.0, "log": True, "optional": True}
    probe = (1e-3, 1.0)
    source = (
        "Li, Grandvalet & Davoine, Explicit Inductive Bias for Transfer Learning with Convolutional Networks, ICML 2018"
    )

    def gradient(self, s: Tensor, step: Step) -> None:
        start = step.views(step.weight_copies[self.name])
        for name, grad in step.grads.items():
            if not step.infos[name].newly_initialized:
                grad.add_((step.params[name] - start[name]).mul_(per_fit(s, grad)))
