from typing import Any

import torch
from torch import Tensor

from hpo.regularizers._adaptation import features
from hpo.regularizers._sampling import beside
from hpo.regularizers.base import ForwardOutput, Regularizer, Step

_WIDEST, _KERNELS = 4.0, 5  # bandwidths are 4, 2, 1, 1/2 and 1/4 times the mean squared distance


class Mmd(Regularizer):
    """Deep adaptation networks (Long et al., ICML 2015): strength × the squared maximum mean discrepancy between the features of
    labelled rows and those of the other domain, in the mean of five Gaussian kernels.

    The estimate is the unbiased one (Gretton et al., JMLR 2012), which may be negative: the biased one would pull each domain together.
    Bandwidths go with the minibatch, and no gradient goes through them.
    """

    name = "mmd"
    summary = (
        "adds the strength × squared distance of both domains' mean features (MMD, five Gaussian kernels) to the loss"
    )
    uses_target_batch = True
    needs = ("target", "features")
    prior = {"low": 0.01, "high": 30.0, "log": True, "optional": True}
    probe = (0.1, 5.0)
    source = "Long, Cao, Wang & Jordan, Learning Transferable Features with Deep Adaptation Networks, ICML 2015"

    def loss(self, s: Tensor, step: Step, seen: ForwardOutput) -> Tensor | None:
        del step
        source, target = features(seen)
        # A domain of one row has no distances within.
        return s * discrepancy(source, target) if min(source.shape[1], target.shape[1]) > 1 else None


class _Discrepancy(torch.autograd.Function):
    """Finds the gradient with the value: a dozen tensors of all pairs, had autograd to keep them, would cost several times as much."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, n: int) -> Tensor:
        fits, every, _ = rows.shape
        rows = rows - rows.mean(1, keepdim=True)  # distances stay, and less cancels
        squares = rows.square().sum(2)
        kernel = (
            torch.bmm(rows, rows.transpose(1, 2))
            .mul_(-2)
            .add_(squares.unsqueeze(1))
            .add_(squares.unsqueeze(2))
            .clamp_min_(0)
        )
        mean = kernel.sum((1, 2)) / (every * (every - 1))
        rate = -1 / (_WIDEST * mean.clamp_min(torch.finfo(mean.dtype).eps)).view(fits, 1, 1)
        kernel.mul_(rate).exp_()  # of squared distances, the widest
        total, slope = kernel.clone(), kernel.clone()
        for i in range(1, _KERNELS):  # half as wide is the square
            total.add_(kernel.mul_(kernel))
            slope.add_(kernel, alpha=2**i)
        weights = _weights(n, every - n, rows)
        slope.mul_(rate).mul_(weights)
        ctx.grad = (slope.sum(2, keepdim=True) * rows).sub_(torch.bmm(slope, rows)).mul_(4 / _KERNELS)
        return total.mul_(weights).sum((1, 2)) / _KERNELS

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.grad * beside(grad, ctx.grad), None


def discrepancy(source: Tensor, target: Tensor) -> Tensor:
    """The unbiased estimate of MMD² between source (fit, n, width) and target (fit, m, width); returns (fit,)."""
    result: Tensor = _Discrepancy.apply(torch.cat([source, target], 1), source.shape[1])  # type: ignore[no-untyped-call]
    return result


def _weights(n: int, m: int, like: Tensor) -> Tensor:
    """How much each pair counts, (n + m, n + m): pairs within a domain for, but for a row and itself, pairs across against."""
    weights = like.new_full((n + m, n + m), -1 / (n * m))
    weights[:n, :n] = 1 / (n * (n - 1))
    weights[n:, n:] = 1 / (m * (m - 1))
    return weights.fill_diagonal_(0)
