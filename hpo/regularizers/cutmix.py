import torch
from torch import Tensor

from hpo.nn.rng import Noise
from hpo.regularizers._images import Image, interval_mask, rectangle_mask
from hpo.regularizers._mixing import mix, partners
from hpo.regularizers._sampling import bernoulli, column_mask, columns_to_inputs
from hpo.regularizers.base import Batch, Regularizer, Step


class CutMix(Regularizer):
    """With probability `s`, a part of every sample of a minibatch is replaced by the same part of another sample.

    In images the part is a rectangle, in tables a random share of the columns. Its size is drawn uniformly, and the
    targets are mixed in the proportion that was actually replaced.
    """

    name = "cutmix"
    summary = "replaces a part of each sample by that of another and mixes their targets, with this probability"
    needs_rng = "step"
    soft_targets = True
    allowed = (0.0, 1.0)
    open_high = False
    prior = {"low": 0.1, "high": 1.0, "optional": True}
    probe = (0.2, 1.0)
    source = "Yun, Han, Oh, Chun, Choe & Yoo, CutMix, ICCV 2019"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        noise, x = step.noise[self.name][0], batch.x
        cut = bernoulli(noise, s, ())
        size = noise.uniform(())
        if step.data.image:
            part = _rectangle_mask(noise, size, step.data.image)
            share = part.mean(1)
        else:
            existing = column_mask(step.data, x)
            columns = bernoulli(noise, size, (x.shape[2],)) * existing
            share = columns.sum(1) / existing.sum()
            part = columns_to_inputs(columns.unsqueeze(1), step.data).squeeze(1)
        part = (part * cut.unsqueeze(1)).unsqueeze(1)
        return mix(batch, torch.lerp(x, partners(x), part), share * cut)


def _rectangle_mask(noise: Noise, size: Tensor, image: Image) -> Tensor:
    """Return 1 for the inputs within a rectangle at a random place, else 0, (fit, inputs).

    Its sides are those of the image times the square root of `size` (fit,).
    """
    places, root = noise.uniform((2,)), size.sqrt()
    rows, columns = (interval_mask(places[:, i] * side, root * side, side) for i, side in enumerate(image[1:]))
    return rectangle_mask(rows, columns, image)
