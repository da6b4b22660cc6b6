from hpo.regularizers.base import Regularizer


class Epochs(Regularizer):
    """The maximum number of epochs, over which a cosine schedule also falls."""

    name = "epochs"
    summary = "maximum number of epochs; fewer keep the weights closer to their initial values"
    kind = "schedule"
    integer = True
    allowed = (1, 1_000_000)
    open_high = False
    default_value = 60
    prior = {"low": 20, "high": 100, "step": 20}
    direction = -1
    probe = (1, 3)
    source = "Hardt, Recht & Singer, Train faster, generalize better, ICML 2016"
