from dataclasses import replace

import torch
from torch import Tensor

from hpo.regularizers._sampling import bernoulli
from hpo.regularizers.base import Batch, Regularizer, Step


class Flip(Regularizer):
    """Each image is mirrored, left to right, with probability `s`.

    Unsuitable for digits, letters and anything else whose mirror image has another meaning.
    """

    name = "flip"
    summary = "mirrors images left to right with this probability; not for digits or letters"
    needs_rng = "step"
    needs = ("image",)
    allowed = (0.0, 1.0)
    open_high = False
    prior = {"low": 0.05, "high": 0.5, "optional": True}
    probe = (0.1, 0.9)
    source = (
        "Krizhevsky, Sutskever & Hinton, ImageNet Classification with Deep Convolutional Neural Networks, NeurIPS 2012"
    )

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        x = batch.x
        mirrored = x.view(*x.shape[:2], *step.data.image).flip(4).flatten(2)
        return replace(batch, x=torch.lerp(x, mirrored, bernoulli(step.noise[self.name][0], s, (x.shape[1], 1))))
