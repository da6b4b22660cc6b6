import torch
from torch import Tensor

from hpo.regularizers._adaptation import domain_features
from hpo.regularizers.base import ForwardOutput, Regularizer, Step


class Coral(Regularizer):
    """Deep CORAL (Sun & Saenko, 2016): aligns the feature covariances of both domains.

    The loss term is strength × the squared Frobenius distance between the two covariance matrices, divided by four
    times the squared number of features.
    """

    name = "coral"
    summary = "adds the strength × squared distance between both domains' feature covariances to the loss"
    uses_target_batch = True
    needs = ("target", "features")
    prior = {"low": 0.1, "high": 1e4, "log": True, "optional": True}
    probe = (1.0, 1e3)
    source = "Sun & Saenko, Deep CORAL: Correlation Alignment for Deep Domain Adaptation, ECCV Workshops 2016"

    def loss(self, s: Tensor, step: Step, output: ForwardOutput) -> Tensor | None:
        del step
        source, target = domain_features(output)
        if min(source.shape[1], target.shape[1]) < 2:  # a single row has no covariance
            return None
        difference = _covariance(source) - _covariance(target)
        return s * difference.square().sum((1, 2)) / (4 * source.shape[2] ** 2)


def _covariance(rows: Tensor) -> Tensor:
    """Return the covariance matrices (fit, width, width) of `rows` (fit, n, width)."""
    rows = rows - rows.mean(1, keepdim=True)
    return torch.bmm(rows.transpose(1, 2), rows) / (rows.shape[1] - 1)
