from dataclasses import replace

import torch
from torch import Tensor

from hpo.core.samples import take_rows
from hpo.regularizers.base import Batch, Regularizer, Step


class ClassWeight(Regularizer):
    """Class weights: samples are weighted by the balanced weight of their class to the power `s`.

    The balanced weight of a class is inversely proportional to its number of training rows, as in scikit-learn. With
    `s` = 0, all samples have the same weight. With 1, all classes have the same weight in total, exactly as with
    `data.class_weight: balanced`. The weights act in training only: losses of validation and test rows are not
    weighted, so that trials with different class weights can be compared.

    It is no regularization: `one_se` ignores it, and the configuration without regularization keeps it.
    """

    name = "class_weight"
    summary = "weights classes by their inverse frequency to this power; 1 is balanced"
    needs = ("classes",)
    allowed = (0.0, 1.0)
    open_high = False
    prior = {"low": 0.0, "high": 1.0}
    direction = 0
    probe = (0.3, 1.0)
    source = "King & Zeng, Logistic Regression in Rare Events Data, Political Analysis 2001"

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        balanced, power = step.data.class_weights, s.unsqueeze(1)
        assert balanced is not None, "the data of a search with `class_weight` have classes"
        by_class = (balanced.log() * power).exp()  # (fit, classes), exactly 1 where s is 0
        by_class = torch.where(power == 1, balanced, by_class)  # exp(log(x)) is not exactly x
        weight = by_class.gather(1, take_rows(step.data.y, batch.index))
        return replace(batch, weight=weight if batch.weight is None else weight * batch.weight)
