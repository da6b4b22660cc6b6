from dataclasses import replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hpo.regularizers.base import Batch, Regularizer, Step


class Variants(Regularizer):
    """What the regularizers of texts share, and `synthetic`: with probability `s`, one of a row's altered versions takes its place in a
    minibatch.

    The versions were made and turned into numbers before training (`data.variants`, (variants, rows, inputs)), for strings cannot be
    tensors; of each the same number of words is changed, so that the strength is how often a network reads one.
    Of several regularizers that are drawn for one row, the last in the family counts.
    """

    needs_rng = "step"
    needs: ClassVar[tuple[Literal["text", "generated"], ...]] = ("text",)
    allowed = (0.0, 1.0)
    open_high = False
    prior = {"low": 0.05, "high": 0.9, "optional": True}
    probe = (0.1, 0.9)

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        bank = step.data.augmented[self.name]
        u = step.noise[self.name][0].uniform((2, batch.index.shape[1]))
        drawn = (u[:, 1] * len(bank)).long() * bank.shape[1] + batch.index
        altered = bank.flatten(0, 1).index_select(0, drawn.flatten()).view_as(batch.x)
        return replace(batch, x=torch.where((u[:, 0] < s.unsqueeze(1)).unsqueeze(2), altered, batch.x))
