from torch import Tensor

from hpo.regularizers._rowwise import follow_
from hpo.regularizers.base import Regularizer, Step


class Swa(Regularizer):
    """Stochastic weight averaging (Izmailov et al., UAI 2018): in the last share `s` of all epochs, what is scored, kept and exported is
    the mean of the weights at their ends; training goes on with the weights themselves. The learning rate is the schedule's, and
    running statistics are averaged as weights are. A weight is zero in the mean if L1 held it there at the end of all these epochs."""

    name = "swa"
    summary = "scores and exports the mean of the weights at the ends of the last epochs: of this share of them"
    needs_weight_copy = True
    allowed = (0.0, 1.0)
    open_high = False
    prior = {"low": 0.1, "high": 0.75, "optional": True}
    probe = (0.8, 1.0)
    source = "Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, UAI 2018"

    def after_epoch(self, s: Tensor, step: Step, values: Tensor) -> Tensor:
        averaged = step.epoch - (
            step.epochs - (s * step.epochs).round()
        )  # epochs, with this one; before the first 0 or less
        mean = step.weight_copies[self.name]
        follow_(mean, step, values, 1 / averaged.clamp(min=1))
        return mean
