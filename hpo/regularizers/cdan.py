import math
from functools import lru_cache

import torch
from torch import Tensor

from hpo.core.samples import Samples
from hpo.nn.parameter import Parameter
from hpo.regularizers._adaptation import adversary, features, log_shares, reversal, rising, told_apart
from hpo.regularizers.base import ForwardOutput, Regularizer, Step

_MOST = 1024  # inputs of the adversary: where the product has more, it is a random one
_RANDOM = 256  # inputs then: so many are a half of the work of 1,280, while the paper's 1,024 would be the double


class Cdan(Regularizer):
    """Conditional adversarial domain adaptation (Long et al., NeurIPS 2018): as `dann`, but the adversary sees the outer product of
    features and predicted probabilities, so that a class is aligned with the same class. As in the paper's code no gradient goes
    through the probabilities; its weighting of rows by their entropy (CDAN+E) is left out.

    Where the product has more than 1,024 numbers, it is the paper's randomised one: the product of both sides, each times a fixed random
    matrix.
    """

    name = "cdan"
    summary = "as dann, but the adversary also knows which class the network predicts"
    uses_target_batch = True
    needs = ("target", "features", "classes")
    prior = {"low": 0.01, "high": 10.0, "log": True, "optional": True}
    probe = (0.1, 5.0)
    source = "Long, Cao, Wang & Jordan, Conditional Adversarial Domain Adaptation, NeurIPS 2018"

    def extra_parameters(self, features: int, data: Samples) -> tuple[Parameter, ...]:
        inputs = features * data.n_outputs
        return adversary(self.name, inputs if inputs <= _MOST else _RANDOM)

    def loss(self, s: Tensor, step: Step, seen: ForwardOutput) -> Tensor:
        assert seen.target_logits is not None
        both = reversal(
            torch.cat(features(seen), 1), s * rising(step)
        )  # before the product, which is linear in it, and large
        shares = log_shares(torch.cat([seen.logits.detach(), seen.target_logits.detach()], 1)).exp()
        return told_apart(self.name, step, product(both, shares), seen.logits.shape[1])


def product(h: Tensor, shares: Tensor) -> Tensor:
    """Features h (fit, batch, width) and shares (fit, batch, classes) as one, (fit, batch, width × classes), or a random
    product of fewer."""
    width, classes = h.shape[2], shares.shape[2]
    if width * classes <= _MOST:
        return (shares.unsqueeze(3) * h.unsqueeze(2)).flatten(2)
    one, other = (_random(n, side, h.dtype, h.device).expand(len(h), -1, -1) for side, n in enumerate((width, classes)))
    return torch.bmm(h, one) * torch.bmm(shares, other) / math.sqrt(_RANDOM)


@lru_cache(maxsize=64)
def _random(inputs: int, side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A matrix (inputs, outputs) of standard normal numbers, the same for all fits: what is random about it is none of a fit's luck."""
    numbers = torch.randn(inputs, _RANDOM, generator=torch.Generator().manual_seed(side), dtype=torch.float64)
    return numbers.to(dtype).to(device)
