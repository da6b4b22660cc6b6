import math
from dataclasses import replace

from torch import Tensor

from hpo.regularizers._images import rotate, uniform_within
from hpo.regularizers.base import Batch, Regularizer, Step


class Rotation(Regularizer):
    """Each image is rotated about its center by an angle between -s and s degrees.

    Beyond the border, the colors of the border continue.
    """

    name = "rotation"
    summary = "rotates images by up to this many degrees"
    needs_rng = "step"
    needs = ("image",)
    allowed = (0.0, 180.0)
    open_high = False
    prior = {"low": 2.0, "high": 30.0, "optional": True}
    probe = (5.0, 90.0)
    source = "Simard, Steinkraus & Platt, Best Practices for Convolutional Neural Networks, ICDAR 2003"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        angle = uniform_within(step.noise[self.name][0], s * (math.pi / 180), batch.x.shape[1])
        return replace(batch, x=rotate(batch.x, step.data.image, angle, s > 0))
