"""Domain adaptation: shared loss terms, gradient reversal and the domain adversary."""

import math
from typing import Any

import torch
from torch import Tensor

from hpo.nn.parameter import Parameter
from hpo.regularizers._fitwise import per_fit
from hpo.regularizers.base import ForwardOutput, Step

_HIDDEN = 64  # hidden units of the adversary


def domain_features(output: ForwardOutput) -> tuple[Tensor, Tensor]:
    """Return the features of the labelled rows and those of the other domain, each (fit, batch, width)."""
    assert output.features is not None
    assert output.target_features is not None, "regularizers that use a target batch run only with a second domain"
    return output.features, output.target_features


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient is multiplied by minus a factor."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, factor: Tensor) -> Tensor:
        ctx.factor = factor
        return h.view_as(h)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * -per_fit(ctx.factor, grad), None


def reverse_gradient(h: Tensor, factor: Tensor) -> Tensor:
    """Apply gradient reversal (Ganin et al., JMLR 2016).

    Returns `h` (fit, …); the backward pass multiplies its gradient by -`factor` (fit,).
    """
    result: Tensor = _Reversed.apply(h, factor)  # type: ignore[no-untyped-call]  # torch has no type for `apply`
    return result


def ganin_schedule(step: Step) -> Tensor:
    """Return Ganin's schedule, (fit,), which rises from 0 to 1.

    It is 2 / (1 + exp(-10 p)) - 1 after a share p of the training.
    """
    progress = (step.epoch - 1 + step.minibatch / step.minibatches) / step.epochs
    return 2 / (1 + torch.exp(-10 * progress)) - 1


def adversary_parameters(name: str, inputs: int) -> tuple[Parameter, ...]:
    """Return the parameters of the adversary, a network with one hidden layer that classifies domains."""
    shapes = {
        "hidden.weight": (inputs, _HIDDEN),
        "hidden.bias": (_HIDDEN,),
        "out.weight": (_HIDDEN, 1),
        "out.bias": (1,),
    }
    return tuple(Parameter(f"{name}.{part}", shape, 0, "regularizer") for part, shape in shapes.items())


def domain_classification_loss(name: str, step: Step, inputs: Tensor, n_labelled: int) -> Tensor:
    """Return the adversary's binary cross entropy, (fit,), averaged over both domains with equal weight.

    `inputs` is (fit, batch, inputs): first `n_labelled` labelled rows, then the rows of the other domain.
    """
    params = {part: step.extra[f"{name}.{part}"] for part in ("hidden.weight", "hidden.bias", "out.weight", "out.bias")}
    h = (torch.bmm(inputs, params["hidden.weight"]) + params["hidden.bias"].unsqueeze(1)).relu()
    # Multiply and sum: for a single fit, bmm with a single column uses another kernel, which rounds differently.
    logits = (h * params["out.weight"].transpose(1, 2)).sum(2) + params["out.bias"]  # positive for the target domain
    return (_softplus(logits[:, :n_labelled]).mean(1) + _softplus(-logits[:, n_labelled:]).mean(1)) / 2


def _softplus(logits: Tensor) -> Tensor:
    """Return log(1 + exp(logits)).

    Torch's own softplus rounds differently at the end of a tensor, and the position of that end depends on the
    number of fits.
    """
    return logits.relu() + torch.log1p(torch.exp(-logits.abs()))


def log_probabilities(logits: Tensor) -> Tensor:
    """Return the log probabilities of the classes, (fit, batch, classes).

    They lie in contiguous memory, so that a sum over them does not depend on other fits.
    """
    return torch.log_softmax(logits.contiguous(), 2)


def mean_entropy(log_shares: Tensor) -> Tensor:
    """Return the mean entropy, (fit,), in nats, of the predictions (fit, batch, classes)."""
    return -(log_shares.exp() * log_shares).sum(2).mean(1)


def entropy_of_mean(log_shares: Tensor) -> Tensor:
    """Return the entropy, (fit,), in nats, of the mean of the predictions (fit, batch, classes).

    It measures how evenly the predictions use the classes.
    """
    log_mean = torch.logsumexp(log_shares, 1) - math.log(log_shares.shape[1])
    return -(log_mean.exp() * log_mean).sum(1)
