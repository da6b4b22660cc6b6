from typing import Any

import torch
from torch import Tensor

from hpo.regularizers._adaptation import domain_features
from hpo.regularizers._fitwise import per_fit
from hpo.regularizers.base import ForwardOutput, Regularizer, Step

_WIDEST, _KERNELS = 4.0, 5  # bandwidths are 4, 2, 1, 1/2 and 1/4 times the mean squared distance


class Mmd(Regularizer):
    """Deep adaptation networks (Long et al., ICML 2015): aligns the feature distributions of both domains.

    The loss term is strength × the squared maximum mean discrepancy between the features of labelled samples and
    those of the other domain, averaged over five Gaussian kernels.

    The estimate is the unbiased one (Gretton et al., JMLR 2012), which may be negative; the biased one would pull
    the samples of each domain together. The bandwidths follow the minibatch, and no gradient flows through them.
    """

    name = "mmd"
    summary = "adds the strength × squared distance (MMD, five kernels) between both domains' features to the loss"
    uses_target_batch = True
    needs = ("target", "features")
    prior = {"low": 0.01, "high": 30.0, "log": True, "optional": True}
    probe = (0.1, 5.0)
    source = "Long, Cao, Wang & Jordan, Learning Transferable Features with Deep Adaptation Networks, ICML 2015"

    def loss(self, s: Tensor, step: Step, output: ForwardOutput) -> Tensor | None:
        del step
        source, target = domain_features(output)
        # There are no distances within a domain of a single row.
        return s * mmd_squared(source, target) if min(source.shape[1], target.shape[1]) > 1 else None


class _Discrepancy(torch.autograd.Function):
    """MMD² with its gradient, computed together in the forward pass.

    Autograd would have to keep a dozen tensors of all pairs, which costs several times as much.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, n: int) -> Tensor:
        fits, total_rows, _ = rows.shape
        rows = rows - rows.mean(1, keepdim=True)  # keeps the distances and reduces cancellation
        squares = rows.square().sum(2)
        kernel = (
            torch.bmm(rows, rows.transpose(1, 2))
            .mul_(-2)
            .add_(squares.unsqueeze(1))
            .add_(squares.unsqueeze(2))
            .clamp_min_(0)
        )
        mean = kernel.sum((1, 2)) / (total_rows * (total_rows - 1))
        rate = -1 / (_WIDEST * mean.clamp_min(torch.finfo(mean.dtype).eps)).view(fits, 1, 1)
        kernel.mul_(rate).exp_()  # the widest kernel of the squared distances
        total, slope = kernel.clone(), kernel.clone()
        for i in range(1, _KERNELS):  # squaring halves the bandwidth
            total.add_(kernel.mul_(kernel))
            slope.add_(kernel, alpha=2**i)
        weights = _pair_weights(n, total_rows - n, rows)
        slope.mul_(rate).mul_(weights)
        ctx.grad = (slope.sum(2, keepdim=True) * rows).sub_(torch.bmm(slope, rows)).mul_(4 / _KERNELS)
        return total.mul_(weights).sum((1, 2)) / _KERNELS

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.grad * per_fit(grad, ctx.grad), None


def mmd_squared(source: Tensor, target: Tensor) -> Tensor:
    """Return the unbiased estimate (fit,) of MMD² between `source` (fit, n, width) and `target` (fit, m, width)."""
    rows = torch.cat([source, target], 1)
    result: Tensor = _Discrepancy.apply(rows, source.shape[1])  # type: ignore[no-untyped-call]  # torch has no type for `apply`
    return result


def _pair_weights(n: int, m: int, like: Tensor) -> Tensor:
    """Return the weight of each pair of rows, (n + m, n + m).

    It is positive within a domain, negative across domains, and 0 for a row with itself.
    """
    weights = like.new_full((n + m, n + m), -1 / (n * m))
    weights[:n, :n] = 1 / (n * (n - 1))
    weights[n:, n:] = 1 / (m * (m - 1))
    return weights.fill_diagonal_(0)
