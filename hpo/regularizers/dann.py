import torch
from torch import Tensor

from hpo.core.samples import Samples
from hpo.nn.parameter import Parameter
from hpo.regularizers._adaptation import adversary, features, reversal, rising, told_apart
from hpo.regularizers.base import ForwardOutput, Regularizer, Step


class Dann(Regularizer):
    """Domain-adversarial training (Ganin et al., JMLR 2016): a small network, trained besides, tells from the features which domain a row
    is of, and its gradient reaches them reversed, times strength × Ganin's schedule, which rises from 0 to 1 over the epochs.

    The adversary itself learns at the full learning rate, whatever the strength.
    """

    name = "dann"
    summary = (
        "makes features from which an adversary cannot tell the domains (gradient reversal, rising over the epochs)"
    )
    uses_target_batch = True
    needs = ("target", "features")
    prior = {"low": 0.01, "high": 10.0, "log": True, "optional": True}
    probe = (0.1, 5.0)
    source = "Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016"

    def extra_parameters(self, features: int, data: Samples) -> tuple[Parameter, ...]:
        del data
        return adversary(self.name, features)

    def loss(self, s: Tensor, step: Step, seen: ForwardOutput) -> Tensor:
        both = torch.cat(features(seen), 1)
        return told_apart(self.name, step, reversal(both, s * rising(step)), seen.logits.shape[1])
