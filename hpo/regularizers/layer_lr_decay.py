import torch
from torch import Tensor

from hpo.regularizers._rowwise import along
from hpo.regularizers.base import Regularizer, Step


class LayerLrDecay(Regularizer):
    """Discriminative fine-tuning (Howard & Ruder, ULMFiT, ACL 2018, section 3.2): each layer learns at 1 - `s` times the rate of the one
    behind it, the output layer at the whole rate. (The paper divides by 2.6, which is `s` = 0.62.) What AdamW changed is scaled, which
    is AdamW with that rate, decay included; max-norm, L1 and group lasso act behind it, with the whole rate, so that their zeros
    are zeros."""

    name = "layer_lr_decay"
    summary = "lets each layer learn slower than the one behind it, by this share; the output layer at the whole rate"
    needs_previous_weights = True
    allowed = (0.0, 1.0)
    prior = {"low": 0.1, "high": 0.9, "optional": True}
    probe = (0.2, 0.8)
    source = "Howard & Ruder, Universal Language Model Fine-tuning for Text Classification, ACL 2018"

    def after_step(self, s: Tensor, step: Step) -> None:
        assert step.previous_params is not None
        before = step.views(step.previous_params)
        for name, fact in step.infos.items():
            if fact.layer >= 0:
                value, was = step.params[name], before[name]
                rate = along((1 - s) ** (step.layers - fact.layer), value)
                value.copy_(
                    torch.where(rate == 1, value, was + (value - was) * rate)
                )  # at the whole rate to the last bit
