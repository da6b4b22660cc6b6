"""Random numbers of a step that can be had a second time, for those who look at it twice."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from hpo.noise import Noise


class Replay(Noise):
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
