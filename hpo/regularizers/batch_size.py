from hpo.regularizers.base import Regularizer


class BatchSize(Regularizer):
    """The number of rows of data in a minibatch. Rows of a stack step together, so it decides which stack a fit joins. The
    gradient of fewer rows is noisier, which is the more regularized training."""

    name = "batch_size"
    summary = "number of rows of data in a minibatch; fewer make a noisier gradient"
    kind = "schedule"
    integer = True
    allowed = (1, 65_536)
    open_high = False
    default_value = 64
    prior = {"choices": [32, 64, 128]}
    direction = -1
    probe = (16, 32)
    source = "Keskar et al., On Large-Batch Training for Deep Learning, ICLR 2017"
