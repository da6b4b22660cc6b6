from torch import Tensor

from hpo.regularizers._fitwise import lerp_weights_
from hpo.regularizers.base import Regularizer, Step

_INTERVAL = 6  # minibatches; the paper tries 5 and 10


class Lookahead(Regularizer):
    """Lookahead (Zhang et al., NeurIPS 2019) around AdamW.

    Every six minibatches of an epoch, and at its end, the weights move back towards the slow weights by this share
    of the distance; then the slow weights are set to them. The paper's α is 1 - `s`. AdamW's moments continue;
    running statistics are pulled back with the weights. L1, group lasso and max-norm act afterwards, so that their
    zeros and bounds hold when the network is scored.
    """

    name = "lookahead"
    summary = "pulls the weights back by this share of their change over the last six minibatches"
    needs_weight_copy = True
    allowed = (0.0, 1.0)
    prior = {"low": 0.2, "high": 0.8, "optional": True}
    probe = (0.2, 0.8)
    source = "Zhang et al., Lookahead Optimizer: k steps forward, 1 step back, NeurIPS 2019"

    def after_step(self, s: Tensor, step: Step) -> None:
        done = step.minibatch + 1
        if done % _INTERVAL == 0 or done == step.minibatches:
            slow = step.weight_copies[self.name]
            lerp_weights_(slow, step, step.flat_params, 1 - s)
            step.flat_params.copy_(slow)
