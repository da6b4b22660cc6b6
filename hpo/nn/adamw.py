"""AdamW on stacked parameters: one fit at a time for the CPU, batched over all fits for other devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPS = 1e-8


@dataclass(frozen=True)
class OptimizerState:
    """The trained tensors of a stack in flat buffers (fit, size), with zeros for those that a fit does not have."""

    params: Tensor
    grads: Tensor
    exp_avg: Tensor
    exp_avg_sq: Tensor
    steps: Tensor  # (fit, 1), the number of steps taken, float32
    decay: Tensor  # (fit,)
    # One entry per fit, deepest first: its weights, its other parameters, and the parameters of regularizers.
    segments: Sequence[tuple[slice, slice, slice]]


class FusedAdamW:
    """AdamW (Loshchilov & Hutter, ICLR 2019) in place, with torch's fused CPU kernel.

    It makes one pass over the memory of a fit. The kernel takes one learning rate, decay and step count, so there
    is one call per fit; for 16 fits of 50k parameters this is still 14 times faster than the same update in plain
    batched operations.
    """

    def __init__(self, state: OptimizerState) -> None:
        self._steps = state.steps[:, 0]
        flat = (state.params, state.grads, state.exp_avg, state.exp_avg_sq)
        segments = [[segment for segment in row if segment.stop > segment.start] for row in state.segments]
        pieces = [[[rows[i][segment] for segment in row] for rows in flat] for i, row in enumerate(segments)]
        steps = [(step,) * len(row) for step, row in zip(self._steps, segments, strict=True)]
        self._rows = list(zip(pieces, steps, state.decay.tolist(), strict=True))
        self._lr: Sequence[float] = ()

    def set_lr(self, lr: Sequence[float]) -> None:
        """Set the learning rate of each fit for the following steps."""
        self._lr = lr

    def step(self) -> None:
        """Update all fits once."""
        self._steps.add_(1)  # the fused kernel does not count the steps itself
        for ((params, grads, exp_avg, exp_avg_sq), steps, decay), lr in zip(self._rows, self._lr, strict=True):
            torch._fused_adamw_(  # the kernel behind torch.optim.AdamW(fused=True), which has no public name
                params,
                grads,
                exp_avg,
                exp_avg_sq,
                [],
                steps,
                lr=lr,
                beta1=BETAS[0],
                beta2=BETAS[1],
                weight_decay=decay,
                eps=EPS,
                amsgrad=False,
                maximize=False,
            )


class BatchedAdamW:
    """AdamW on all fits at once, in place, as torch.optim.AdamW defines it.

    A kernel launch on a GPU costs as much as a small matrix product, so nothing is computed fit by fit, and no
    number is copied to the host.
    """

    def __init__(self, state: OptimizerState) -> None:
        # The deepest fit's segments serve all fits. What a shallower fit lacks stays zero, as its gradients are zero.
        _, others, extra = state.segments[0]
        self._parts = [slice(0, others.stop), *([extra] if extra.stop > extra.start else [])]
        self._state = state
        self.set_lr([0.0] * len(state.params))

    def set_lr(self, lr: Sequence[float]) -> None:
        """Set the learning rate of each fit for the following steps."""
        state = self._state
        self._lr = torch.tensor(lr, dtype=torch.float64, device=state.params.device).unsqueeze(1)
        self._kept = (1 - self._lr * state.decay.unsqueeze(1)).to(state.params.dtype)

    def step(self) -> None:
        """Update all fits once."""
        state = self._state
        steps = state.steps.add_(1).double()  # float32 would lose four digits of 1 - 0.999
        step_size = (self._lr / (1 - BETAS[0] ** steps)).to(state.params.dtype)
        root = (1 - BETAS[1] ** steps).sqrt_().to(state.params.dtype)
        for part in self._parts:
            flat = (state.params, state.grads, state.exp_avg, state.exp_avg_sq)
            params, grads, exp_avg, exp_avg_sq = (tensor[:, part] for tensor in flat)
            params.mul_(self._kept)
            exp_avg.lerp_(grads, 1 - BETAS[0])
            exp_avg_sq.mul_(BETAS[1]).addcmul_(grads, grads, value=1 - BETAS[1])
            params.sub_(exp_avg_sq.sqrt().div_(root).add_(EPS).reciprocal_().mul_(exp_avg).mul_(step_size))


class FitwiseWeights:
    """The weight matrices of all fits, without biases and norms, as one flat tensor per fit."""

    def __init__(self, state: OptimizerState) -> None:
        self._rows = [row[weights] for row, (weights, *_) in zip(state.params, state.segments, strict=True)]

    def soft_threshold_(self, distance: Tensor) -> None:
        """Move every weight towards zero by the `distance` (fit,) of its fit, without crossing zero, in place."""
        for row, threshold in zip(self._rows, distance.tolist(), strict=True):
            torch.ops.aten.softshrink.out(row, min(threshold, torch.finfo(row.dtype).max), out=row)


class BatchedWeights:
    """The weight matrices of all fits, without biases and norms, as one tensor."""

    def __init__(self, state: OptimizerState) -> None:
        self._params = state.params[:, state.segments[0][0]]

    def soft_threshold_(self, distance: Tensor) -> None:
        """Move every weight towards zero by the `distance` (fit,) of its fit, without crossing zero, in place."""
        distance = distance.clamp(max=torch.finfo(distance.dtype).max).unsqueeze(1)
        self._params.sub_(torch.clamp(self._params, -distance, distance))
