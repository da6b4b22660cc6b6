from dataclasses import replace

from torch import Tensor

from hpo.regularizers.base import Batch, Regularizer, Step


class Importance(Regularizer):
    """Importance weighting: samples are weighted by their density ratio to the power `s`.

    The ratio is the density of the target domain over that of the source domain at the inputs of a sample. With
    `s` = 0, all samples have the same weight. With 1, the loss estimates that of the target domain, provided that
    labels depend on inputs in the same way in both domains. Values between 0 and 1 have more bias but less variance
    than 1 (Shimodaira's flattening). The ratio is estimated once per fold, before training
    (`hpo/data/density_ratio.py`).
    """

    name = "importance"
    summary = "weights samples by how much more common they are in the other domain, to this power"
    needs = ("target",)
    allowed = (0.0, 1.0)
    open_high = False
    prior = {"low": 0.1, "high": 1.0, "optional": True}
    probe = (0.2, 1.0)
    source = (
        "Shimodaira, Improving Predictive Inference under Covariate Shift by Weighting the Log-Likelihood Function, "
        "JSPI 2000"
    )

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        ratio = step.data.density_ratios(batch.index)
        assert ratio is not None, "the data of a search with `importance` have density ratios"
        weight = (ratio.log() * s.unsqueeze(1)).exp()  # exactly 1 where s is 0
        return replace(batch, weight=weight if batch.weight is None else weight * batch.weight)
