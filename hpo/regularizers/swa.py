from torch import Tensor

from hpo.regularizers._fitwise import lerp_weights_
from hpo.regularizers.base import Regularizer, Step


class Swa(Regularizer):
    """Stochastic weight averaging (Izmailov et al., UAI 2018).

    In the last share `s` of all epochs, the mean of the weights at the ends of these epochs is scored, kept and
    exported; training continues with the weights themselves. The learning rate follows the schedule, and running
    statistics are averaged like weights. A weight is exactly zero in the mean if L1 held it at zero at the end of
    each of these epochs.
    """

    name = "swa"
    summary = "scores and exports the mean of the weights at the ends of this last share of the epochs"
    needs_weight_copy = True
    allowed = (0.0, 1.0)
    open_high = False
    prior = {"low": 0.1, "high": 0.75, "optional": True}
    probe = (0.8, 1.0)
    source = "Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, UAI 2018"

    def after_epoch(self, s: Tensor, step: Step, flat_params: Tensor) -> Tensor:
        # The number of averaged epochs, including the current one; 0 or less before the first averaged epoch.
        averaged = step.epoch - (step.epochs - (s * step.epochs).round())
        mean = step.weight_copies[self.name]
        lerp_weights_(mean, step, flat_params, 1 / averaged.clamp(min=1))
        return mean
