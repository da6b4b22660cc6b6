"""Rules that combine the outputs of several networks into one prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from hpo.core.metrics import Task, average_predictions

Kind = Literal["mean", "sum", "linear"]
_MIN_LOG_PROBABILITY = -20.0  # the lower bound of log probabilities in a linear rule


@dataclass(frozen=True)
class Combination:
    """A rule that combines the members of an ensemble.

    Each member averages the predictions of `networks_per_member` networks.

    `mean`: the weighted mean of probabilities or numbers; `weight` (members,) sums to 1. `sum`: the weighted sum of
    the outputs, with `weight` (members,). `linear`: `weight` (outputs, members × outputs), applied to the
    concatenated outputs of the members, as log probabilities or numbers. `bias` (outputs,) is added to
    the result of `sum` and `linear`. In a classification, the combined logits are divided by `temperature`.
    """

    kind: Kind
    weight: Tensor
    bias: Tensor
    networks_per_member: int = 1
    temperature: float = 1.0

    def combine(self, task: Task, outputs: Tensor) -> Tensor:
        """Return the combined logits or numbers (rows, outputs).

        `outputs` (networks, rows, outputs) lists the networks member by member.
        """
        groups = torch.split(outputs, self.networks_per_member)
        members = torch.stack([average_predictions(task, group) for group in groups])
        combined = self._combine_members(task, members)
        return combined / self.temperature if task == "classification" else combined

    def _combine_members(self, task: Task, members: Tensor) -> Tensor:
        """Return the combined outputs (rows, outputs) of `members` (members, rows, outputs)."""
        weight, bias = self.weight.to(members.dtype), self.bias.to(members.dtype)
        if self.kind == "linear":
            return stacking_inputs(task, members) @ weight.T + bias
        if self.kind == "mean" and task == "classification":
            return (members.log_softmax(2) + weight.log().view(-1, 1, 1)).logsumexp(0)
        return (weight.view(-1, 1, 1) * members).sum(0) + bias

    def without_unused_members(self, outputs: int) -> tuple[list[int], Combination]:
        """Return the indices of the members with a non-zero weight, and the same rule for these members only.

        If all weights are zero, the first member is kept.
        """
        shares = self.member_shares(outputs)
        used = [i for i, share in enumerate(shares.tolist()) if share] or [0]
        if self.kind == "linear":
            return used, replace(self, weight=self.weight.view(outputs, -1, outputs)[:, used].flatten(1))
        return used, replace(self, weight=self.weight[used])

    def member_shares(self, outputs: int) -> Tensor:
        """Return the share of each member in the sum of absolute weights, (members,)."""
        size = self.weight.view(outputs, -1, outputs).abs().sum((0, 2)) if self.kind == "linear" else self.weight.abs()
        return size / size.sum().clamp(min=1e-30)


def stacking_inputs(task: Task, members: Tensor) -> Tensor:
    """Return the inputs of a linear rule, (rows, members × outputs), from the outputs (members, rows, outputs)."""
    if task == "classification":
        members = members.log_softmax(2).clamp(min=_MIN_LOG_PROBABILITY)
    return members.transpose(0, 1).flatten(1)
