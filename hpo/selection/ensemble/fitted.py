"""An ensemble that is made, and how it is put together from what was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hpo.core.errors import SearchFailedError
from hpo.core.metrics import average_predictions, labelled_metric, tracked_metrics
from hpo.data.dataset import Dataset
from hpo.nn.combination import Combination
from hpo.selection.ensemble.context import Weights
from hpo.selection.ensemble.held_out import FitCombination, OutOfFoldPredictions, estimate
from hpo.space.space import Space
from hpo.study.weights import weights_of_fit
from hpo.training.builder import NetworkBuilder


@dataclass(frozen=True)
class Member:
    """A configuration of the trial `label`, and its networks, whose predictions are averaged."""

    label: str
    params: Mapping[str, Any]
    weights: Weights


@dataclass(frozen=True)
class FittedEnsemble:
    """`data` is what the networks were trained on, `expected` what new rows are expected to score, by metric; {} if nothing tells."""

    members: Sequence[Member]
    combination: Combination
    data: Dataset
    expected: Mapping[str, float]

    def said(self, networks: NetworkBuilder, x: Tensor) -> Tensor:
        """What each network says of x (rows, inputs): (networks, rows, outputs), member by member."""
        each = self.combination.each
        return torch.cat(
            [networks.network_for(m.params).predict(m.weights, x.expand(each, -1, -1)) for m in self.members]
        )

    def apart(self, said: Tensor) -> Tensor:
        """What each member says, (members, rows, outputs), of what each of its networks says."""
        return torch.stack(
            [average_predictions(self.data.task, own) for own in torch.split(said, self.combination.each)]
        )


def assembled(
    networks: NetworkBuilder, space: Space, data: Dataset, trained: Sequence[Member], fit: FitCombination
) -> FittedEnsemble:
    """The ensemble that `fit` makes of what members say of rows that they have not seen; their weights are those of all folds of
    `data`. New rows are predicted by the folds that judge nothing, if there are such, else by all. Raises SearchFailedError if
    every member diverged."""
    if not trained:
        raise SearchFailedError("Every network of the ensemble diverged. Lower search.learning_rate.")
    unseen = _unseen(networks, data, trained)
    combination = fit(unseen)
    final = [i for i, fold in enumerate(data.folds) if not len(fold.test)] or list(range(len(data.folds)))
    kept, combination = combination.trimmed(data.n_outputs)
    members = [replace(trained[i], weights={name: w[final] for name, w in trained[i].weights.items()}) for i in kept]
    expected = estimate(unseen, fit, tracked_metrics(data.task, labelled_metric(space.train.metric)))
    return FittedEnsemble(members, replace(combination, each=len(final)), data, expected)


def _unseen(networks: NetworkBuilder, data: Dataset, trained: Sequence[Member]) -> OutOfFoldPredictions:
    """What each says of the rows of each fold, one fold behind the other."""
    judging = [(i, fold) for i, fold in enumerate(data.folds) if len(fold.test)]
    rows = torch.cat([fold.test for _, fold in judging])
    said = [
        torch.cat(
            [
                networks.network_for(m.params).predict(weights_of_fit(m.weights, i), data.x[fold.test].unsqueeze(0))[0]
                for i, fold in judging
            ]
        )
        for m in trained
    ]
    number = torch.cat([torch.full_like(fold.test, fold.number) for _, fold in judging])
    weight = None if data.weight is None else data.weight[rows]
    return OutOfFoldPredictions(
        data.task, torch.stack(said), data.y[rows], weight, number, data.over_time, data.target_scale
    )
