from dataclasses import replace

import torch
from torch import Tensor

from hpo.core.samples import Samples
from hpo.regularizers._sampling import bernoulli, columns_to_inputs
from hpo.regularizers.base import Batch, Regularizer, Step


class SwapNoise(Regularizer):
    """Swap noise (Jahrer's denoising autoencoders): columns take their values from other samples.

    Each column of the table takes its value from another sample of the minibatch with probability `s`, with all
    inputs of a category together, so that every value is one that the column can have.
    """

    name = "swap_noise"
    summary = "replaces the value of a column by that of another sample in the minibatch, with this probability"
    needs_rng = "step"
    allowed = (0.0, 1.0)
    open_high = False
    prior = {"low": 0.01, "high": 0.4, "optional": True}
    probe = (0.1, 0.9)
    source = (
        "Vincent, Larochelle, Lajoie, Bengio & Manzagol, Stacked Denoising Autoencoders, JMLR 2010; "
        "Jahrer, Porto Seguro's 1st place, 2017"
    )

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        swapped = bernoulli(step.noise[self.name][0], s, tuple(batch.x.shape[1:]))
        others = _shuffle_columns(batch.x, step.data)
        return replace(batch, x=torch.lerp(batch.x, others, columns_to_inputs(swapped, step.data)))


def _shuffle_columns(x: Tensor, data: Samples) -> Tensor:
    """Return `x` (fit, batch, inputs) with the values of each column from another sample.

    The first column takes its values from the next sample, the second column from the one after it, and so on.
    Minibatches are shuffled, so these are random samples, and the columns of a sample come from different ones.
    """
    fits, rows, inputs = x.shape
    sample, position = torch.arange(rows, device=x.device).unsqueeze(1), torch.arange(inputs, device=x.device)
    column = data.columns if len(data.columns) else position
    other = (sample + 1 + column % max(rows - 1, 1)) % rows
    return x.flatten(1).index_select(1, (other * inputs + position).flatten()).view(fits, rows, inputs)
