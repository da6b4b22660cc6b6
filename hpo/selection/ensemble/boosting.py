"""Boosting: Friedman (Annals of Statistics, 2001), with networks as in Schwenk & Bengio (Neural Computation, 2000).

Each network is trained on the loss of its outputs added to the sum of the earlier networks, so it fits their residual:
the difference from the target in a regression, the gradient of the cross-entropy in a classification. Its outputs are
then multiplied by a shrinkage factor and added to the sum.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from hpo.core.metrics import METRICS
from hpo.nn.combination import Combination
from hpo.selection.ensemble.context import EnsembleContext, held_out_folds
from hpo.selection.ensemble.fitted import FittedEnsemble, Member, assemble
from hpo.selection.ensemble.held_out import OutOfFoldPredictions

SHRINKAGE = 0.3  # the sum of ten networks is within 3 % of its limit


def boosted_ensemble(context: EnsembleContext) -> FittedEnsemble:
    """Train the selected configuration stage by stage, on folds and on all rows.

    The scores on the folds determine the number of stages. If a stage diverges, the ensemble consists of the earlier
    stages.
    """
    experiment, outcome, size = context.experiment, context.selected, context.config.size
    all_rows = experiment.data.without_validation()
    data = replace(all_rows, folds=held_out_folds(all_rows, experiment.data.new_folds(1), with_all=True))
    samples = data.separate_folds()  # the sum of the earlier networks differs from fold to fold
    offset = torch.zeros(len(samples.x), data.n_outputs, dtype=data.x.dtype)
    members: list[Member] = []
    for stage in range(size):
        title = f"network {stage + 1} of {size} on the residuals of the earlier ones"
        trial = context.trial(outcome, "boosting", stage)
        result = context.train(title, replace(samples, offset=offset), [trial])[trial.label]
        if result.diverged:
            break
        weights = result.trained.weights
        network = experiment.networks.network_for(trial.params)
        logits = network.predict(weights, data.x.expand(len(data.folds), -1, -1))
        offset = offset + SHRINKAGE * logits.flatten(0, 1)
        members.append(Member(outcome.trial.label, trial.params, weights))
    fit_sum = partial(fit, metric=experiment.space.train.metric)
    return assemble(experiment.networks, experiment.space, data, members, fit_sum)


def fit(predictions: OutOfFoldPredictions, metric: str) -> Combination:
    """Return the shrunken sum of the first stages, as many of them as give the best `metric`."""
    stages, _, outputs = predictions.logits.shape
    sums: Tensor = SHRINKAGE * predictions.logits.double().cumsum(0)
    scores = METRICS[metric].minimized(predictions.scores((metric,), sums)[metric].numpy())
    n_stages = int(np.nan_to_num(scores, nan=np.inf).round(12).argmin()) + 1
    weight = torch.where(torch.arange(stages) < n_stages, SHRINKAGE, 0.0)
    return Combination("sum", weight, torch.zeros(outputs))
