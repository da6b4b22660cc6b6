from torch import Tensor

from hpo.regularizers._adaptation import log_shares, mean_entropy
from hpo.regularizers.base import ForwardOutput, Regularizer, Step


class Entropy(Regularizer):
    """Entropy minimisation (Grandvalet & Bengio, NeurIPS 2004): strength × the mean entropy of what is predicted on the other domain, so that
    classes part where its rows are few. By itself it is content with a single class; see `infomax`."""

    name = "entropy"
    summary = "adds the strength × mean entropy of the predictions on the other domain to the loss"
    uses_target_batch = True
    needs = ("target", "classes")
    prior = {"low": 1e-4, "high": 0.1, "log": True, "optional": True}
    probe = (0.01, 1.0)
    source = "Grandvalet & Bengio, Semi-supervised Learning by Entropy Minimization, NeurIPS 2004"

    def loss(self, s: Tensor, step: Step, seen: ForwardOutput) -> Tensor:
        del step
        assert seen.target_logits is not None
        return s * mean_entropy(log_shares(seen.target_logits))
