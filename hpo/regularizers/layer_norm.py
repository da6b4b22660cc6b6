from hpo.regularizers.base import Regularizer


class LayerNorm(Regularizer):
    """Layer normalization after the linear part of each hidden layer.

    It follows batch normalization if both are used. The setting decides which stack a fit joins; there is no hook.
    """

    name = "layer_norm"
    summary = "normalizes the hidden units of a layer by their common mean and deviation"
    kind = "structure"
    needs = ("mlp",)
    choices = (False, True)
    default_value = False
    prior = {"choices": [False, True]}
    probe = (False, True)
    source = "Ba, Kiros & Hinton, Layer Normalization, 2016"
