import torch
from torch import Tensor

from hpo.nn.rng import Noise
from hpo.regularizers._images import Image, covered, rectangle
from hpo.regularizers._mixing import mixed, partners
from hpo.regularizers._sampling import happens, occurring, spread
from hpo.regularizers.base import Batch, Regularizer, Step


class CutMix(Regularizer):
    """With probability `s` a part of every sample of a minibatch is replaced by the same part of another sample: of images a rectangle, of
    tables a random share of columns. How large a part is drawn uniformly, and targets are mixed by what was really replaced."""

    name = "cutmix"
    summary = (
        "with this probability, replaces a part of every sample of a minibatch by another's, and mixes targets alike"
    )
    needs_rng = "step"
    soft_targets = True
    allowed = (0.0, 1.0)
    open_high = False
    prior = {"low": 0.1, "high": 1.0, "optional": True}
    probe = (0.2, 1.0)
    source = "Yun, Han, Oh, Chun, Choe & Yoo, CutMix, ICCV 2019"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        noise, x = step.noise[self.name][0], batch.x
        cut = happens(noise, s, ())
        size = noise.uniform(())
        if step.data.image:
            part = _rectangle(noise, size, step.data.image)
            share = part.mean(1)
        else:
            there = occurring(step.data, x)
            columns = happens(noise, size, (x.shape[2],)) * there
            share = columns.sum(1) / there.sum()
            part = spread(columns.unsqueeze(1), step.data).squeeze(1)
        part = (part * cut.unsqueeze(1)).unsqueeze(1)
        return mixed(batch, torch.lerp(x, partners(x), part), share * cut)


def _rectangle(noise: Noise, size: Tensor, image: Image) -> Tensor:
    """1 for the inputs within a rectangle at a random place, as wide and as high as the image times the root of `size` (fit,), else 0;
    (fit, inputs)."""
    places, root = noise.uniform((2,)), size.sqrt()
    rows, columns = (covered(places[:, i] * side, root * side, side) for i, side in enumerate(image[1:]))
    return rectangle(rows, columns, image)
