"""Random events per sample, and masks of table columns."""

import torch
from torch import Tensor

from hpo.core.samples import Samples
from hpo.nn.rng import Noise
from hpo.regularizers._fitwise import per_fit


def bernoulli(noise: Noise, s: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return 1 with probability `s` (fit,), else 0, independently for each element, (fit, *shape)."""
    draws = noise.uniform(shape)
    # The result is written as floats: selecting by booleans takes twenty times as long.
    return torch.lt(draws, per_fit(s, draws), out=torch.empty_like(draws))


def columns_to_inputs(column_values: Tensor, data: Samples) -> Tensor:
    """Repeat the value of each table column for all inputs of that column, (fit, batch, inputs).

    `column_values` has the same shape; only its first entries are used, one for each column.
    """
    if not len(data.columns):
        return column_values
    fits, rows, inputs = column_values.shape
    start = torch.arange(rows, device=data.columns.device).mul_(inputs).unsqueeze(1)
    # Select from flat rows, because index_select along the last axis takes four times as long.
    return column_values.flatten(1).index_select(1, (start + data.columns).flatten()).view(fits, rows, inputs)


def column_mask(data: Samples, x: Tensor) -> Tensor:
    """Return a mask (inputs,): a one for each column of the table, then zeros.

    The number of columns is only available on the device; the mask is made without waiting for a GPU.
    """
    ones = x.new_ones(x.shape[2])
    return torch.zeros_like(ones).index_fill_(0, data.columns, 1.0) if len(data.columns) else ones
