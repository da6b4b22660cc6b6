import torch
from torch import Tensor

from hpo.core.samples import Samples
from hpo.nn.parameter import Parameter
from hpo.regularizers._adaptation import (
    adversary_parameters,
    domain_classification_loss,
    domain_features,
    ganin_schedule,
    reverse_gradient,
)
from hpo.regularizers.base import ForwardOutput, Regularizer, Step


class Dann(Regularizer):
    """Domain-adversarial training (Ganin et al., JMLR 2016).

    A small network, trained together with the main one, predicts from the features which domain a sample belongs
    to. Its gradient reaches the features reversed, multiplied by strength × Ganin's schedule, which rises from 0 to
    1 over the epochs.

    The adversary itself learns at the full learning rate, whatever the strength.
    """

    name = "dann"
    summary = "trains features from which an adversary cannot tell the domains apart (gradient reversal)"
    uses_target_batch = True
    needs = ("target", "features")
    prior = {"low": 0.01, "high": 10.0, "log": True, "optional": True}
    probe = (0.1, 5.0)
    source = "Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016"

    def extra_parameters(self, features: int, data: Samples) -> tuple[Parameter, ...]:
        del data
        return adversary_parameters(self.name, features)

    def loss(self, s: Tensor, step: Step, output: ForwardOutput) -> Tensor:
        features = reverse_gradient(torch.cat(domain_features(output), 1), s * ganin_schedule(step))
        return domain_classification_loss(self.name, step, features, output.logits.shape[1])
