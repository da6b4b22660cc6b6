from hpo.regularizers.base import Regularizer


class BatchNorm(Regularizer):
    """Batch normalization after the linear part of each hidden layer.

    A sample is normalized by the minibatch that it happens to be in, which acts as noise. The setting decides which
    stack a fit joins; there is no hook.
    """

    name = "batch_norm"
    summary = "normalizes each hidden unit by its mean and deviation in the minibatch"
    kind = "structure"
    needs = ("mlp",)
    choices = (False, True)
    default_value = False
    prior = {"choices": [False, True]}
    probe = (False, True)
    source = "Ioffe & Szegedy, Batch Normalization, ICML 2015"
