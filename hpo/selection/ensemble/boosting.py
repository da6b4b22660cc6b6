"""Boosting: Friedman (Annals of Statistics, 2001), with networks as in Schwenk & Bengio (Neural Computation, 2000) for base learners.

Each network is trained on the loss of its outputs added to what those before say together, so it fits what they leave: the residual
of numbers, and of classes what the gradient of their cross entropy points at. A part of its outputs is then added to theirs.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from hpo.core.metrics import METRICS
from hpo.nn.combination import Combination
from hpo.selection.ensemble.context import EnsembleContext, judged
from hpo.selection.ensemble.fitted import FittedEnsemble, Member, assembled
from hpo.selection.ensemble.held_out import OutOfFoldPredictions

SHRINKAGE = 0.3  # the part of a network's outputs that counts; ten networks come within 3 % of what they converge to


def boosted(shop: EnsembleContext) -> FittedEnsemble:
    """The selected configuration, one network after another, on folds and on all rows beside them; the folds tell after how many
    it is best to end."""
    job, outcome = shop.job, shop.selected
    whole = job.data.whole()
    data = replace(whole, folds=judged(whole, job.data.fresh(1), whole=True))
    samples = data.one_row_per_fold()  # what is added to a network's outputs differs from fold to fold
    base = torch.zeros(len(samples.x), data.n_outputs, dtype=data.x.dtype)
    trained: list[Member] = []
    for stage in range(shop.config.size):
        shop.watcher.phase(f"network {stage + 1} of {shop.config.size} on what those before leave", 1)
        trial = shop.trial(f"boosting-{stage}", outcome)
        weights = shop.train(replace(samples, offset=base), [trial]).get(trial.label)
        if weights is None:  # those before are an ensemble as well
            break
        said = job.networks.network_for(trial.params).predict(weights, data.x.expand(len(data.folds), -1, -1))
        base = base + SHRINKAGE * said.flatten(0, 1)
        trained.append(Member(outcome.trial.label, trial.params, weights))
    return assembled(job.networks, job.space, data, trained, partial(fit, metric=job.space.train.metric))


def fit(unseen: OutOfFoldPredictions, metric: str) -> Combination:
    """The sum of a part of the first networks, as many as are best together."""
    stages, _, outputs = unseen.logits.shape
    sums: Tensor = SHRINKAGE * unseen.logits.double().cumsum(0)
    scores = METRICS[metric].sign * unseen.scores((metric,), sums)[metric].numpy()
    best = int(np.nan_to_num(scores, nan=np.inf).round(12).argmin()) + 1
    weight = torch.where(torch.arange(stages) < best, SHRINKAGE, 0.0)
    return Combination("sum", weight, torch.zeros(outputs))
