"""How the outputs of several networks become one prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from hpo.core.metrics import Task, average_predictions

Kind = Literal["mean", "sum", "linear"]
_LEAST = -20.0  # the logarithm of a probability that a linear function is shown


@dataclass(frozen=True)
class Combination:
    """A rule for the outputs of `members`, each of which is `each` networks whose predictions are averaged.

    `mean`: the mean of probabilities or numbers with the `weight` (members,), which sums to 1. `sum`: the sum of outputs with such
    a weight. `linear`: weight (outputs, members × outputs), the outputs of a member side by side, times logarithms of
    probabilities, or numbers. The `bias` (outputs,) is added to a sum or linear function.
    """

    kind: Kind
    weight: Tensor
    bias: Tensor
    each: int = 1

    def combine(self, task: Task, said: Tensor) -> Tensor:
        """What all say together, logits or numbers (rows, outputs), of `said` (networks, rows, outputs), member by member."""
        members = torch.stack([average_predictions(task, own) for own in torch.split(said, self.each)])
        weight, bias = self.weight.to(said.dtype), self.bias.to(said.dtype)
        if self.kind == "linear":
            return display_outputs(task, members) @ weight.T + bias
        if self.kind == "mean" and task == "classification":
            return (members.log_softmax(2) + weight.log().view(-1, 1, 1)).logsumexp(0)
        return (weight.view(-1, 1, 1) * members).sum(0) + bias

    def trimmed(self, outputs: int) -> tuple[list[int], Combination]:
        """Which members have a part in it, and the same rule for these alone; the first, where it is a bias alone."""
        shares = self.shares(outputs)
        kept = [i for i, share in enumerate(shares.tolist()) if share] or [0]
        if self.kind == "linear":
            return kept, replace(self, weight=self.weight.view(outputs, -1, outputs)[:, kept].flatten(1))
        return kept, replace(self, weight=self.weight[kept])

    def shares(self, outputs: int) -> Tensor:
        """What part of all weight is each member's, (members,)."""
        size = self.weight.view(outputs, -1, outputs).abs().sum((0, 2)) if self.kind == "linear" else self.weight.abs()
        return size / size.sum().clamp(min=1e-30)


def display_outputs(task: Task, members: Tensor) -> Tensor:
    """What a linear function sees of `members` (members, rows, outputs): (rows, members × outputs)."""
    if task == "classification":
        members = members.log_softmax(2).clamp(min=_LEAST)
    return members.transpose(0, 1).flatten(1)
