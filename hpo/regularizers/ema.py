from torch import Tensor

from hpo.regularizers._fitwise import lerp_weights_
from hpo.regularizers.base import Regularizer, Step


class Ema(Regularizer):
    """Exponential moving average of the weights (Polyak & Juditsky, 1992).

    The average, running statistics included, is scored, kept and exported; training continues with the weights
    themselves. Each step counts `s` times as much as the next one. The initial weights do not count, thanks to the
    bias correction of Kingma & Ba (Adam, ICLR 2015, section 7.2): with `s` = 0 only the last step counts. A weight
    that L1 has driven to zero is not exactly zero in the average, because its earlier values fade out gradually.
    """

    name = "ema"
    summary = "scores and exports an exponential moving average of the weights, with this decay per step"
    needs_weight_copy = True
    allowed = (0.0, 1.0)
    prior = {"choices": [0.9, 0.97, 0.99, 0.997, 0.999], "optional": True}
    probe = (0.5, 0.99)
    source = (
        "Polyak & Juditsky, Acceleration of Stochastic Approximation by Averaging, "
        "SIAM J. Control and Optimization 1992"
    )

    def after_step(self, s: Tensor, step: Step) -> None:
        decay = s.double()  # 1 - 0.999 loses three digits
        steps = (step.epoch.double() - 1) * step.minibatches + step.minibatch + 1
        newest = (1 - decay) / (1 - decay**steps)
        lerp_weights_(step.weight_copies[self.name], step, step.flat_params, newest.to(s.dtype))

    def after_epoch(self, s: Tensor, step: Step, flat_params: Tensor) -> Tensor:
        del s, flat_params
        return step.weight_copies[self.name]
