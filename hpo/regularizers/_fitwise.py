"""Arithmetic on stacked tensors: one number per fit, and sums whose last bit does not depend on other fits."""

from collections.abc import Mapping

import torch
from torch import Tensor

from hpo.regularizers.base import Step


def per_fit(values: Tensor, tensor: Tensor) -> Tensor:
    """Return `values`, one per fit (fit,), reshaped to broadcast against `tensor` (rows, …).

    If `tensor` has fewer rows than there are fits, they are those of the first fits.
    """
    return values[: len(tensor)].view(-1, *[1] * (tensor.dim() - 1))


def lerp_weights_(mean: Tensor, step: Step, values: Tensor, share: Tensor) -> None:
    """Move `mean` (fit, size) by a `share` (fit,) of the distance towards `values`, in place.

    Buffers without a finite mean, such as masks or bounds that contain infinities, are copied from `values`.
    """
    mean.lerp_(values, share.unsqueeze(1))
    buffers = mean[:, step.buffers]
    buffers.copy_(torch.where(buffers.isfinite(), buffers, values[:, step.buffers]))


def fit_norms(tensors: Mapping[str, Tensor], rows: int) -> Tensor:
    """Return the joint norm of all tensors of each fit, (rows,).

    Each tensor (fit, …) may have only the first rows. The sum goes tensor by tensor: in a sum over flat rows, the
    order of the terms, and with it the last bit, would depend on the depth of the deepest network in the stack.
    """
    squares = next(iter(tensors.values())).new_zeros(rows)
    for tensor in tensors.values():
        squares[: len(tensor)] += tensor.square().flatten(1).sum(1)
    return squares.sqrt()
