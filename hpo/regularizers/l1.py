from torch import Tensor

from hpo.regularizers.base import Regularizer, Step


class L1(Regularizer):
    """L1 penalty by its proximal step (Parikh & Boyd, Proximal Algorithms, 2014, section 6.5.2).

    After the update every weight moves towards zero by learning rate × strength and stays there once it reaches it,
    so zeros are exact. It acts on weight matrices only; the step is not divided by Adam's root of the second
    moment.
    """

    name = "l1"
    summary = "moves every weight towards zero by learning rate × strength, to exact zeros"
    prior = {"low": 1e-5, "high": 0.3, "log": True, "optional": True}
    probe = (1e-3, 10.0)
    source = "Parikh & Boyd, Proximal Algorithms, Foundations and Trends in Optimization, 2014"

    def after_step(self, s: Tensor, step: Step) -> None:
        step.weights.soft_threshold_(step.lr * s)
