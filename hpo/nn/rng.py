"""Numbers of other distributions made of uniform 64-bit words, by arithmetic alone: for all rows at once, on any device, and
nothing is waited for.

Random numbers for a stack of fits, drawn here and (initial weights) by the networks, from the fits' own streams.

Each fit has its own stream for each use (see `Fit.stream`), so what it draws depends neither on its neighbours nor on
its row. Drawing a row at a time for every layer and minibatch costs 10 to 17 % of a step; here every row draws a block,
and the block is handed out in slices. A stack's rows ask for the same shapes in the same order from an epoch's start,
so one position serves all of them, and blocks never outlive an epoch: a row that was admitted later sees the same.

What a slice holds is made of it only once, a block ahead: strengths must be the same throughout an epoch.


Random numbers of a step that can be had a second time, for those who look at it twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

_BITS = 24  # of a uniform number, so that float32 holds it
_ROUNDS = 4  # at least 95 % are accepted in each, so one draw in 10**5 is accepted in none
WORDS = 2 * _ROUNDS + 1  # that a draw of `log_ratio` is made of


def uniforms(words: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two independent numbers from each word, above 0 and at most 1."""
    mask = (1 << _BITS) - 1
    high, low = (words >> 40).bitwise_and_(mask), words & mask
    return high.to(dtype).add_(0.5).mul_(2**-_BITS), low.to(dtype).add_(0.5).mul_(2**-_BITS)


