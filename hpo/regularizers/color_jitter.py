from dataclasses import replace

import torch
from torch import Tensor

from hpo.regularizers._images import uniform_within
from hpo.regularizers.base import Batch, Regularizer, Step


class ColorJitter(Regularizer):
    """Random contrast and brightness of images.

    The contrast of each image, its distance from its own mean, is multiplied by a factor between 1 - s and 1 + s,
    and its brightness changes by up to `s` standard deviations of the pixels.
    """

    name = "color_jitter"
    summary = "changes the contrast and brightness of images by up to ± this"
    needs_rng = "step"
    needs = ("image",)
    allowed = (0.0, 1.0)
    open_high = False
    prior = {"low": 0.02, "high": 0.5, "optional": True}
    probe = (0.1, 0.9)
    source = "Howard, Some Improvements on Deep Convolutional Neural Network Based Image Classification, 2013"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        noise, x = step.noise[self.name][0], batch.x
        contrast, brightness = (uniform_within(noise, s, x.shape[1]).unsqueeze(2) for _ in range(2))
        return replace(batch, x=torch.addcmul(brightness - x.mean(2, keepdim=True) * contrast, x, 1 + contrast))
