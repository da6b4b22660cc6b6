from torch import Tensor

from hpo.regularizers._rowwise import follow_
from hpo.regularizers.base import Regularizer, Step

_EVERY = 6  # minibatches; the paper tries 5 and 10


class Lookahead(Regularizer):
    """Lookahead (Zhang et al., NeurIPS 2019) around AdamW: every six minibatches of an epoch, and at its end, the weights are
    pulled back by this share of the way to the slow weights, which then are where they are. The paper's α is 1 - `s`. AdamW's
    moments go on; running statistics are pulled back with the weights. L1, group lasso and max-norm act behind it, so that what they have
    at zero or at a bound is there when it is scored."""

    name = "lookahead"
    summary = "pulls the weights back by this share of the way that they have come in the last minibatches"
    needs_weight_copy = True
    allowed = (0.0, 1.0)
    prior = {"low": 0.2, "high": 0.8, "optional": True}
    probe = (0.2, 0.8)
    source = "Zhang et al., Lookahead Optimizer: k steps forward, 1 step back, NeurIPS 2019"

    def after_step(self, s: Tensor, step: Step) -> None:
        done = step.minibatch + 1
        if done % _EVERY == 0 or done == step.minibatches:
            slow = step.weight_copies[self.name]
            follow_(slow, step, step.flat_params, 1 - s)
            step.flat_params.copy_(slow)
