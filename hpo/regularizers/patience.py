from hpo.regularizers.base import Regularizer


class Patience(Regularizer):
    """Early stopping: training ends after this many epochs without a better validation score."""

    name = "patience"
    summary = "number of epochs without improvement after which training ends"
    kind = "schedule"
    integer = True
    allowed = (1, 1_000_000)
    open_high = False
    default_value = 10
    prior = {"low": 5, "high": 30, "step": 5}
    direction = -1
    probe = (1, 10)
    source = "Prechelt, Early Stopping: But When?, 1998"
