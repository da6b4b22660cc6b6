import torch
from torch import Tensor

from hpo.regularizers._adaptation import features
from hpo.regularizers.base import ForwardOutput, Regularizer, Step


class Coral(Regularizer):
    """Deep CORAL (Sun & Saenko, 2016): strength × the squared Frobenius distance between the covariances of both domains' features, over
    four times their squared number."""

    name = "coral"
    summary = "adds the strength × squared distance of both domains' covariances of features (Deep CORAL) to the loss"
    uses_target_batch = True
    needs = ("target", "features")
    prior = {"low": 0.1, "high": 1e4, "log": True, "optional": True}
    probe = (1.0, 1e3)
    source = "Sun & Saenko, Deep CORAL: Correlation Alignment for Deep Domain Adaptation, ECCV Workshops 2016"

    def loss(self, s: Tensor, step: Step, seen: ForwardOutput) -> Tensor | None:
        del step
        source, target = features(seen)
        if min(source.shape[1], target.shape[1]) < 2:  # one row has no covariance
            return None
        apart = _covariance(source) - _covariance(target)
        return s * apart.square().sum((1, 2)) / (4 * source.shape[2] ** 2)


def _covariance(rows: Tensor) -> Tensor:
    """Of rows (fit, n, width), (fit, width, width)."""
    rows = rows - rows.mean(1, keepdim=True)
    return torch.bmm(rows.transpose(1, 2), rows) / (rows.shape[1] - 1)
