"""What members that act on a minibatch share: strengths beside tensors, events that happen with a probability, and the columns of
a table."""

import torch
from torch import Tensor

from hpo.core.samples import Samples
from hpo.nn.rng import Noise


def beside(s: Tensor, other: Tensor) -> Tensor:
    """A number a fit, shape (fit,), so that it broadcasts against `other` (fit, …)."""
    return s.view(-1, *[1] * (other.dim() - 1))


def happens(noise: Noise, s: Tensor, shape: tuple[int, ...]) -> Tensor:
    """1 with probability `s` (fit,), else 0, each for itself; returns (fit, *shape)."""
    draws = noise.uniform(shape)
    # Written into floats: choosing by truth values takes twenty times as long.
    return torch.lt(draws, beside(s, draws), out=torch.empty_like(draws))


def spread(of_columns: Tensor, data: Samples) -> Tensor:
    """What each column of the table has, (fit, batch, inputs) of which those beyond the last column count for nothing, as all of its
    inputs have it."""
    if not len(data.columns):
        return of_columns
    fits, rows, inputs = of_columns.shape
    start = torch.arange(rows, device=data.columns.device).mul_(inputs).unsqueeze(1)
    # Of a flat row, since picking from the last axis takes four times as long.
    return of_columns.flatten(1).index_select(1, (start + data.columns).flatten()).view(fits, rows, inputs)


def occurring(data: Samples, x: Tensor) -> Tensor:
    """1 for each number that a column of the table has, of the numbers from 0 to as many as there are inputs, else 0; (inputs,).

    How many columns there are is not known on the host, and a GPU need not be waited for to know it.
    """
    ones = x.new_ones(x.shape[2])
    return torch.zeros_like(ones).index_fill_(0, data.columns, 1.0) if len(data.columns) else ones
