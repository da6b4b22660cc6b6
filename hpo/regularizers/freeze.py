import torch
from torch import Tensor

from hpo.regularizers._rowwise import along
from hpo.regularizers.base import Regularizer, Step


class Freeze(Regularizer):
    """Frozen layers (Yosinski et al., NeurIPS 2014): the first `s` hidden layers keep the weights that they began with, to the last bit,
    whatever else acts on them; with as many as there are, only the output layer learns, which is feature extraction. Noise still
    acts there. The running statistics of batch normalisation go on following the data, as in torch those of a layer do whose parameters
    want no gradient: what is scored then is normalised as what was learned from (Li et al., AdaBN, 2017)."""

    name = "freeze"
    summary = "keeps the weights of so many first hidden layers as they began; all of them is feature extraction"
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
        for name, fact in step.infos.items():
            if fact.layer >= 0:
                value = step.params[name]
                value.copy_(torch.where(along(s, value) > fact.layer, before[name], value))
