from dataclasses import replace

from torch import Tensor

from hpo.regularizers.base import Batch, Regularizer, Step


class Importance(Regularizer):
    """Rows are weighted by the ratio of the target's density to the source's at their inputs, to the power `s`: 0 leaves them alike, 1 makes the
    loss that of the target's rows, as far as labels depend on inputs alike in both domains. Between the two, less bias is bought with
    direction variance (Shimodaira's flattening). The ratio is estimated once a fold, before training (`hpo/density.py`)."""

    name = "importance"
    summary = "weights rows by how much more common they are in the other domain, to the power of this number"
    needs = ("target",)
    allowed = (0.0, 1.0)
    open_high = False
    prior = {"low": 0.1, "high": 1.0, "optional": True}
    probe = (0.2, 1.0)
    source = "Shimodaira, Improving Predictive Inference under Covariate Shift by Weighting the Log-Likelihood Function, JSPI 2000"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        ratio = step.data.ratios(batch.index)
        assert ratio is not None, "samples for which importance was named have density ratios"
        weight = (ratio.log() * s.unsqueeze(1)).exp()  # exactly 1 where s is 0
        return replace(batch, weight=weight if batch.weight is None else weight * batch.weight)
