from hpo.regularizers.base import Regularizer


class Schedule(Regularizer):
    """How the learning rate goes on from its first value: it stays, or falls to 0 along half a cosine. Neither is the more
    regularized one."""

    name = "schedule"
    summary = "how the learning rate goes on: constant, or falling as half a cosine"
    kind = "schedule"
    choices = ("constant", "cosine")
    default_value = "constant"
    prior = {"choices": ["constant", "cosine"]}
    direction = 0
    probe = ("constant", "cosine")
    source = "Loshchilov & Hutter, SGDR, ICLR 2017"
