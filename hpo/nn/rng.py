"""Random numbers for a stack of fits, each drawn from the fit's own streams.

Each fit has a stream for each use (see `Fit.stream`), so its numbers depend neither on the other fits nor on
its position in the stack. Drawing for every layer and minibatch separately costs 10 to 17 % of a step; instead,
every fit draws a block, which is handed out in slices. All fits of a stack request the same shapes in the same
order from the start of an epoch, so one position serves all of them. Blocks never outlive an epoch, so a fit
that is admitted later gets the same numbers.

A block is converted to its distribution once, in advance, so strengths must not change within an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

_MIN_BLOCK = 1 << 14  # the draws per fit and block
_MAX_BLOCK_FACTOR = 64  # a block is at most this multiple of the requested number
_LINE = 64  # block sizes are multiples of this, so that the same vector instructions compute a fit at any position

_UNIFORM_BITS = 24  # the bits of a uniform number, few enough for float32 to represent it exactly
_GAMMA_ROUNDS = 4  # each round accepts at least 95 % of draws, so about one draw in 10**5 is rejected in all rounds
GAMMA_WORDS = 2 * _GAMMA_ROUNDS + 1  # 64-bit words for one draw of `log_gamma_ratio`


class Noise:
    """Random numbers from the streams of some fits of a stack for one use, valid for one epoch.

    Different kinds of draws can be taken from one object, provided that every step requests them in the same order.
    """

    def __init__(self, streams: Sequence[np.random.Generator], dtype: torch.dtype) -> None:
        self._streams = streams
        self._dtype = dtype
        self._blocks: dict[str, tuple[Tensor, int]] = {}  # by kind, with the number of draws already handed out

    def dropout(self, rate: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return independent factors, (fit, *shape): 0 with probability `rate` (fit,), else 1 / (1 - rate).

        The probability is exact to 2**-16.
        """
        return self._slice("dropout", shape, partial(self._factors, rate))

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Return independent uniform numbers in (0, 1), (fit, *shape): the midpoints of 2**16 equal intervals."""
        return self._slice("uniform", shape, self._uniforms)

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Return independent standard normal numbers, (fit, *shape)."""
        return self._slice("normal", shape, self._normals)

    def beta(self, alpha: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return independent Beta(alpha, alpha) numbers, (fit, *shape), for `alpha` (fit,); 1 where alpha is 0."""
        return self._slice("beta", shape, partial(self._betas, alpha))

    def permutation(self, n: int) -> Tensor:
        """Return a random permutation of 0 … n-1 for every fit, (fit, n)."""
        return torch.from_numpy(np.stack([stream.permutation(n) for stream in self._streams]))

    def _slice(self, kind: str, shape: tuple[int, ...], draw: Callable[[int], Tensor]) -> Tensor:
        """Return the next numbers of one kind, (fit, *shape); `draw(n)` returns n or slightly more for every fit."""
        n = math.prod(shape)
        block, used = self._blocks.get(kind, (torch.empty(0, 0), 0))
        if used + n > block.shape[1]:
            size = max(n, min(_MIN_BLOCK, _MAX_BLOCK_FACTOR * n))
            block, used = draw(size + -size % _LINE), 0
        self._blocks[kind] = block, used + n
        return block[:, used : used + n].view(-1, *shape)

    def _factors(self, rate: Tensor, n: int) -> Tensor:
        draws = self._integers(n).to(self._dtype)
        threshold = (rate * 65536 - 32768).unsqueeze(1)
        # The comparison writes floats directly: a boolean mask and its conversion cost fifteen times as much.
        return torch.ge(draws, threshold, out=draws).mul_((1 / (1 - rate)).unsqueeze(1))

    def _uniforms(self, n: int) -> Tensor:
        return self._integers(n).to(self._dtype).add_(32768.5).mul_(2**-16)

    def _normals(self, n: int) -> Tensor:
        """Look up normal numbers in a table of 2**16 equally likely quantiles.

        This takes a sixth of the time that numpy's generator needs, and gives the same bits in any fit.
        """
        draws = self._integers(n).to(torch.int32).add_(32768)
        return _normal_quantiles(self._dtype).index_select(0, draws.flatten()).view(draws.shape)

    def _betas(self, alpha: Tensor, n: int) -> Tensor:
        words = self._words(GAMMA_WORDS * n).view(-1, GAMMA_WORDS, n)
        alpha = alpha.double().unsqueeze(1)
        return torch.where(alpha > 0, log_gamma_ratio(alpha, words).sigmoid(), 1.0).to(self._dtype)

    def _integers(self, n: int) -> Tensor:
        """Return uniform 16-bit integers, four from each word, as int16 (fit, n or slightly more)."""
        return self._words(-(-n // 4)).view(torch.int16)

    def _words(self, n: int) -> Tensor:
        """Return the next `n` 64-bit numbers of every fit, int64 (fit, n)."""
        raw = np.empty((len(self._streams), n), dtype=np.uint64)
        for row, stream in zip(raw, self._streams, strict=True):
            row[:] = stream.bit_generator.random_raw(n)
        return torch.from_numpy(raw.view(np.int64))


class ReplayableNoise(Noise):
    """Records the draws of a noise; after `rewind` it returns the same ones again, in the same order."""

    def __init__(self, noise: Noise) -> None:
        self._noise = noise
        self._drawn: list[Tensor] = []
        self._next = 0

    def clear(self) -> None:
        """Discard the recorded draws."""
        self._drawn, self._next = [], 0

    def rewind(self) -> None:
        """Start again at the first recorded draw."""
        self._next = 0

    def dropout(self, rate: Tensor, shape: tuple[int, ...]) -> Tensor:
        return self._recorded(lambda: self._noise.dropout(rate, shape))

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        return self._recorded(lambda: self._noise.uniform(shape))

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        return self._recorded(lambda: self._noise.normal(shape))

    def beta(self, alpha: Tensor, shape: tuple[int, ...]) -> Tensor:
        return self._recorded(lambda: self._noise.beta(alpha, shape))

    def permutation(self, n: int) -> Tensor:
        return self._recorded(lambda: self._noise.permutation(n))

    def _recorded(self, draw: Callable[[], Tensor]) -> Tensor:
        if self._next == len(self._drawn):
            self._drawn.append(draw())
        self._next += 1
        return self._drawn[self._next - 1]


# Transformations of uniform 64-bit words into other distributions, by arithmetic that works on any device.


def uniform_pairs(words: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return two independent uniform numbers from each word, above 0 and at most 1."""
    mask = (1 << _UNIFORM_BITS) - 1
    high, low = (words >> 40).bitwise_and_(mask), words & mask
    return high.to(dtype).add_(0.5).mul_(2**-_UNIFORM_BITS), low.to(dtype).add_(0.5).mul_(2**-_UNIFORM_BITS)


def normal_pairs(words: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return two independent standard normal numbers from each word (Box & Muller, 1958)."""
    first, second = uniform_pairs(words, dtype)
    radius, angle = first.log_().mul_(-2).sqrt_(), second.mul_(2 * math.pi)
    return radius * angle.cos(), radius * angle.sin()


def log_gamma_ratio(alpha: Tensor, words: Tensor) -> Tensor:
    """Return log(G1 / G2) of two independent Gamma(alpha) numbers, whose sigmoid is Beta(alpha, alpha).

    `alpha` is (fit, 1) and must be positive, `words` (fit, GAMMA_WORDS, n); the result is (fit, n) in the dtype of
    alpha. Each Gamma(alpha) number is a Gamma(alpha + 1) number times U**(1 / alpha). This is
    computed in logs, because the power underflows.
    """
    proposal_words, acceptance_words, boost_words = torch.split(words, [_GAMMA_ROUNDS, _GAMMA_ROUNDS, 1], dim=1)
    draws = zip(normal_pairs(proposal_words, alpha.dtype), uniform_pairs(acceptance_words, alpha.dtype), strict=True)
    first, second = (_log_gamma(alpha + 1, x, u) for x, u in draws)
    first_boost, second_boost = (u.squeeze(1).log_() for u in uniform_pairs(boost_words, alpha.dtype))
    return first - second + (first_boost - second_boost) / alpha


def _log_gamma(shape: Tensor, x: Tensor, u: Tensor) -> Tensor:
    """Return the log of a Gamma(shape) number, (fit, n), for `shape` (fit, 1) of at least 1.

    `x` are normal and `u` uniform numbers, both (fit, rounds, n). This is the rejection method of Marsaglia & Tsang
    (ACM TOMS 2000). The number is that of the first accepted round, or d if no round is accepted.
    """
    d = shape.unsqueeze(1) - 1 / 3
    root = x / (9 * d).sqrt() + 1
    log_v = root.clamp_min(torch.finfo(root.dtype).tiny).log_().mul_(3)
    accepted = (root > 0) & (u.log_() < x * x / 2 + d * (1 - root * root * root + log_v))
    result = torch.zeros_like(log_v[:, 0])
    for i in reversed(range(x.shape[1])):
        result = torch.where(accepted[:, i], log_v[:, i], result)
    return result + d.squeeze(1).log()


@cache
def _normal_quantiles(dtype: torch.dtype) -> Tensor:
    """Return the standard normal quantiles at the midpoints of 2**16 intervals, scaled to variance 1.

    They range from -4.3 to 4.3.
    """
    midpoints = (torch.arange(1 << 16, dtype=torch.float64) + 0.5) / (1 << 16)
    quantiles: Tensor = torch.special.ndtri(midpoints)
    return (quantiles / quantiles.square().mean().sqrt()).to(dtype)
