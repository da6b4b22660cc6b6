from torch import Tensor

from hpo.regularizers._adaptation import log_probabilities, mean_entropy
from hpo.regularizers.base import ForwardOutput, Regularizer, Step


class Entropy(Regularizer):
    """Entropy minimization (Grandvalet & Bengio, NeurIPS 2004) on the other domain.

    The loss term is strength × the mean entropy of the predictions for the other domain, which moves the decision
    boundaries to where its samples are sparse. The term is also minimal if a single class is predicted for all samples;
    see `infomax`.
    """

    name = "entropy"
    summary = "adds the strength × mean prediction entropy on the other domain to the loss"
    uses_target_batch = True
    needs = ("target", "classes")
    prior = {"low": 1e-4, "high": 0.1, "log": True, "optional": True}
    probe = (0.01, 1.0)
    source = "Grandvalet & Bengio, Semi-supervised Learning by Entropy Minimization, NeurIPS 2004"

    def loss(self, s: Tensor, step: Step, output: ForwardOutput) -> Tensor:
        del step
        assert output.target_logits is not None
        return s * mean_entropy(log_probabilities(output.target_logits))