def normals(words: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two independent standard normal numbers from each word (Box & Muller, 1958)."""
    first, second = uniforms(words, dtype)
    radius, angle = first.log_().mul_(-2).sqrt_(), second.mul_(2 * math.pi)
    return radius * angle.cos(), radius * angle.sin()


def log_ratio(alpha: Tensor, words: Tensor) -> Tensor:
    """log(G1 / G2) of two independent Gamma(alpha) numbers; its sigmoid is of Beta(alpha, alpha).

    `alpha` (fit, 1), and where it is 0 nothing useful comes out; `words` (fit, WORDS, n); returns (fit, n) in alpha's dtype.

    Each is a Gamma(alpha + 1) number times U**(1 / alpha), which is taken in logs because it underflows.
    """
    proposed, judged, boosts = torch.split(words, [_ROUNDS, _ROUNDS, 1], dim=1)
    draws = zip(normals(proposed, alpha.dtype), uniforms(judged, alpha.dtype), strict=True)
    first, second = (_log_gamma(alpha + 1, x, u) for x, u in draws)
    up, down = (u.squeeze(1).log_() for u in uniforms(boosts, alpha.dtype))
    return first - second + (up - down) / alpha


def _log_gamma(shape: Tensor, x: Tensor, u: Tensor) -> Tensor:
    """The log of a Gamma(shape) number, `shape` (fit, 1) at least 1, of normal `x` and uniform `u` (fit, rounds, n); (fit, n).

    Marsaglia & Tsang (ACM TOMS 2000): of all rounds the first that is accepted, and d if there is none.
    """
    d = shape.unsqueeze(1) - 1 / 3
    root = x / (9 * d).sqrt() + 1
    log_v = root.clamp_min(torch.finfo(root.dtype).tiny).log_().mul_(3)
    accepted = (root > 0) & (u.log_() < x * x / 2 + d * (1 - root * root * root + log_v))
    found = torch.zeros_like(log_v[:, 0])
    for i in reversed(range(x.shape[1])):
        found = torch.where(accepted[:, i], log_v[:, i], found)
    return found + d.squeeze(1).log()


_BLOCK = 1 << 14  # draws a row and refill, at least,
_AHEAD = 64  # unless that is more than so many times what is asked for
_LINE = 64  # a row's numbers fill whole vectors, so that the same instructions compute them wherever the row lies


class Noise:
    """The streams of one use for some rows of a stack, valid for one epoch.

    Different kinds of draws may be had of one object, if every step asks for them in the same order.
    """

    def __init__(self, streams: Sequence[np.random.Generator], dtype: torch.dtype) -> None:
        self._streams = streams
        self._dtype = dtype
        self._blocks: dict[str, tuple[Tensor, int]] = {}  # by kind, with how much of it was handed out

    def dropout(self, rate: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Independent factors: 0 with probability `rate`, shape (fit,), else 1 / (1 - rate); returns (fit, *shape).

        The probability is met to 2**-16.
        """
        return self._slice("dropout", shape, partial(self._factors, rate))

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Independent numbers, uniform in (0, 1): the middles of 2**16 parts; returns (fit, *shape)."""
        return self._slice("uniform", shape, self._uniforms)

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Independent standard normal numbers; returns (fit, *shape)."""
        return self._slice("normal", shape, self._normals)

    def beta(self, alpha: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Independent numbers of Beta(alpha, alpha), `alpha` (fit,), and 1 where alpha is 0; returns (fit, *shape)."""
        return self._slice("beta", shape, partial(self._betas, alpha))

    def permutation(self, n: int) -> Tensor:
        """A random order of 0 … n-1 for every row; returns (fit, n)."""
        return torch.from_numpy(np.stack([stream.permutation(n) for stream in self._streams]))

    def _slice(self, kind: str, shape: tuple[int, ...], draw: Callable[[int], Tensor]) -> Tensor:
        """The next numbers of one kind, (fit, *shape); `draw(n)` makes n of them for every row, or a few more."""
        n = math.prod(shape)
        block, used = self._blocks.get(kind, (torch.empty(0, 0), 0))
        if used + n > block.shape[1]:
            wanted = max(n, min(_BLOCK, _AHEAD * n))
            block, used = draw(wanted + -wanted % _LINE), 0
        self._blocks[kind] = block, used + n
        return block[:, used : used + n].view(-1, *shape)

    def _factors(self, rate: Tensor, n: int) -> Tensor:
        draws = self._integers(n).to(self._dtype)
        zeroed = (rate * 65536 - 32768).unsqueeze(1)
        # Written into floats at once: a mask of truth values and its conversion cost fifteen times as much.
        return torch.ge(draws, zeroed, out=draws).mul_((1 / (1 - rate)).unsqueeze(1))

    def _uniforms(self, n: int) -> Tensor:
        return self._integers(n).to(self._dtype).add_(32768.5).mul_(2**-16)

    def _normals(self, n: int) -> Tensor:
        """Of 2**16 values that are equally likely: a sixth of what numpy's generator takes, and the same bits in any row."""
        draws = self._integers(n).to(torch.int32).add_(32768)
        return _quantiles(self._dtype).index_select(0, draws.flatten()).view(draws.shape)

    def _betas(self, alpha: Tensor, n: int) -> Tensor:
        words = self._words(WORDS * n).view(-1, WORDS, n)
        strength = alpha.double().unsqueeze(1)
        return torch.where(strength > 0, log_ratio(strength, words).sigmoid(), 1.0).to(self._dtype)

    def _integers(self, n: int) -> Tensor:
        """At least `n` uniform 16-bit integers of every row, four from a word; returns int16 (fit, n or a few more)."""
        return self._words(-(-n // 4)).view(torch.int16)

    def _words(self, n: int) -> Tensor:
        """`n` more 64-bit numbers of every row, int64 (fit, n)."""
        raw = np.empty((len(self._streams), n), dtype=np.uint64)
        for row, stream in zip(raw, self._streams, strict=True):
            row[:] = stream.bit_generator.random_raw(n)
        return torch.from_numpy(raw.view(np.int64))


@cache
def _quantiles(dtype: torch.dtype) -> Tensor:
    """Of the standard normal distribution, in the middles of 2**16 parts, with variance 1; from -4.3 to 4.3."""
    middles = (torch.arange(1 << 16, dtype=torch.float64) + 0.5) / (1 << 16)
    found: Tensor = torch.special.ndtri(middles)
    return (found / found.square().mean().sqrt()).to(dtype)


class ReplayableNoise(Noise):
    """What a noise gives, until it is rewound: then the same once more, in the same order."""

    def __init__(self, noise: Noise) -> None:
        self._noise = noise
        self._drawn: list[Tensor] = []
        self._next = 0

    def forget(self) -> None:
        """What was drawn is the past."""
        self._drawn, self._next = [], 0

    def rewind(self) -> None:
        self._next = 0

    def dropout(self, rate: Tensor, shape: tuple[int, ...]) -> Tensor:
        return self._have(lambda: self._noise.dropout(rate, shape))

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        return self._have(lambda: self._noise.uniform(shape))

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        return self._have(lambda: self._noise.normal(shape))

    def beta(self, alpha: Tensor, shape: tuple[int, ...]) -> Tensor:
        return self._have(lambda: self._noise.beta(alpha, shape))

    def permutation(self, n: int) -> Tensor:
        return self._have(lambda: self._noise.permutation(n))

    def _have(self, draw: Callable[[], Tensor]) -> Tensor:
        if self._next == len(self._drawn):
            self._drawn.append(draw())
        self._next += 1
        return self._drawn[self._next - 1]
