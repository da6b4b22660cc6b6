from dataclasses import replace

from torch import Tensor

from hpo.regularizers._sampling import bernoulli, columns_to_inputs
from hpo.regularizers.base import Batch, Regularizer, Step


class FeatureDropout(Regularizer):
    """Each column of the table is set to 0 with probability `s`, separately for each sample.

    For a numeric column, which is standardized, 0 is the mean. All inputs of a categorical column are set to 0
    together, so that it has no category. The remaining inputs are not rescaled, so that an input means the same as in
    evaluation.
    """

    name = "feature_dropout"
    summary = "sets each table column to 0, its mean, with this probability"
    needs_rng = "step"
    allowed = (0.0, 1.0)
    prior = {"low": 0.01, "high": 0.5, "optional": True}
    probe = (0.1, 0.9)
    source = "Vincent, Larochelle, Lajoie, Bengio & Manzagol, Stacked Denoising Autoencoders, JMLR 2010 (masking noise)"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        kept = bernoulli(step.noise[self.name][0], 1 - s, tuple(batch.x.shape[1:]))
        return replace(batch, x=batch.x * columns_to_inputs(kept, step.data))
