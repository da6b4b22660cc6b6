"""What members share that bring two domains closer: distances, an adversary that tells the domains apart, and entropies."""

import math
from typing import Any

import torch
from torch import Tensor

from hpo.nn.parameter import Parameter
from hpo.regularizers._sampling import beside
from hpo.regularizers.base import ForwardOutput, Step

_HIDDEN = 64  # units of an adversary


def features(seen: ForwardOutput) -> tuple[Tensor, Tensor]:
    """Those of labelled rows and of the other domain's, each (fit, batch, width)."""
    assert seen.features is not None
    assert seen.target_features is not None, "a member that adapts is called beside another domain only"
    return seen.features, seen.target_features


class _Reversed(torch.autograd.Function):
    """What it is given; its gradient times minus a factor."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, factor: Tensor) -> Tensor:
        ctx.factor = factor
        return h.view_as(h)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * -beside(ctx.factor, grad), None


def reversal(h: Tensor, factor: Tensor) -> Tensor:
    """Gradient reversal (Ganin et al., JMLR 2016): h (fit, …) forwards, and backwards minus its gradient times `factor` (fit,)."""
    result: Tensor = _Reversed.apply(h, factor)  # type: ignore[no-untyped-call]
    return result


def rising(step: Step) -> Tensor:
    """Ganin's schedule, (fit,): from 0 to 1 over all epochs, 2 / (1 + exp(-10 p)) - 1 at the share p of the way."""
    progress = (step.epoch - 1 + step.minibatch / step.minibatches) / step.epochs
    return 2 / (1 + torch.exp(-10 * progress)) - 1


def adversary(name: str, inputs: int) -> tuple[Parameter, ...]:
    """What a network of one hidden layer trains that tells the domains apart."""
    shapes = {
        "hidden.weight": (inputs, _HIDDEN),
        "hidden.bias": (_HIDDEN,),
        "out.weight": (_HIDDEN, 1),
        "out.bias": (1,),
    }
    return tuple(Parameter(f"{name}.{part}", shape, 0, "own") for part, shape in shapes.items())


def told_apart(name: str, step: Step, inputs: Tensor, rows: int) -> Tensor:
    """The adversary's binary cross entropy, (fit,), the mean of both domains' own; inputs (fit, batch, inputs) are `rows` labelled ones and
    behind them the other domain's."""
    own = {part: step.extra[f"{name}.{part}"] for part in ("hidden.weight", "hidden.bias", "out.weight", "out.bias")}
    h = (torch.bmm(inputs, own["hidden.weight"]) + own["hidden.bias"].unsqueeze(1)).relu()
    # Products and sums: a bmm with a single column takes another way for a single row.
    says = (h * own["out.weight"].transpose(1, 2)).sum(2) + own["out.bias"]  # the target's logit
    return (_softplus(says[:, :rows]).mean(1) + _softplus(-says[:, rows:]).mean(1)) / 2


def _softplus(logits: Tensor) -> Tensor:
    """log(1 + exp(logits)). Torch's own rounds otherwise at a tensor's end, and where that lies depends on how many rows there are."""
    return logits.relu() + torch.log1p(torch.exp(-logits.abs()))


def log_shares(logits: Tensor) -> Tensor:
    """The logarithms of the classes' probabilities, (fit, batch, classes), in memory of their own: sums over it are a row's own."""
    return torch.log_softmax(logits.contiguous(), 2)


def mean_entropy(log_shares: Tensor) -> Tensor:
    """Of predictions (fit, batch, classes) the mean entropy in nats, (fit,)."""
    return -(log_shares.exp() * log_shares).sum(2).mean(1)


def entropy_of_mean(log_shares: Tensor) -> Tensor:
    """Of predictions (fit, batch, classes) the entropy in nats of their mean, (fit,): how evenly they use the classes."""
    log_mean = torch.logsumexp(log_shares, 1) - math.log(log_shares.shape[1])
    return -(log_mean.exp() * log_mean).sum(1)
