"""Numbers of other distributions made of uniform 64-bit words, by arithmetic alone: for all rows at once, on any device, and
nothing is waited for."""

from __future__ import annotations

import math

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
