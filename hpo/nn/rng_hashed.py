"""Random numbers by a hash of (stream, epoch, position), for devices on which a generator per fit is too slow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hpo.nn.rng import Noise, normal_pairs

# SplitMix64 (Steele, Lea & Flood, Fast splittable pseudorandom number generators, OOPSLA 2014). It is computed in the
# signed integers of torch, whose products and sums wrap around in the same way as those of unsigned integers.
_GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
_ROUNDS = ((30, 0xBF58476D1CE4E5B9 - (1 << 64)), (27, 0x94D049BB133111EB - (1 << 64)))


def splitmix(key: Tensor, position: Tensor) -> Tensor:
    """Return the int64 numbers at `position` (0 for the first) of the generators with seed `key`; both broadcast."""
    z = key + (position + 1) * _GAMMA
    for shift, factor in _ROUNDS:
        z = z.bitwise_xor_(_shift_right(z, shift)).mul_(factor)
    return z.bitwise_xor_(_shift_right(z, 31))


def _shift_right(z: Tensor, bits: int) -> Tensor:
    """Shift `z` to the right as if it were unsigned."""
    return (z >> bits).bitwise_and_((1 << (64 - bits)) - 1)


class HashedNoise(Noise):
    """Random numbers for one use and some fits of a stack, each fit in one of its epochs.

    `keys` identify the streams and `epochs` are the epochs of the fits. The numbers of a fit depend on these two and on
    the count of numbers that it has drawn since the epoch began.
    """

    def __init__(self, keys: Sequence[int], epochs: Sequence[int], dtype: torch.dtype, device: torch.device) -> None:
        super().__init__((), dtype)
        stream, epoch = torch.tensor([keys, epochs], dtype=torch.long, device=device).unsqueeze(2)
        self._keys = splitmix(stream, epoch)  # (fit, 1)
        self._position = 0

    def permutation(self, n: int) -> Tensor:
        return self._words(n).argsort(dim=1)

    def _normals(self, n: int) -> Tensor:
        """Compute normal numbers by arithmetic, because a table would have to be copied to the device."""
        return torch.cat(normal_pairs(self._words(n // 2), self._dtype), dim=1)

    def _words(self, n: int) -> Tensor:
        start, self._position = self._position, self._position + n
        return splitmix(self._keys, torch.arange(start, self._position, device=self._keys.device))
