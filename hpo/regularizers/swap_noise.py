from dataclasses import replace

import torch
from torch import Tensor

from hpo.core.samples import Samples
from hpo.regularizers._sampling import happens, spread
from hpo.regularizers.base import Batch, Regularizer, Step


class SwapNoise(Regularizer):
    """Each column of the table takes its value from another sample of the minibatch with probability `s`, with all inputs of a category
    together (the swap noise of Jahrer's denoising autoencoders), so that every value is one that the column can have."""

    name = "swap_noise"
    summary = "takes a column's value from another row of the minibatch with this probability"
    needs_rng = "step"
    allowed = (0.0, 1.0)
    open_high = False
    prior = {"low": 0.01, "high": 0.4, "optional": True}
    probe = (0.1, 0.9)
    source = "Vincent, Larochelle, Lajoie, Bengio & Manzagol, Stacked Denoising Autoencoders, JMLR 2010; Jahrer, Porto Seguro's 1st place, 2017"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        taken = happens(step.noise[self.name][0], s, tuple(batch.x.shape[1:]))
        return replace(batch, x=torch.lerp(batch.x, _others(batch.x, step.data), spread(taken, step.data)))


def _others(x: Tensor, data: Samples) -> Tensor:
    """`x` (fit, batch, inputs) with each column from another sample: its neighbour, the one after that, … Minibatches are shuffled, so
    these are random ones, and the columns of a sample come from different ones."""
    fits, rows, inputs = x.shape
    sample, place = torch.arange(rows, device=x.device).unsqueeze(1), torch.arange(inputs, device=x.device)
    column = data.columns if len(data.columns) else place
    other = (sample + 1 + column % max(rows - 1, 1)) % rows
    return x.flatten(1).index_select(1, (other * inputs + place).flatten()).view(fits, rows, inputs)
