from torch import Tensor

from hpo.regularizers._adaptation import entropy_of_mean, log_shares, mean_entropy
from hpo.regularizers.base import ForwardOutput, Regularizer, Step


class Infomax(Regularizer):
    """Information maximisation (Krause, Perona & Gomes, NeurIPS 2010; the loss of SHOT, Liang, Hu & Feng, ICML 2020): strength × the mean
    entropy of what is predicted on the other domain, less the entropy of its mean: sure of each row, and of all classes."""

    name = "infomax"
    summary = "predictions on the other domain shall be sure of each row and use all classes (information maximisation)"
    uses_target_batch = True
    needs = ("target", "classes")
    prior = {"low": 1e-3, "high": 1.0, "log": True, "optional": True}
    probe = (0.01, 1.0)
    source = (
        "Krause, Perona & Gomes, Discriminative Clustering by Regularized Information Maximization, NeurIPS 2010; "
        "Liang, Hu & Feng, Do We Really Need to Access the Source Data?, ICML 2020"
    )

    def loss(self, s: Tensor, step: Step, seen: ForwardOutput) -> Tensor:
        del step
        assert seen.target_logits is not None
        said = log_shares(seen.target_logits)
        return s * (mean_entropy(said) - entropy_of_mean(said))
