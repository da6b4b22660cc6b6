import math
from functools import lru_cache

import torch
from torch import Tensor

from hpo.core.samples import Samples
from hpo.nn.parameter import Parameter
from hpo.regularizers._adaptation import (
    adversary_parameters,
    domain_classification_loss,
    domain_features,
    ganin_schedule,
    log_probabilities,
    reverse_gradient,
)
from hpo.regularizers.base import ForwardOutput, Regularizer, Step

_MAX_INPUTS = 1024  # of the adversary; larger outer products are randomized
_RANDOM_INPUTS = 256  # of a randomized product: half the work of 1,280; the paper's 1,024 would double it


class Cdan(Regularizer):
    """Conditional adversarial domain adaptation (Long et al., NeurIPS 2018).

    As in `dann`, but the adversary is given the outer product of features and predicted probabilities, so that each
    class is aligned with the same class of the other domain. As in the authors' code, no gradient flows through the
    probabilities; the paper's weighting of samples by their entropy (CDAN+E) is left out.

    If the outer product has more than 1,024 elements, it is replaced by the paper's randomized product: the
    element-wise product of both factors, each multiplied by a fixed random matrix.
    """

    name = "cdan"
    summary = "as dann, but the adversary is also given the predicted class probabilities"
    uses_target_batch = True
    needs = ("target", "features", "classes")
    prior = {"low": 0.01, "high": 10.0, "log": True, "optional": True}
    probe = (0.1, 5.0)
    source = "Long, Cao, Wang & Jordan, Conditional Adversarial Domain Adaptation, NeurIPS 2018"

    def extra_parameters(self, features: int, data: Samples) -> tuple[Parameter, ...]:
        inputs = features * data.n_outputs
        return adversary_parameters(self.name, inputs if inputs <= _MAX_INPUTS else _RANDOM_INPUTS)

    def loss(self, s: Tensor, step: Step, output: ForwardOutput) -> Tensor:
        assert output.target_logits is not None
        # Reverse the gradient before the product, which is linear in the features but has more elements.
        features = reverse_gradient(torch.cat(domain_features(output), 1), s * ganin_schedule(step))
        probabilities = log_probabilities(torch.cat([output.logits.detach(), output.target_logits.detach()], 1)).exp()
        inputs = outer_product(features, probabilities)
        return domain_classification_loss(self.name, step, inputs, output.logits.shape[1])


def outer_product(h: Tensor, probabilities: Tensor) -> Tensor:
    """Return the outer product of features and class probabilities, (fit, batch, width × classes).

    `h` is (fit, batch, width), `probabilities` (fit, batch, classes). Products of more than `_MAX_INPUTS` elements
    are randomized to (fit, batch, _RANDOM_INPUTS).
    """
    sides = (h, probabilities)
    if h.shape[2] * probabilities.shape[2] <= _MAX_INPUTS:
        return (probabilities.unsqueeze(3) * h.unsqueeze(2)).flatten(2)
    matrices = (_random_projection(side.shape[2], seed, h.dtype, h.device) for seed, side in enumerate(sides))
    first, second = (torch.bmm(side, m.expand(len(h), -1, -1)) for side, m in zip(sides, matrices, strict=True))
    return first * second / math.sqrt(_RANDOM_INPUTS)


@lru_cache(maxsize=64)
def _random_projection(inputs: int, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a standard normal matrix (inputs, _RANDOM_INPUTS), the same for all fits."""
    numbers = torch.randn(inputs, _RANDOM_INPUTS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return numbers.to(dtype).to(device)
