"""Random numbers for a stack of fits. Nobody else draws any.

Each fit has its own stream for each use (see `Fit.stream`), so what it draws depends neither on its neighbours nor on
its row. Drawing a row at a time for every layer and minibatch costs 10 to 17 % of a step; here every row draws a block,
and the block is handed out in slices. A stack's rows ask for the same shapes in the same order from an epoch's start,
so one position serves all of them, and blocks never outlive an epoch: a row that was admitted later sees the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_BLOCK = 1 << 16  # 16-bit draws a row and refill: 128 kB, which stays in the second-level cache


class Noise:
    """The streams of one use for all rows of a stack, valid for one epoch."""

    def __init__(self, streams: Sequence[np.random.Generator], dtype: torch.dtype) -> None:
        self._streams = streams
        self._dtype = dtype
        self._block = torch.empty((len(streams), 0), dtype=torch.int16)
        self._used = 0

    def bernoulli(self, p: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Independent ones (with probability `p`, shape (fit,)) and zeros; returns (fit, *shape).

        The probability is met to 2**-16, the resolution of a draw.
        """
        threshold = (1 - p) * 65536 - 32768
        draws = self._take(int(np.prod(shape))).view(-1, *shape).to(self._dtype)
        ones = torch.empty_like(draws)
        return torch.ge(draws, threshold.view(-1, *[1] * len(shape)).to(self._dtype), out=ones)

    def permutation(self, n: int) -> Tensor:
        """A random order of 0 … n-1 for every row; returns (fit, n)."""
        return torch.from_numpy(np.stack([stream.permutation(n) for stream in self._streams]))

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Uniform draws from [0, 1); returns (fit, *shape)."""
        draws = np.stack([stream.random(shape, dtype=np.float32) for stream in self._streams])
        return torch.from_numpy(draws).to(self._dtype)

    def _take(self, n: int) -> Tensor:
        """The next `n` 16-bit integers of every row; returns (fit, n)."""
        if self._used + n > self._block.shape[1]:
            words = -(-max(n, _BLOCK) // 4)
            raw = np.empty((len(self._streams), words), dtype=np.uint64)
            for row, stream in zip(raw, self._streams, strict=True):
                row[:] = stream.bit_generator.random_raw(words)
            self._block, self._used = torch.from_numpy(raw.view(np.int16)), 0
        self._used += n
        return self._block[:, self._used - n : self._used]
