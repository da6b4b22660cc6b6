"""Bagging: Breiman (Machine Learning, 1996).

The selected configuration is trained on bootstrap samples of the rows, each with its own seed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from hpo.core.errors import SearchFailedError
from hpo.core.metrics import labelled_metric, tracked_metrics
from hpo.core.samples import Fold, no_rows
from hpo.data.dataset import Dataset
from hpo.nn.combination import Combination
from hpo.selection.calibration import fit_temperature
from hpo.selection.ensemble.context import EnsembleContext
from hpo.selection.ensemble.fitted import FittedEnsemble, Member
from hpo.selection.ensemble.held_out import OutOfFoldPredictions
from hpo.study.weights import weights_of_fit
from hpo.training.builder import NetworkBuilder


def bagged_ensemble(context: EnsembleContext) -> FittedEnsemble:
    """Train the selected configuration on bootstrap samples and average the networks.

    Raises SearchFailedError if one of the networks diverges.
    """
    experiment, size, selected = context.experiment, context.config.size, context.selected
    trial = context.trial(selected, "bagging")
    data = _bootstrap_data(experiment.data.without_validation(), size, trial.seed)
    title = f"{size} networks of the selected configuration on bootstrap samples"
    result = context.train(title, data.training_samples(), [trial])[trial.label]
    if result.diverged:
        raise SearchFailedError("A network of the ensemble diverged. Lower search.learning_rate.")
    weights = result.trained.weights
    members = [Member(selected.trial.label, trial.params, weights_of_fit(weights, i)) for i in range(size)]
    combination = Combination("mean", torch.full((size,), 1 / size), torch.zeros(data.n_outputs))
    if data.over_time:
        return FittedEnsemble(members, combination, data, {})
    predictions = out_of_bag_predictions(experiment.networks, data, members)
    if data.task == "classification":
        temperature = fit_temperature(predictions.logits[0], predictions.y, predictions.weight)
        combination = replace(combination, temperature=temperature)
    names = tracked_metrics(data.task, labelled_metric(experiment.space.train.metric))
    scores = predictions.scores(names, predictions.logits / combination.temperature)
    return FittedEnsemble(members, combination, data, {name: float(score) for name, score in scores.items()})


def _bootstrap_data(all_rows: Dataset, size: int, seed: int) -> Dataset:
    """Replace the single fold of `all_rows` by one fold per bootstrap sample."""
    (everything,) = all_rows.folds
    train = everything.train
    folds = [
        fold.remap(lambda index: train[index])
        for fold in bootstrap_folds(len(train), size, seed, all_rows.training_groups)
    ]
    folds = [
        replace(fold, test=out_of_bag_rows(all_rows, everything, fold), target=everything.target) for fold in folds
    ]
    return replace(all_rows, folds=tuple(folds))


def bootstrap_folds(n_rows: int, size: int, seed: int, groups: np.ndarray | None) -> tuple[Fold, ...]:
    """Draw folds that train on `n_rows` rows drawn with replacement and test on the rows that were not drawn.

    With `groups` (rows,), whole groups are drawn until together they have `n_rows` rows.
    """
    unit = np.arange(n_rows) if groups is None else np.unique(groups, return_inverse=True)[1]
    folds = []
    for number in range(size):
        rng = np.random.default_rng([seed, number])
        drawn = rng.integers(unit.max() + 1, size=n_rows)  # with groups, fewer draws would be enough
        train = drawn
        if groups is not None:
            n_groups = int(np.searchsorted(np.bincount(unit)[drawn].cumsum(), n_rows)) + 1
            train = np.concatenate([np.flatnonzero(unit == group) for group in drawn[:n_groups]])[:n_rows]
        left_out = np.flatnonzero(~np.isin(unit, unit[train]))
        shuffled = torch.from_numpy(rng.permutation(train))
        folds.append(Fold(number, shuffled, no_rows(), torch.from_numpy(left_out)))
    return tuple(folds)


def out_of_bag_rows(data: Dataset, everything: Fold, bootstrap: Fold) -> Tensor:
    """Return the rows on which the network of a bootstrap sample can be scored.

    These are the rows in validation folds that the sample does not contain; with two domains, only rows of the target
    domain. `everything` is the fold from which the sample was drawn.
    """
    never_drawn = data.cv_rows[~torch.isin(data.cv_rows, everything.train)]
    rows = torch.cat([bootstrap.test, never_drawn])
    return rows[torch.isin(rows, data.cv_rows)]


def out_of_bag_predictions(networks: NetworkBuilder, data: Dataset, members: list[Member]) -> OutOfFoldPredictions:
    """Predict every row by the mean of the networks that were not trained on this row.

    Each row is predicted by fewer networks than the ensemble has, so scores are slightly pessimistic. `members` are in
    the order of the folds of `data`.
    """
    total = torch.zeros(len(data.x), data.n_outputs, dtype=torch.float64)
    count = torch.zeros(len(data.x), 1, dtype=torch.float64)
    for fold, member in zip(data.folds, members, strict=True):
        network = networks.network_for(member.params)
        logits = network.predict(member.weights, data.x[fold.test].unsqueeze(0))[0].double()
        total[fold.test] += logits.softmax(1) if data.task == "classification" else logits
        count[fold.test] += 1
    rows = (count[:, 0] > 0).nonzero()[:, 0]
    mean = total[rows] / count[rows]
    outputs: Tensor = mean.clamp(min=1e-30).log() if data.task == "classification" else mean
    weight = None if data.weight is None else data.weight[rows]
    return OutOfFoldPredictions(
        data.task, outputs.unsqueeze(0), data.y[rows], weight, torch.zeros_like(rows), data.over_time, data.target_scale
    )
