import torch
from torch import Tensor

from hpo.regularizers._fitwise import per_fit
from hpo.regularizers.base import Regularizer, Step


class Freeze(Regularizer):
    """Frozen layers (Yosinski et al., NeurIPS 2014): the first `s` hidden layers keep their initial weights.

    They stay equal bit for bit, whatever other regularizers do; if all hidden layers are frozen, only the output
    layer learns, which is feature extraction. Noise still acts on frozen layers. As in torch for layers with
    `requires_grad=False`, batch normalization still updates its running statistics, so that training and evaluation
    use the same normalization (Li et al., AdaBN, 2017).
    """

    name = "freeze"
    summary = "keeps this many first hidden layers at their initial weights; all of them: feature extraction"
    needs_previous_weights = True
    integer = True
    allowed = (0, 1000)
    open_high = False
    prior = {"low": 0, "high": 3}
    default_value = 0
    probe = (1, 2)
    source = "Yosinski et al., How transferable are features in deep neural networks?, NeurIPS 2014"

    def after_step(self, s: Tensor, step: Step) -> None:
        assert step.previous_params is not None
        before = step.views(step.previous_params)
        for name, info in step.infos.items():
            if info.layer >= 0:
                value = step.params[name]
                value.copy_(torch.where(per_fit(s, value) > info.layer, before[name], value))
