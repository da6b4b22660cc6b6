import torch
from torch import Tensor

from hpo.core.samples import Samples, take_rows
from hpo.nn.parameter import Parameter
from hpo.regularizers.base import ForwardOutput, Regularizer, Step


class Multitask(Regularizer):
    """Multitask learning: `s` times the loss of an auxiliary target, `data.auxiliary`.

    A linear layer predicts it from the features of the network, so that both targets share them. A number has its
    squared error, scaled to a standard deviation of 1; classes have their cross entropy. A row whose auxiliary
    target is unknown does not count. A mixed or generated sample has the auxiliary target of its first row.
    """

    name = "multitask"
    summary = "adds this many times the loss of an auxiliary target, predicted from the same features"
    needs = ("auxiliary", "features")
    prior = {"low": 1e-2, "high": 10.0, "log": True, "optional": True}
    probe = (0.1, 5.0)
    source = "Caruana, Multitask Learning, Machine Learning 1997"

    def extra_parameters(self, features: int, data: Samples) -> tuple[Parameter, ...]:
        outputs = 0 if data.auxiliary is None else data.auxiliary.shape[1]
        return (
            Parameter("multitask.weight", (features, outputs), 0, "regularizer"),
            Parameter("multitask.bias", (outputs,), 0, "regularizer"),
        )

    def loss(self, s: Tensor, step: Step, output: ForwardOutput) -> Tensor:
        assert step.data.auxiliary is not None
        assert output.features is not None
        true = take_rows(step.data.auxiliary, output.batch.index)
        weight, bias = step.extra["multitask.weight"], step.extra["multitask.bias"].unsqueeze(1)
        if weight.shape[2] == 1:  # for a single fit, baddbmm would use another kernel, which rounds differently
            return s * _auxiliary_loss((output.features * weight.transpose(1, 2)).sum(2, keepdim=True) + bias, true)
        return s * _auxiliary_loss(torch.baddbmm(bias, output.features, weight), true)


def _auxiliary_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the mean loss (fit,) of the rows whose target is known.

    Both tensors are (fit, batch, outputs): a number, or the probabilities of classes.
    """
    known = true[..., 0].isfinite().to(predicted.dtype)
    true = true.nan_to_num(0.0)
    is_number = true.shape[2] == 1
    losses = (predicted - true).square().squeeze(2) if is_number else -(true * predicted.log_softmax(2)).sum(2)
    return (losses * known).sum(1) / known.sum(1).clamp(min=1)
