"""Arithmetic of rows that share tensors: one number a row, and sums whose last bit does not depend on neighbours."""

from collections.abc import Mapping

import torch
from torch import Tensor

from hpo.regularizers.base import Step


def along(number: Tensor, tensor: Tensor) -> Tensor:
    """One number a row, (fit,), in the form in which it multiplies `tensor` (rows, …), whose rows are the first of them."""
    return number[: len(tensor)].view(-1, *[1] * (tensor.dim() - 1))


def follow_(mean: Tensor, step: Step, values: Tensor, share: Tensor) -> None:
    """Moves `mean` (fit, size) by a `share` (fit,) of the way to `values`, in place.

    Buffers that have no finite mean, as a mask of infinities, or bounds that begin with them, are as in `values`.
    """
    mean.lerp_(values, share.unsqueeze(1))
    buffers = mean[:, step.buffers]
    buffers.copy_(torch.where(buffers.isfinite(), buffers, values[:, step.buffers]))


def norm(tensors: Mapping[str, Tensor], rows: int) -> Tensor:
    """The norm of all that each row has, (rows,); each tensor (fit, …) may have the first rows only.

    Tensor by tensor: in a sum over flat rows the order of the terms, and with it the last bit, would hang on how deep the
    deepest neighbour is.
    """
    squares = next(iter(tensors.values())).new_zeros(rows)
    for tensor in tensors.values():
        squares[: len(tensor)] += tensor.square().flatten(1).sum(1)
    return squares.sqrt()
