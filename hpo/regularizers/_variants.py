from dataclasses import replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hpo.regularizers.base import Batch, Regularizer, Step


class Variants(Regularizer):
    """Base of the regularizers that replace a row by one of its variants, such as an altered text.

    The variants were generated and encoded before training (`data.augmented`, (variants, rows, inputs)), since
    strings cannot be tensors. With probability `s`, one of them, drawn at random, takes the place of its row in a
    minibatch. All variants of a text differ from it in the same number of words, so that the strength is the
    probability of a replacement. If several of these regularizers replace the same row, the last one in the family
    wins.
    """

    needs_rng = "step"
    needs: ClassVar[tuple[Literal["text", "generated"], ...]] = ("text",)
    allowed = (0.0, 1.0)
    open_high = False
    prior = {"low": 0.05, "high": 0.9, "optional": True}
    probe = (0.1, 0.9)

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        variants = step.data.augmented[self.name]
        u = step.noise[self.name][0].uniform((2, batch.index.shape[1]))
        drawn = (u[:, 1] * len(variants)).long() * variants.shape[1] + batch.index
        replacements = variants.flatten(0, 1).index_select(0, drawn.flatten()).view_as(batch.x)
        return replace(batch, x=torch.where((u[:, 0] < s.unsqueeze(1)).unsqueeze(2), replacements, batch.x))
