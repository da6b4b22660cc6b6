from hpo.regularizers.base import Regularizer


class Schedule(Regularizer):
    """The learning rate schedule: constant, or half a cosine that falls to 0.

    Neither choice regularizes more.
    """

    name = "schedule"
    summary = "learning rate schedule: constant, or falling as half a cosine"
    kind = "schedule"
    choices = ("constant", "cosine")
    default_value = "constant"
    prior = {"choices": ["constant", "cosine"]}
    direction = 0
    probe = ("constant", "cosine")
    source = "Loshchilov & Hutter, SGDR, ICLR 2017"
