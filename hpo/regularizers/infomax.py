from torch import Tensor

from hpo.regularizers._adaptation import entropy_of_mean, log_probabilities, mean_entropy
from hpo.regularizers.base import ForwardOutput, Regularizer, Step


class Infomax(Regularizer):
    """Information maximization (Krause, Perona & Gomes, NeurIPS 2010) on the other domain.

    The loss term is strength × (the mean entropy of the predictions - the entropy of their mean): predictions
    should be certain for each sample and use all classes. It is the loss of SHOT (Liang, Hu & Feng, ICML 2020).
    """

    name = "infomax"
    summary = "makes predictions on the other domain certain for each sample, and use all classes"
    uses_target_batch = True
    needs = ("target", "classes")
    prior = {"low": 1e-3, "high": 1.0, "log": True, "optional": True}
    probe = (0.01, 1.0)
    source = (
        "Krause, Perona & Gomes, Discriminative Clustering by Regularized Information Maximization, NeurIPS 2010; "
        "Liang, Hu & Feng, Do We Really Need to Access the Source Data?, ICML 2020"
    )

    def loss(self, s: Tensor, step: Step, output: ForwardOutput) -> Tensor:
        del step
        assert output.target_logits is not None
        predictions = log_probabilities(output.target_logits)
        return s * (mean_entropy(predictions) - entropy_of_mean(predictions))
