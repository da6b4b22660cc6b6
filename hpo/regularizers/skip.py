from hpo.nets import SKIPS
from hpo.regularizers.base import Regularizer


class Skip(Regularizer):
    """Connections around each hidden layer, from the second one on.

    The choices are no connection, a plain residual connection, or residual connections with noise on the output of the
    layer in training (see `hpo.nets.combine_branches`). The setting decides which stack a fit joins; there is no hook.
    """

    name = "skip"
    summary = "adds the input of a hidden layer to its output, optionally with noise on the layer in training"
    kind = "structure"
    needs = ("mlp",)
    choices = tuple(SKIPS)
    default_value = "none"
    prior = {"choices": list(SKIPS)}
    probe = ("none", "shake-drop")
    source = (
        "He et al., CVPR 2016; Gastaldi, Shake-Shake regularization, 2017; Yamada et al., ShakeDrop, IEEE Access 2019"
    )
