import torch
from torch import Tensor

from hpo.regularizers.adaptation import features
from hpo.regularizers.base import Regularizer, Seen, Step
from hpo.regularizers.chance import beside

_WIDEST, _KERNELS = 4.0, 5  # bandwidths are 4, 2, 1, 1/2 and 1/4 times the mean squared distance


class Mmd(Regularizer):
    """Deep adaptation networks (Long et al., ICML 2015): strength × the squared maximum mean discrepancy between the features of
    labelled rows and those of the other domain, in the mean of five Gaussian kernels.

    The estimate is the unbiased one (Gretton et al., JMLR 2012), which may be negative: the biased one would pull each domain together.
    Bandwidths go with the minibatch, and no gradient goes through them.
    """

    name = "mmd"
    summary = "adds the strength × squared distance of both domains' mean features (MMD, five Gaussian kernels) to the loss"
    adapts = True
    needs = ("target", "features")
    prior = {"low": 0.01, "high": 10.0, "log": True, "optional": True}
    probe = (0.1, 5.0)
    source = "Long, Cao, Wang & Jordan, Learning Transferable Features with Deep Adaptation Networks, ICML 2015"

    def loss(self, s: Tensor, step: Step, seen: Seen) -> Tensor | None:
        del step
        source, target = features(seen)
        # A domain of one row has no distances within.
        return s * discrepancy(source, target) if min(source.shape[1], target.shape[1]) > 1 else None


def discrepancy(source: Tensor, target: Tensor) -> Tensor:
    """The unbiased estimate of MMD² between source (fit, n, width) and target (fit, m, width); returns (fit,)."""
    rows = torch.cat([source, target], 1)
    distances = _squared_distances(rows)
    n, m = source.shape[1], target.shape[1]
    every = n + m
    mean = distances.detach().sum((1, 2)) / (every * (every - 1))
    widest = torch.exp(distances / -beside(_WIDEST * mean.clamp_min(torch.finfo(mean.dtype).eps), distances))
    kernel = total = widest
    for _ in range(_KERNELS - 1):  # half as wide is the square
        kernel = kernel.square()
        total = total + kernel
    return (total * _weights(n, m, total)).sum((1, 2)) / _KERNELS


def _squared_distances(rows: Tensor) -> Tensor:
    """Between all rows (fit, n, width) of a fit, (fit, n, n)."""
    rows = rows - rows.detach().mean(1, keepdim=True)  # distances stay, and less cancels
    squares = rows.square().sum(2)
    products = torch.bmm(rows, rows.transpose(1, 2))
    return (squares.unsqueeze(1) + squares.unsqueeze(2) - 2 * products).clamp_min(0)


def _weights(n: int, m: int, like: Tensor) -> Tensor:
    """How much each pair counts, (n + m, n + m): pairs within a domain for, but for a row and itself, pairs across against."""
    weights = like.new_full((n + m, n + m), -1 / (n * m))
    weights[:n, :n] = 1 / (n * (n - 1))
    weights[n:, n:] = 1 / (m * (m - 1))
    return weights.fill_diagonal_(0)
