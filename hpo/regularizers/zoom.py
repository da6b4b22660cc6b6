from dataclasses import replace

from torch import Tensor

from hpo.regularizers._images import pixel_offsets, resample, uniform_within
from hpo.regularizers.base import Batch, Regularizer, Step


class Zoom(Regularizer):
    """Each image is scaled about its center by a factor between 1 - s and 1 + s.

    Beyond the border, the colors of the border continue.
    """

    name = "zoom"
    summary = "scales images by a factor of up to 1 ± this"
    needs_rng = "step"
    needs = ("image",)
    allowed = (0.0, 1.0)
    prior = {"low": 0.02, "high": 0.3, "optional": True}
    probe = (0.1, 0.6)
    source = "Simard, Steinkraus & Platt, Best Practices for Convolutional Neural Networks, ICDAR 2003"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        image = step.data.image
        scale = (1 + uniform_within(step.noise[self.name][0], s, batch.x.shape[1]))[..., None, None]
        down, right = (t / scale for t in pixel_offsets(batch.x, image))
        zeros = batch.x.new_zeros(image[1:])
        return replace(batch, x=resample(batch.x, image, (down, zeros), (right, zeros), s > 0))
