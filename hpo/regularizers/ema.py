from torch import Tensor

from hpo.regularizers._rowwise import follow_
from hpo.regularizers.base import Regularizer, Step


class Ema(Regularizer):
    """The exponential moving average of the weights (Polyak & Juditsky, 1992), running statistics included, is scored, kept and
    exported; training goes on with the weights themselves. Each step weighs `s` times as much as the next. Where the weights
    began counts nothing, by the bias correction of Kingma & Ba (Adam, ICLR 2015, section 7.2): `s` = 0 is the last step alone.
    A weight that L1 has come to hold at zero is not zero in the mean: what it was before fades out."""

    name = "ema"
    summary = "scores and exports the moving average of the weights, with this decay a step"
    needs_weight_copy = True
    allowed = (0.0, 1.0)
    prior = {"choices": [0.9, 0.97, 0.99, 0.997, 0.999], "optional": True}
    probe = (0.5, 0.99)
    source = "Polyak & Juditsky, Acceleration of Stochastic Approximation by Averaging, SIAM J. Control and Optimization 1992"

    def after_step(self, s: Tensor, step: Step) -> None:
        decay = s.double()  # 1 - 0.999 has three digits less
        steps = (step.epoch.double() - 1) * step.minibatches + step.minibatch + 1
        newest = (1 - decay) / (1 - decay**steps)
        follow_(step.weight_copies[self.name], step, step.flat_params, newest.to(s.dtype))

    def after_epoch(self, s: Tensor, step: Step, values: Tensor) -> Tensor:
        del s, values
        return step.weight_copies[self.name]
