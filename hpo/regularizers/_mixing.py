"""Mix each sample of a minibatch with a partner."""

from dataclasses import replace

import torch
from torch import Tensor

from hpo.regularizers.base import Batch


def partners(t: Tensor) -> Tensor:
    """Return a partner for each sample, (fit, batch, …): the sample that precedes it in the minibatch.

    Minibatches are shuffled, so this is a random partner.
    """
    return t.roll(1, 1)


def mix(batch: Batch, x: Tensor, share: Tensor) -> Batch:
    """Return a minibatch with the mixed inputs `x`, in which the share of the partner is `share` (fit,).

    Targets, weights and offsets are mixed in the same proportion.

    If the loss is linear in the target, the loss of a mixture is the mean of the losses for both targets. If
    samples have weights, the share of each target is proportional to its weight.
    """
    part, weight, offset = share.unsqueeze(1), batch.weight, batch.offset
    if offset is not None:
        offset = torch.lerp(offset, partners(offset), part.unsqueeze(2))
    if weight is not None:
        own_weight, partner_weight = weight * (1 - part), partners(weight) * part
        weight = own_weight + partner_weight
        part = partner_weight / weight.clamp_min(torch.finfo(weight.dtype).tiny)
    part = part if batch.y.dim() == 2 else part.unsqueeze(2)
    return replace(batch, x=x, y=torch.lerp(batch.y, partners(batch.y), part), weight=weight, offset=offset)
