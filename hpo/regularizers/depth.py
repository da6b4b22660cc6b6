from hpo.regularizers.base import Regularizer


class Depth(Regularizer):
    """The number of hidden layers.

    Fewer layers regularize more. The depth changes tensor shapes, so it decides which stack a fit joins; there is
    no hook.
    """

    name = "depth"
    summary = "number of hidden layers"
    kind = "structure"
    integer = True
    allowed = (1, 32)
    open_high = False
    default_value = 2
    prior = {"low": 1, "high": 4}
    direction = -1
    probe = (1, 2)
    source = "LeCun, Bengio & Hinton, Deep learning, Nature 2015"
