from hpo.nets import SKIPS
from hpo.regularizers.base import Regularizer


class Skip(Regularizer):
    """What carries the input of a hidden layer past it, from the second layer on: nothing, a plain shortcut, or one beside which
    what the layer adds is shaken while training (see `hpo.nets.joined`). It decides which stack a fit joins; it has no hook."""

    name = "skip"
    summary = "adds a hidden layer's input to its output, and shakes what the layer adds while training"
    kind = "structure"
    needs = ("mlp",)
    choices = tuple(SKIPS)
    default_value = "none"
    prior = {"choices": list(SKIPS)}
    probe = ("none", "shake-drop")
    source = (
        "He et al., CVPR 2016; Gastaldi, Shake-Shake regularization, 2017; Yamada et al., ShakeDrop, IEEE Access 2019"
    )
