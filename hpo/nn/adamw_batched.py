"""What a training step computes on any device but the CPU: one operation for all rows, and nothing that waits for its result.

A launch costs as much as a small product there, so nothing goes row by row, and no number comes back to Python.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hpo.nn.adamw import BETAS, EPS, OptimizerState


def product(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """a (fit, n, m) times b (fit, m, k), written into `out` (fit, n, k)."""
    return torch.bmm(a, b, out=out)


class AdamW:
    """AdamW (Loshchilov & Hutter, ICLR 2019) on all rows at once, in place, as torch.optim.AdamW defines it."""

    def __init__(self, memory: OptimizerState) -> None:
        # As far as the deepest row trains. What a shallower one has not lies between: zeros with zero gradients, which stay so.
        _, rest, own = memory.pieces[0]
        self._parts = [slice(0, rest.stop), *([own] if own.stop > own.start else [])]
        self._memory = memory
        self.set_lr([0.0] * len(memory.values))

    def set_lr(self, lr: Sequence[float]) -> None:
        """The learning rate of each row, from now on."""
        m = self._memory
        self._lr = torch.tensor(lr, dtype=torch.float64, device=m.values.device).unsqueeze(1)
        self._kept = (1 - self._lr * m.decay.unsqueeze(1)).to(m.values.dtype)

    def step(self) -> None:
        """One update of every row."""
        m = self._memory
        count = m.counts.add_(1).double()  # float32 would lose four digits of 1 - 0.999
        size = (self._lr / (1 - BETAS[0] ** count)).to(m.values.dtype)
        root = (1 - BETAS[1] ** count).sqrt_().to(m.values.dtype)
        for part in self._parts:
            values, grads, exp_avg, exp_avg_sq = (
                flat[:, part] for flat in (m.values, m.grads, m.exp_avg, m.exp_avg_sq)
            )
            values.mul_(self._kept)
            exp_avg.lerp_(grads, 1 - BETAS[0])
            exp_avg_sq.mul_(BETAS[1]).addcmul_(grads, grads, value=1 - BETAS[1])
            values.sub_(exp_avg_sq.sqrt().div_(root).add_(EPS).reciprocal_().mul_(exp_avg).mul_(size))


class Weights:
    """The weight matrices of all rows, no biases, no norms: one piece of memory."""

    def __init__(self, memory: OptimizerState) -> None:
        self._values = memory.values[:, memory.pieces[0][0]]

    def soft_threshold_(self, distance: Tensor) -> None:
        """Moves every weight towards zero by its row's `distance` (fit,), and leaves it there once it arrives; in place."""
        distance = distance.clamp(max=torch.finfo(distance.dtype).max).unsqueeze(1)
        self._values.sub_(torch.clamp(self._values, -distance, distance))
