from hpo.regularizers.base import Regularizer


class Epochs(Regularizer):
    """The number of epochs after which training ends at the latest, over which a cosine schedule falls, too."""

    name = "epochs"
    summary = "number of epochs at most; fewer hold the weights nearer to where they began"
    kind = "schedule"
    integer = True
    allowed = (1, 1_000_000)
    open_high = False
    default_value = 60
    prior = {"low": 20, "high": 100, "step": 20}
    direction = -1
    probe = (1, 3)
    source = "Hardt, Recht & Singer, Train faster, generalize better, ICML 2016"
