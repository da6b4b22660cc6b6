import torch
from torch import Tensor

from hpo.regularizers._fitwise import per_fit
from hpo.regularizers.base import Regularizer, Step


class LayerLrDecay(Regularizer):
    """Discriminative fine-tuning (Howard & Ruder, ULMFiT, ACL 2018, section 3.2).

    Each layer learns at 1 - `s` times the rate of the next one, the output layer at the full rate. (The paper
    divides by 2.6, which is `s` = 0.62.) The change made by AdamW is scaled, which equals AdamW with the lower
    rate, decay included. Max-norm, L1 and group lasso act afterwards, at the full rate, so that their zeros are
    exact.
    """

    name = "layer_lr_decay"
    summary = "reduces the learning rate of each layer by this share relative to the next one"
    needs_previous_weights = True
    allowed = (0.0, 1.0)
    prior = {"low": 0.1, "high": 0.9, "optional": True}
    probe = (0.2, 0.8)
    source = "Howard & Ruder, Universal Language Model Fine-tuning for Text Classification, ACL 2018"

    def after_step(self, s: Tensor, step: Step) -> None:
        assert step.previous_params is not None
        before = step.views(step.previous_params)
        for name, info in step.infos.items():
            if info.layer >= 0:
                value, previous = step.params[name], before[name]
                rate = per_fit((1 - s) ** (step.layers - info.layer), value)
                # At the full rate the value stays as it is, bit for bit.
                value.copy_(torch.where(rate == 1, value, previous + (value - previous) * rate))
