"""A fitted ensemble, and how it is assembled from trained members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from hpo.core.errors import SearchFailedError
from hpo.core.metrics import average_predictions, labelled_metric, tracked_metrics
from hpo.core.trial_config import Config
from hpo.data.dataset import Dataset
from hpo.nn.combination import Combination
from hpo.selection.calibration import fit_temperature
from hpo.selection.ensemble.held_out import FitCombination, OutOfFoldPredictions, estimate
from hpo.space.space import Space
from hpo.study.weights import weights_of_fit
from hpo.training.builder import NetworkBuilder


@dataclass(frozen=True)
class Member:
    """A configuration with the weights of its networks, whose predictions are averaged.

    `label` is the trial that the configuration comes from; `weights` are by name, with the fit axis first.
    """

    label: str
    params: Config
    weights: Mapping[str, Tensor]


@dataclass(frozen=True)
class FittedEnsemble:
    """Members and the rule that combines them.

    `data` is the data set that the networks were trained on; `expected` is the estimated score on new rows by metric
    ({} if it cannot be estimated).
    """

    members: Sequence[Member]
    combination: Combination
    data: Dataset
    expected: Mapping[str, float]

    def network_outputs(self, networks: NetworkBuilder, x: Tensor) -> Tensor:
        """Return the outputs of all networks for `x` (rows, inputs), member by member: (networks, rows, outputs)."""
        each = self.combination.networks_per_member
        return torch.cat(
            [networks.network_for(m.params).predict(m.weights, x.expand(each, -1, -1)) for m in self.members]
        )

    def member_outputs(self, network_outputs: Tensor) -> Tensor:
        """Average the outputs of the networks of each member, and return them as (members, rows, outputs)."""
        groups = torch.split(network_outputs, self.combination.networks_per_member)
        return torch.stack([average_predictions(self.data.task, group) for group in groups])


def assemble(
    networks: NetworkBuilder, space: Space, data: Dataset, trained: Sequence[Member], fit: FitCombination
) -> FittedEnsemble:
    """Fit the combination of trained members on out-of-fold predictions, calibrate it, and estimate its score.

    The members come with the weights of all folds of `data`. New rows are predicted by the networks of the folds
    without test rows (these were trained on all rows) if there are any, else by the networks of all folds. Raises
    SearchFailedError if no member is left.
    """
    if not trained:
        raise SearchFailedError("Every network of the ensemble diverged. Lower search.learning_rate.")
    predictions, calibrated_fit = _out_of_fold_predictions(networks, data, trained), partial(_calibrated, fit)
    combination = calibrated_fit(predictions)
    final_fits = [i for i, fold in enumerate(data.folds) if not len(fold.test)] or list(range(len(data.folds)))
    kept, combination = combination.without_unused_members(data.n_outputs)
    members = [
        replace(trained[i], weights={name: tensor[final_fits] for name, tensor in trained[i].weights.items()})
        for i in kept
    ]
    expected = estimate(predictions, calibrated_fit, tracked_metrics(data.task, labelled_metric(space.train.metric)))
    return FittedEnsemble(members, replace(combination, networks_per_member=len(final_fits)), data, expected)


def _calibrated(fit: FitCombination, predictions: OutOfFoldPredictions) -> Combination:
    """Fit a combination, and in a classification also the temperature of its predictions."""
    combination = fit(predictions)
    if predictions.task == "regression":
        return combination
    logits = combination.combine(predictions.task, predictions.logits)
    return replace(combination, temperature=fit_temperature(logits, predictions.y, predictions.weight))


def _out_of_fold_predictions(
    networks: NetworkBuilder, data: Dataset, members: Sequence[Member]
) -> OutOfFoldPredictions:
    """Predict the test rows of every fold by the networks of that fold, and concatenate the folds in their order."""
    tested = [(i, fold) for i, fold in enumerate(data.folds) if len(fold.test)]

    def predict(member: Member) -> Tensor:
        network = networks.network_for(member.params)
        parts = [
            network.predict(weights_of_fit(member.weights, i), data.x[fold.test].unsqueeze(0))[0] for i, fold in tested
        ]
        return torch.cat(parts)

    rows = torch.cat([fold.test for _, fold in tested])
    fold_numbers = torch.cat([torch.full_like(fold.test, fold.number) for _, fold in tested])
    weight = None if data.weight is None else data.weight[rows]
    logits = torch.stack([predict(member) for member in members])
    return OutOfFoldPredictions(
        data.task, logits, data.y[rows], weight, fold_numbers, data.over_time, data.target_scale
    )
