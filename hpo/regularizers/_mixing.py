"""What members that mix two samples into one share."""

from dataclasses import replace

import torch
from torch import Tensor

from hpo.regularizers.base import Batch


def partners(t: Tensor) -> Tensor:
    """Of every sample another one of its minibatch, (fit, batch, …): the one before. Minibatches are shuffled, so that is anyone."""
    return t.roll(1, 1)


def mixed(batch: Batch, x: Tensor, share: Tensor) -> Batch:
    """The minibatch with inputs `x`, of which `share` (fit,) is the partners'; so is the rest of it.

    A loss linear in the target comes out as the mean of both samples' own, where each has its weight: the target is mixed by weights.
    """
    part, weight = share.unsqueeze(1), batch.weight
    base = None if batch.offset is None else torch.lerp(batch.offset, partners(batch.offset), part.unsqueeze(2))
    if weight is not None:
        ours, theirs = weight * (1 - part), partners(weight) * part
        weight = ours + theirs
        part = theirs / weight.clamp_min(torch.finfo(weight.dtype).tiny)
    part = part if batch.y.dim() == 2 else part.unsqueeze(2)
    return replace(batch, x=x, y=torch.lerp(batch.y, partners(batch.y), part), weight=weight, offset=base)
