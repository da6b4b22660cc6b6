from hpo.regularizers.base import Regularizer


class BatchSize(Regularizer):
    """The number of samples in a minibatch.

    The gradient of fewer samples is noisier, which regularizes more. The fits of a stack step together, so the
    batch size decides which stack a fit joins.
    """

    name = "batch_size"
    summary = "number of samples in a minibatch; smaller ones give a noisier gradient"
    kind = "schedule"
    integer = True
    allowed = (1, 65_536)
    open_high = False
    default_value = 64
    prior = {"choices": [32, 64, 128]}
    direction = -1
    probe = (16, 32)
    source = "Keskar et al., On Large-Batch Training for Deep Learning, ICLR 2017"
