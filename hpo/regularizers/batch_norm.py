from hpo.regularizers.base import Regularizer


class BatchNorm(Regularizer):
    """Batch normalisation after the linear part of each hidden layer: the minibatch that a row of data happens to be in acts as
    noise. It decides which stack a fit joins; it has no hook."""

    name = "batch_norm"
    summary = "scales every hidden unit by its mean and deviation in the minibatch"
    kind = "structure"
    needs = ("mlp",)
    choices = (False, True)
    default_value = False
    prior = {"choices": [False, True]}
    probe = (False, True)
    source = "Ioffe & Szegedy, Batch Normalization, ICML 2015"
