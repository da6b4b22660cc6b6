"""Random numbers for a stack of fits, drawn here and (initial weights) by the networks, from the fits' own streams.

Each fit has its own stream for each use (see `Fit.stream`), so what it draws depends neither on its neighbours nor on
its row. Drawing a row at a time for every layer and minibatch costs 10 to 17 % of a step; here every row draws a block,
and the block is handed out in slices. A stack's rows ask for the same shapes in the same order from an epoch's start,
so one position serves all of them, and blocks never outlive an epoch: a row that was admitted later sees the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_BLOCK = 1 << 14  # draws a row and refill, at least


class Noise:
    """The streams of one use for some rows of a stack, valid for one epoch."""

    def __init__(self, streams: Sequence[np.random.Generator], dtype: torch.dtype) -> None:
        self._streams = streams
        self._dtype = dtype
        self._block = torch.empty((len(streams), 0), dtype=dtype)
        self._used = 0

    def dropout(self, rate: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Independent factors: 0 with probability `rate`, shape (fit,), else 1 / (1 - rate); returns (fit, *shape).

        The probability is met to 2**-16. The rate must be the same throughout an epoch: factors are made a block ahead.
        """
        n = math.prod(shape)
        if self._used + n > self._block.shape[1]:
            draws = self._integers(max(n, _BLOCK)).to(self._dtype)
            zeroed = (rate * 65536 - 32768).unsqueeze(1)
            # Written into floats at once: a mask of truth values and its conversion cost fifteen times as much.
            self._block = torch.ge(draws, zeroed, out=draws).mul_((1 / (1 - rate)).unsqueeze(1))
            self._used = 0
        self._used += n
        return self._block[:, self._used - n : self._used].view(-1, *shape)

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        raise NotImplementedError

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        raise NotImplementedError

    def beta(self, alpha: Tensor, shape: tuple[int, ...]) -> Tensor:
        raise NotImplementedError

    def permutation(self, n: int) -> Tensor:
        """A random order of 0 … n-1 for every row; returns (fit, n)."""
        return torch.from_numpy(np.stack([stream.permutation(n) for stream in self._streams]))

    def _integers(self, n: int) -> Tensor:
        """At least `n` uniform 16-bit integers of every row, four from a word; returns int16 (fit, n or a few more)."""
        words = -(-n // 4)
        raw = np.empty((len(self._streams), words), dtype=np.uint64)
        for row, stream in zip(raw, self._streams, strict=True):
            row[:] = stream.bit_generator.random_raw(words)
        return torch.from_numpy(raw.view(np.int16))
