import torch
from torch import Tensor

from hpo.core.samples import Samples, take_rows
from hpo.nn.parameter import Parameter
from hpo.regularizers.base import ForwardOutput, Regularizer, Step


class Multitask(Regularizer):
    """`s` times the loss of another target, `data.auxiliary`, which a linear layer of its own makes of the network's features: what is
    learned for the one is there for the other. A number has its squared error, with the deviation 1; classes have their cross entropy.
    A row whose auxiliary target is not known does not count. Of a row that was mixed or generated it is the first one's."""

    name = "multitask"
    summary = "adds this many times the loss of another target, which is learned from the same features"
    needs = ("auxiliary", "features")
    prior = {"low": 1e-2, "high": 10.0, "log": True, "optional": True}
    probe = (0.1, 5.0)
    source = "Caruana, Multitask Learning, Machine Learning 1997"

    def extra_parameters(self, features: int, data: Samples) -> tuple[Parameter, ...]:
        outputs = 0 if data.auxiliary is None else data.auxiliary.shape[1]
        return (
            Parameter("multitask.weight", (features, outputs), 0, "own"),
            Parameter("multitask.bias", (outputs,), 0, "own"),
        )

    def loss(self, s: Tensor, step: Step, seen: ForwardOutput) -> Tensor:
        known, index = step.data.auxiliary, seen.batch.index
        assert known is not None
        assert seen.features is not None
        true = take_rows(known, index)
        weight, bias = step.extra["multitask.weight"], step.extra["multitask.bias"].unsqueeze(1)
        if (
            weight.shape[2] == 1
        ):  # not a product of matrices, which takes another way for a lone fit, and rounds otherwise
            return s * _missed((seen.features * weight.transpose(1, 2)).sum(2, keepdim=True) + bias, true)
        return s * _missed(torch.baddbmm(bias, seen.features, weight), true)


def _missed(said: Tensor, true: Tensor) -> Tensor:
    """The mean loss of the rows whose target is known, (fit,); both (fit, batch, outputs), a number or the shares of classes."""
    there = true[..., 0].isfinite().to(said.dtype)
    true = true.nan_to_num(0.0)
    each = (said - true).square().squeeze(2) if true.shape[2] == 1 else -(true * said.log_softmax(2)).sum(2)
    return (each * there).sum(1) / there.sum(1).clamp(min=1)
