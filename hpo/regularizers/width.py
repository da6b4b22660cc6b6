from hpo.regularizers.base import Regularizer


class Width(Regularizer):
    """The number of units of a hidden layer, or the argument `width` of a network factory.

    Fewer units regularize more. The width changes tensor shapes, so it decides which stack a fit joins; there is no
    hook.
    """

    name = "width"
    summary = "number of units of a hidden layer"
    kind = "structure"
    integer = True
    allowed = (1, 65_536)
    open_high = False
    default_value = 128
    prior = {"choices": [32, 64, 128, 256]}
    direction = -1
    probe = (4, 8)
    source = "Goodfellow, Bengio & Courville, Deep Learning, 2016, section 5.2"
