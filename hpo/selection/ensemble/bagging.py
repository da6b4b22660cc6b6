"""Bagging: Breiman (Machine Learning, 1996). The selected configuration on bootstrap samples of the rows, each from a seed of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from hpo.core.errors import SearchFailedError
from hpo.core.metrics import compute_metrics, labelled_metric, tracked_metrics
from hpo.core.samples import Fold, Samples, no_rows
from hpo.data.dataset import Dataset
from hpo.nn.combination import Combination
from hpo.selection.ensemble.context import EnsembleContext, Weights
from hpo.selection.ensemble.fitted import FittedEnsemble, Member
from hpo.study.weights import weights_of_fit
from hpo.training.builder import NetworkBuilder


def bagged(shop: EnsembleContext) -> FittedEnsemble:
    job, size = shop.job, shop.config.size
    whole = job.data.whole()
    trial = shop.trial("bagging", shop.selected)
    (all_,) = whole.folds
    drawn = (
        fold.remap(lambda own: all_.train[own]) for fold in bootstraps(len(all_.train), size, trial.seed, whole.groups)
    )
    data = replace(
        whole, folds=tuple(replace(fold, test=judging(whole, all_, fold), target=all_.target) for fold in drawn)
    )
    shop.watcher.phase("the selected configuration on bootstrap samples", size)
    weights = shop.train(data.to_train(), [trial]).get(trial.label)
    if weights is None:
        raise SearchFailedError("A network of the ensemble diverged. Lower search.learning_rate.")
    members = [Member(shop.selected.trial.label, trial.params, weights_of_fit(weights, i)) for i in range(size)]
    combination = Combination("mean", torch.full((size,), 1 / size), torch.zeros(data.n_outputs))
    names = tracked_metrics(data.task, labelled_metric(job.space.train.metric))
    expected = {} if data.over_time else out_of_bag(job.networks, data, members[0], weights, names)
    return FittedEnsemble(members, combination, data, expected)


def bootstraps(rows: int, size: int, seed: int, groups: np.ndarray | None) -> tuple[Fold, ...]:
    """Folds that learn from `rows` rows drawn with replacement and are judged on those that were not drawn. With `groups` (rows,),
    whole groups are drawn until there are as many rows."""
    unit = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1]
    found = []
    for number in range(size):
        stream = np.random.default_rng([seed, number])
        drawn = stream.integers(unit.max() + 1, size=rows)  # more groups than are needed
        train = drawn
        if groups is not None:
            enough = int(np.searchsorted(np.bincount(unit)[drawn].cumsum(), rows)) + 1
            train = np.concatenate([np.flatnonzero(unit == one) for one in drawn[:enough]])[:rows]
        left = np.flatnonzero(~np.isin(unit, unit[train]))
        none = no_rows()
        found.append(Fold(number, torch.from_numpy(stream.permutation(train)), none, torch.from_numpy(left)))
    return tuple(found)


def judging(data: Dataset, all_: Fold, drawn: Fold) -> Tensor:
    """The rows that judge a network of a bootstrap sample of what `all_` learns from: of those that may judge (of two domains, not the
    source's), all that were not drawn."""
    unseen = torch.cat([drawn.test, data.judges[~torch.isin(data.judges, all_.train)]])
    return unseen[torch.isin(unseen, data.judges)]


def out_of_bag(
    networks: NetworkBuilder, data: Samples, member: Member, weights: Weights, names: tuple[str, ...]
) -> dict[str, float]:
    """Every row that judges as those networks predict it together that have not seen it; fewer than all, so this is a little pessimistic."""
    network = networks.network_for(member.params)
    total, count = (
        torch.zeros(len(data.x), data.n_outputs, dtype=torch.float64),
        torch.zeros(len(data.x), 1, dtype=torch.float64),
    )
    for i, fold in enumerate(data.folds):
        said = network.predict(weights_of_fit(weights, i), data.x[fold.test].unsqueeze(0))[0].double()
        total[fold.test] += said.softmax(1) if data.task == "classification" else said
        count[fold.test] += 1
    known = count[:, 0] > 0
    mean = total[known] / count[known]
    logits: Tensor = mean.clamp(min=1e-30).log() if data.task == "classification" else mean
    weight = None if data.weight is None else data.weight[known].unsqueeze(0)
    scores = compute_metrics(
        names, data.task, logits.unsqueeze(0), data.y[known].unsqueeze(0), weight, data.target_scale
    )
    return {name: float(score) for name, score in scores.items()}
